#include "kernels/kv_store/kv_store_problem.hpp"

#include <fmt/format.h>

namespace greta {

void validate(const KvStoreProblem& p) {
  const auto refuse = [&](const char* field, int64_t got, const char* want) {
    throw_invalid(fmt::format("kv_store: {} must be {}, got {} ({})", field, want, got, to_line(p)));
  };
  if (p.n_tokens < 1) refuse("n_tokens", p.n_tokens, "at least 1");
  if (p.n_kv_heads < 1) refuse("n_kv_heads", p.n_kv_heads, "at least 1");
  if (p.head_dim < 1) refuse("head_dim", p.head_dim, "at least 1");
  if (p.n_slots < 1) refuse("n_slots", p.n_slots, "at least 1");
  if (p.kv_capacity < 1) refuse("kv_capacity", p.kv_capacity, "at least 1");
  if (p.dtype != DType::kF16 && p.dtype != DType::kBF16 && p.dtype != DType::kF32)
    throw_invalid(fmt::format("kv_store: dtype must be f16, bf16 or f32, got {}", dtype_name(p.dtype)));
}

}  // namespace greta
