// RoPE: rotation of query or key heads by token position, in place. The problem, its cost, its arithmetic. HIP-free.
//   (a, b) -> (a cos - b sin, a sin + b cos),  angle = position * freq_base^(-2i/head_dim) (through a table of cos and
//   sin)
// Pairs    interleaved (2i, 2i+1), the order GGUF stores Llama weights in; half (i, i + head_dim/2), the order of other
//          exports
// Arithmetic: a' = fmaf(a, cos, -(b * sin)), b' = fmaf(a, sin, b * cos) in f32, each rounded once to the type of x
// Source   RoFormer (Su et al. 2021), section 3.4.2
#pragma once

#include "kernels/hip/problem.hpp"

namespace greta {

struct RopeProblem {
  int64_t n_tokens = 1;
  int64_t n_heads = 1;
  int64_t head_dim = 64;      ///< even
  int64_t half_split = 0;     ///< 0: pairs (2i, 2i+1); 1: pairs (i, i + head_dim/2)
  int64_t n_positions = 1;    ///< rows of the table; every position must be below it
  DType dtype = DType::kF16;  ///< f16, bf16 or f32

  int64_t elements() const { return n_tokens * n_heads * head_dim; }
  int64_t table_elements() const { return n_positions * head_dim; }       ///< [n_positions, head_dim/2, {cos, sin}] f32
  double flops() const { return 3.0 * static_cast<double>(elements()); }  ///< 2 multiplies and 2 fma a pair
  /// X read and written, one table row and one position a token.
  double bytes() const {
    return 2.0 * static_cast<double>(elements()) * dtype_block_bytes(dtype) +
           static_cast<double>(n_tokens) * (4.0 * static_cast<double>(head_dim) + 4.0);
  }
};

template <class P, class V>
requires std::is_same_v<P, RopeProblem>
void visit_fields(P& p, V&& visit) {
  visit("n_tokens", p.n_tokens), visit("n_heads", p.n_heads), visit("head_dim", p.head_dim);
  visit("half_split", p.half_split), visit("n_positions", p.n_positions), visit("dtype", p.dtype);
}

void validate(const RopeProblem& p);

}  // namespace greta
