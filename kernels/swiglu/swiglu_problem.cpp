#include "kernels/swiglu/swiglu_problem.hpp"

#include <fmt/format.h>

namespace greta {

void validate(const SwigluProblem& p) {
  const auto refuse = [&](const char* field, int64_t got, const char* want) {
    throw_invalid(fmt::format("swiglu: {} must be {}, got {} ({})", field, want, got, to_line(p)));
  };
  if (p.n_rows < 1) refuse("n_rows", p.n_rows, "at least 1");
  if (p.width < 1) refuse("width", p.width, "at least 1");
  if (p.dtype != DType::kF16 && p.dtype != DType::kBF16 && p.dtype != DType::kF32)
    throw_invalid(fmt::format("swiglu: dtype must be f16, bf16 or f32, got {}", dtype_name(p.dtype)));
}

}  // namespace greta
