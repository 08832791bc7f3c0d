// Attention of one new query a sequence against its KV cache: the problem, its cost. HIP-free.
//   O[b,h,:] = sum_{j < n_kv_b} softmax_j(scale * Q[b,h,:] . K[b,j,g,:]) V[b,j,g,:]      (g as in prefill attention)
// Shapes   Q, O [batch, n_heads, head_dim];  K, V [batch, kv_capacity, n_kv_heads, head_dim], rows [0, n_kv_b) valid.
#pragma once

#include "kernels/hip/problem.hpp"

namespace greta {

struct DecodeAttentionProblem {
  int64_t batch = 1;
  int64_t n_kv = 1;  ///< keys visible, the new token's included; the longest of the batch
  int64_t n_heads = 1;
  int64_t n_kv_heads = 1;
  int64_t head_dim = 64;
  int64_t kv_capacity = 0;  ///< rows of the cache per sequence; 0: n_kv
  int64_t head_map = 0;     ///< 0 grouped, 1 interleaved
  DType dtype = DType::kF16;

  int64_t capacity() const { return kv_capacity ? kv_capacity : n_kv; }
  int64_t group() const { return n_heads / n_kv_heads; }
  int64_t q_elements() const { return batch * n_heads * head_dim; }
  int64_t kv_elements() const { return batch * capacity() * n_kv_heads * head_dim; }
  double flops() const { return 4.0 * static_cast<double>(batch * n_heads * n_kv * head_dim); }
  /// Each operand once: Q, O, and the n_kv rows of K and V.
  double bytes() const {
    return dtype_block_bytes(dtype) * 2.0 * static_cast<double>(q_elements() + batch * n_kv * n_kv_heads * head_dim);
  }
};

template <class P, class V>
requires std::is_same_v<P, DecodeAttentionProblem>
void visit_fields(P& p, V&& visit) {
  visit("batch", p.batch), visit("n_kv", p.n_kv), visit("n_heads", p.n_heads), visit("n_kv_heads", p.n_kv_heads);
  visit("head_dim", p.head_dim), visit("kv_capacity", p.kv_capacity), visit("head_map", p.head_map);
  visit("dtype", p.dtype);
}

void validate(const DecodeAttentionProblem& p);

}  // namespace greta
