// What stands between the q, k, v matmuls and attention, in one operator: q rotated in place, k rotated on its way into
// the cache, v put into the cache. The problem, its cost, its arithmetic. HIP-free.
//   q[t] <- rope(q[t]);  k_cache[slots[t], positions[t]] = rope(k[t]);  v_cache[slots[t], positions[t]] = v[t]
// Arithmetic: rope_problem.hpp's rotation by positions[t], kv_store_problem.hpp's copy: the bits of rope on q, rope
// on k and kv_store in sequence. k and v are only read.
#pragma once

#include "kernels/hip/problem.hpp"
#include "kernels/kv_store/kv_store_problem.hpp"
#include "kernels/rope/rope_problem.hpp"

namespace greta {

struct RopeKvStoreProblem {
  int64_t n_tokens = 1;
  int64_t n_heads = 1;
  int64_t n_kv_heads = 1;
  int64_t head_dim = 64;
  int64_t half_split = 0;   ///< 0: pairs (2i, 2i+1); 1: pairs (i, i + head_dim/2)
  int64_t n_positions = 1;  ///< rows of the table
  int64_t n_slots = 1;
  int64_t kv_capacity = 1;
  DType dtype = DType::kF16;  ///< f16 or bf16, of q, k, v and the caches

  RopeProblem rotation(int64_t heads) const {
    return {.n_tokens = n_tokens,
            .n_heads = heads,
            .head_dim = head_dim,
            .half_split = half_split,
            .n_positions = n_positions,
            .dtype = dtype};
  }
  KvStoreProblem store() const {
    return {.n_tokens = n_tokens,
            .n_kv_heads = n_kv_heads,
            .head_dim = head_dim,
            .n_slots = n_slots,
            .kv_capacity = kv_capacity,
            .dtype = dtype};
  }
  int64_t q_elements() const { return n_tokens * n_heads * head_dim; }
  int64_t kv_elements() const { return n_tokens * n_kv_heads * head_dim; }
  double flops() const { return 3.0 * static_cast<double>(q_elements() + kv_elements()); }
  /// q, k and v read and written once; one table row, one slot and one position a token.
  double bytes() const {
    return 2.0 * static_cast<double>(q_elements() + 2 * kv_elements()) * dtype_block_bytes(dtype) +
           static_cast<double>(n_tokens) * (4.0 * static_cast<double>(head_dim) + 8.0);
  }
};

template <class P, class V>
requires std::is_same_v<P, RopeKvStoreProblem>
void visit_fields(P& p, V&& visit) {
  visit("n_tokens", p.n_tokens), visit("n_heads", p.n_heads), visit("n_kv_heads", p.n_kv_heads);
  visit("head_dim", p.head_dim), visit("half_split", p.half_split), visit("n_positions", p.n_positions);
  visit("n_slots", p.n_slots), visit("kv_capacity", p.kv_capacity), visit("dtype", p.dtype);
}

void validate(const RopeKvStoreProblem& p);

}  // namespace greta
