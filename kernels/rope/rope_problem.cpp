#include "kernels/rope/rope_problem.hpp"

#include <fmt/format.h>

namespace greta {

void validate(const RopeProblem& p) {
  const auto refuse = [&](const char* field, int64_t got, const char* want) {
    throw_invalid(fmt::format("rope: {} must be {}, got {} ({})", field, want, got, to_line(p)));
  };
  if (p.n_tokens < 1) refuse("n_tokens", p.n_tokens, "at least 1");
  if (p.n_heads < 1) refuse("n_heads", p.n_heads, "at least 1");
  if (p.head_dim < 2 || p.head_dim % 2) refuse("head_dim", p.head_dim, "even and at least 2");
  if (p.half_split != 0 && p.half_split != 1) refuse("half_split", p.half_split, "0 or 1");
  if (p.n_positions < 1) refuse("n_positions", p.n_positions, "at least 1");
  if (p.dtype != DType::kF16 && p.dtype != DType::kBF16 && p.dtype != DType::kF32)
    throw_invalid(fmt::format("rope: dtype must be f16, bf16 or f32, got {}", dtype_name(p.dtype)));
}

}  // namespace greta
