// Writes the new K and V rows of a call into the KV cache. The problem, its cost. HIP-free.
//   cache[slot[t], position[t], :, :] = x[t, :, :]   for k and for v
// Shapes   k, v [n_tokens, n_kv_heads, head_dim];  caches [n_slots, kv_capacity, n_kv_heads, head_dim]; same dtype
#pragma once

#include "kernels/hip/problem.hpp"

namespace greta {

struct KvStoreProblem {
  int64_t n_tokens = 1;
  int64_t n_kv_heads = 1;
  int64_t head_dim = 64;
  int64_t n_slots = 1;
  int64_t kv_capacity = 1;
  DType dtype = DType::kF16;

  int64_t row() const { return n_kv_heads * head_dim; }
  int64_t elements() const { return n_tokens * row(); }
  int64_t cache_elements() const { return n_slots * kv_capacity * row(); }
  double flops() const { return 0; }
  double bytes() const {
    return 4.0 * static_cast<double>(elements()) * dtype_block_bytes(dtype) + 8.0 * static_cast<double>(n_tokens);
  }
};

template <class P, class V>
requires std::is_same_v<P, KvStoreProblem>
void visit_fields(P& p, V&& visit) {
  visit("n_tokens", p.n_tokens), visit("n_kv_heads", p.n_kv_heads), visit("head_dim", p.head_dim);
  visit("n_slots", p.n_slots), visit("kv_capacity", p.kv_capacity), visit("dtype", p.dtype);
}

void validate(const KvStoreProblem& p);

}  // namespace greta
