// Up to three matmuls of one input in one launch: q, k and v, or gate and up. HIP-free.
//   Y_i = X W_i^T      X [m, n_in], W_i [n_out_i, n_in] of one weights type, Y_i [m, n_out_i], row-major
//
// Arithmetic: that of each matmul by itself (quant_matmul_problem.hpp); a group has the bits of its parts.
#pragma once

#include "kernels/quant_matmul/quant_matmul_problem.hpp"

namespace greta {

inline constexpr int kMatmulGroup = 3;  ///< matrices of a group at most

struct QuantMatmulGroupProblem {
  int64_t m = 1;        ///< rows of activations (tokens)
  int64_t n_out = 1;    ///< of W_0
  int64_t n_out_1 = 0;  ///< of W_1; 0: there is none
  int64_t n_out_2 = 0;  ///< of W_2; 0: there is none
  int64_t n_in = 256;
  DType weights = DType::kQ4K;  ///< q4_k, q6_k, q8_0, f16, bf16 or f32
  DType x = DType::kF16;        ///< f16, bf16 or f32
  DType y = DType::kF16;        ///< f16, bf16 or f32

  int64_t rows_of(int i) const { return i == 0 ? n_out : i == 1 ? n_out_1 : n_out_2; }
  int parts() const { return n_out_1 == 0 ? 1 : n_out_2 == 0 ? 2 : 3; }
  QuantMatmulProblem part(int i) const {
    return {.m = m, .n_out = rows_of(i), .n_in = n_in, .weights = weights, .x = x, .y = y};
  }
  /// The matmul with the rows of all parts: its work is that of the group.
  QuantMatmulProblem whole() const {
    return {.m = m, .n_out = n_out + n_out_1 + n_out_2, .n_in = n_in, .weights = weights, .x = x, .y = y};
  }
  bool quantised() const { return part(0).quantised(); }
  double flops() const { return whole().flops(); }
  double bytes() const { return whole().bytes(); }
};

template <class P, class V>
requires std::is_same_v<P, QuantMatmulGroupProblem>
void visit_fields(P& p, V&& visit) {
  visit("m", p.m), visit("n_out", p.n_out), visit("n_out_1", p.n_out_1), visit("n_out_2", p.n_out_2);
  visit("n_in", p.n_in), visit("weights", p.weights), visit("x", p.x), visit("y", p.y);
}

/// The parts are valid problems, and there is no third without a second.
void validate(const QuantMatmulGroupProblem& p);

}  // namespace greta
