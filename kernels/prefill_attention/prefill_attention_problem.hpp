// Causal attention of many new queries against the KV cache: the problem, its cost. HIP-free.
//   O[b,t,h,:] = sum_j softmax_j(scale * Q[b,t,h,:] . K[b,j,g,:]) V[b,j,g,:],   j <= n_kv - n_tokens + t
//   g = h / (n_heads / n_kv_heads)   (head_map 0, the convention of Llama)   or   g = h % n_kv_heads   (head_map 1)
// Shapes   Q, O [batch, n_tokens, n_heads, head_dim];  K, V [batch, kv_capacity, n_kv_heads, head_dim], rows [0, n_kv)
// valid. Sequences of a batch may be shorter than n_tokens and n_kv (device arrays given at launch); rows beyond are
// not written.
#pragma once

#include "kernels/hip/problem.hpp"

namespace greta {

struct PrefillAttentionProblem {
  int64_t batch = 1;
  int64_t n_tokens = 1;  ///< queries of each sequence in this call
  int64_t n_kv = 1;      ///< keys visible to the last query; >= n_tokens
  int64_t n_heads = 1;
  int64_t n_kv_heads = 1;
  int64_t head_dim = 64;
  int64_t kv_capacity = 0;  ///< rows of the cache per sequence; 0: n_kv
  int64_t head_map = 0;
  DType dtype = DType::kF16;  ///< of Q, K, V and O: f16 or bf16

  int64_t capacity() const { return kv_capacity ? kv_capacity : n_kv; }
  int64_t group() const { return n_heads / n_kv_heads; }
  int64_t q_elements() const { return batch * n_tokens * n_heads * head_dim; }
  int64_t kv_elements() const { return batch * capacity() * n_kv_heads * head_dim; }
  /// Query-key pairs that causality leaves, over batch and heads.
  double pairs() const;
  /// 2 per multiply-add of both products, unmasked pairs only.
  double flops() const { return 4.0 * pairs() * static_cast<double>(head_dim); }
  /// Each operand once: Q, O, and the n_kv rows of K and V.
  double bytes() const;
};

template <class P, class V>
requires std::is_same_v<P, PrefillAttentionProblem>
void visit_fields(P& p, V&& visit) {
  visit("batch", p.batch), visit("n_tokens", p.n_tokens), visit("n_kv", p.n_kv), visit("n_heads", p.n_heads);
  visit("n_kv_heads", p.n_kv_heads), visit("head_dim", p.head_dim), visit("kv_capacity", p.kv_capacity);
  visit("head_map", p.head_map), visit("dtype", p.dtype);
}

/// Throws kInvalidArgument naming the field, what it got and what it wants.
void validate(const PrefillAttentionProblem& p);

}  // namespace greta
