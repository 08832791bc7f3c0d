// Y = X W^T with weights as a GGUF file stores them: the problem, its cost, its arithmetic. HIP-free.
//   Y[i,r] = sum_c X[i,c] W[r,c]      X [m, n_in], W [n_out, n_in], Y [m, n_out], row-major
//
// Arithmetic (part of the operator; one row and many rows give the same bits):
//   q4_k, q6_k  X is quantised to Q8Act256 first (kernels/tile/quant_blocks.hpp). Inside a superblock s everything is
//   integer:
//                 q4_k: isum = sum_j sc[j] * sum_i q*x,  msum = sum_j m[j] * (sums[2j] + sums[2j+1])
//                       acc = fmaf(d * dx, float(isum), acc);  acc = fmaf(-(dmin * dx), float(msum), acc)
//                 q6_k: isum = sum_g sc[g] * sum_i (q-32)*x;   acc = fmaf(d * dx, float(isum), acc)
//               acc starts at 0 and runs over superblocks in ascending order; products d*dx and dmin*dx are rounded to
//               f32.
//   q8_0        X is quantised to Q8Act32. Eight blocks (256 values; fewer at the end of a row) are combined first, in
//               ascending order: part = fmaf(d * dx, float(isum), part) from 0; then acc = acc + part, groups
//               ascending.
//   f16, bf16, f32   "f32_lanes64": 64 logical lanes; lane l has columns 256*s + 4*l + (0..3), s ascending, fmaf chain
//               from 0, columns ascending; lanes are added by the tree over distances 1, 2, 4, 8, 16, 32.
//               "mma_f32" (W and X both f16 or both bf16, n_in % 8 == 0): one chain of matrix tiles over runs of 32
//               columns from column 0, zeros beyond n_in: kernels/tile/operand_tile_layout.hpp, hip/matrix_model.hpp.
//   Y is acc rounded once to y's type.
#pragma once

#include "kernels/hip/problem.hpp"

namespace greta {

struct QuantMatmulProblem {
  int64_t m = 1;  ///< rows of activations (tokens)
  int64_t n_out = 1;
  int64_t n_in = 256;
  DType weights = DType::kQ4K;  ///< q4_k, q6_k, q8_0, f16, bf16 or f32
  DType x = DType::kF16;        ///< f16, bf16 or f32
  DType y = DType::kF16;        ///< f16, bf16 or f32

  bool quantised() const { return weights == DType::kQ4K || weights == DType::kQ6K || weights == DType::kQ8_0; }
  /// The activation block type that goes with the weights; only when quantised().
  DType activation_blocks() const { return weights == DType::kQ8_0 ? DType::kQ8Act32 : DType::kQ8Act256; }
  int64_t weight_blocks_per_row() const { return n_in / dtype_block_values(weights); }
  int64_t weight_elements() const { return n_out * weight_blocks_per_row(); }  ///< storage elements (blocks)
  int64_t activation_blocks_per_row() const {
    const int64_t v = dtype_block_values(activation_blocks());
    return (n_in + v - 1) / v;
  }
  double flops() const { return 2.0 * static_cast<double>(m) * static_cast<double>(n_out) * static_cast<double>(n_in); }
  /// Weights once as stored, X and Y once.
  double bytes() const {
    return static_cast<double>(weight_elements()) * dtype_block_bytes(weights) +
           static_cast<double>(m * n_in) * dtype_block_bytes(x) + static_cast<double>(m * n_out) * dtype_block_bytes(y);
  }
};

template <class P, class V>
requires std::is_same_v<P, QuantMatmulProblem>
void visit_fields(P& p, V&& visit) {
  visit("m", p.m), visit("n_out", p.n_out), visit("n_in", p.n_in), visit("weights", p.weights), visit("x", p.x);
  visit("y", p.y);
}

void validate(const QuantMatmulProblem& p);

}  // namespace greta
