// What oracle and twins of attention share, and nobody else needs: lengths, head maps, strides.
#pragma once

#include "kernels/hip/error.hpp"
#include "reference/prefill_attention.hpp"

namespace greta::reference::attention {

enum class Arithmetic { kTwoPass, kOnline, kMma };
Arithmetic arithmetic_from_id(std::string_view id);

/// One sequence of the batch.
struct Sequence {
  int64_t index = 0;
  int64_t n_tokens = 0;
  int64_t n_kv = 0;
  int64_t visible(int64_t token) const { return n_kv - n_tokens + token + 1; }
};
std::vector<Sequence> sequences(const PrefillAttentionProblem& p, const AttentionInputs& in);

/// The twin of "online_mma".
std::vector<float> mma_twin(const PrefillAttentionProblem& p, const AttentionInputs& in, MatrixMachine machine);

inline int64_t kv_head(const PrefillAttentionProblem& p, int64_t head) {
  return p.head_map ? head % p.n_kv_heads : head / p.group();
}
/// First element of a query row in Q and O, and of a key row in K and V.
inline size_t q_row(const PrefillAttentionProblem& p, int64_t b, int64_t t, int64_t h) {
  return static_cast<size_t>(((b * p.n_tokens + t) * p.n_heads + h) * p.head_dim);
}
inline size_t kv_row(const PrefillAttentionProblem& p, int64_t b, int64_t j, int64_t g) {
  return static_cast<size_t>(((b * p.capacity() + j) * p.n_kv_heads + g) * p.head_dim);
}

}  // namespace greta::reference::attention
