#include "kernels/rope_kv_store/rope_kv_store_problem.hpp"

#include <fmt/format.h>

namespace greta {

void validate(const RopeKvStoreProblem& p) {
  validate(p.rotation(p.n_heads));
  validate(p.store());
  if (p.dtype != DType::kF16 && p.dtype != DType::kBF16)
    throw_invalid(
        fmt::format("rope_kv_store: dtype must be f16 or bf16, got {} ({})", dtype_name(p.dtype), to_line(p)));
}

}  // namespace greta
