// Embedding gather: rows of the token table, dequantised to f32. The problem, its cost, its arithmetic. HIP-free.
//   y[i,:] = dequantise(table[ids[i],:])
// Arithmetic: q4_k  y = (d*sc)*q - (dmin*m): fmaf(d*sc, q, -(dmin*m)) with both products rounded to f32;  q6_k  y =
// (d*sc) * (q-32);
//   q8_0  y = d * q;  f16, bf16, f32 exact.
#pragma once

#include "kernels/hip/problem.hpp"

namespace greta {

struct EmbeddingProblem {
  int64_t n_tokens = 1;
  int64_t n_vocab = 1;
  int64_t width = 256;
  DType weights = DType::kQ4K;  ///< q4_k, q6_k, q8_0, f16, bf16 or f32; y is f32

  int64_t row_blocks() const { return width / dtype_block_values(weights); }
  int64_t weight_elements() const { return n_vocab * row_blocks(); }
  int64_t elements() const { return n_tokens * width; }
  double flops() const { return 2.0 * static_cast<double>(elements()); }
  double bytes() const {
    return static_cast<double>(n_tokens * row_blocks()) * dtype_block_bytes(weights) +
           4.0 * static_cast<double>(elements() + n_tokens);
  }
};

template <class P, class V>
requires std::is_same_v<P, EmbeddingProblem>
void visit_fields(P& p, V&& visit) {
  visit("n_tokens", p.n_tokens), visit("n_vocab", p.n_vocab), visit("width", p.width), visit("weights", p.weights);
}

void validate(const EmbeddingProblem& p);

}  // namespace greta
