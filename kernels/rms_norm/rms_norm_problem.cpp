#include "kernels/rms_norm/rms_norm_problem.hpp"

#include <fmt/format.h>

namespace greta {

void validate(const RmsNormProblem& p) {
  const auto refuse = [&](const char* field, int64_t got, const char* want) {
    throw_invalid(fmt::format("rms_norm: {} must be {}, got {} ({})", field, want, got, to_line(p)));
  };
  if (p.n_rows < 1) refuse("n_rows", p.n_rows, "at least 1");
  if (p.width < 1) refuse("width", p.width, "at least 1");
  if (p.y != DType::kF16 && p.y != DType::kBF16 && p.y != DType::kF32)
    throw_invalid(fmt::format("rms_norm: y must be f16, bf16 or f32, got {}", dtype_name(p.y)));
  if (!(p.eps >= 0)) throw_invalid(fmt::format("rms_norm: eps must be a number >= 0, got {}", p.eps));
}

}  // namespace greta
