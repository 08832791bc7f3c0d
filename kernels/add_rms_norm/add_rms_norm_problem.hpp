// What stands between two matmuls of a layer, in one operator: the residual stream takes the last matmul's output and
// is normed, and what the next matmul reads comes out. The problem, its cost, its arithmetic. HIP-free.
//   x[i,c] += addend[i,c]                                     (add = 1)
//   y[i,c]  = x[i,c] * w[c] / sqrt(mean_c(x^2) + eps)         rounded to y's type
//   out     = y, or y as 8-bit activation blocks
// Arithmetic: residual_add's addition (one f32 rounding), rms_norm's order and roundings (rms_norm_problem.hpp, the
//   rounding to y's type included), the quantiser of quant_blocks.hpp: the bits of the three in sequence.
#pragma once

#include "kernels/hip/problem.hpp"
#include "kernels/residual_add/residual_add_problem.hpp"
#include "kernels/rms_norm/rms_norm_problem.hpp"

namespace greta {

struct AddRmsNormProblem {
  int64_t n_rows = 1;
  int64_t width = 256;
  int64_t add = 1;  ///< 1: x += addend first; 0: x is only read
  float eps = 1e-5f;
  DType y = DType::kF16;         ///< f16, bf16 or f32: what the normed row is rounded to
  DType out = DType::kQ8Act256;  ///< q8_act256, q8_act32, or y's type: the normed row itself

  int64_t elements() const { return n_rows * width; }
  bool quantised() const { return out == DType::kQ8Act256 || out == DType::kQ8Act32; }
  int64_t out_elements() const { return elements() / dtype_block_values(out); }  ///< storage elements
  ResidualAddProblem addition() const { return {.n_rows = n_rows, .width = width}; }
  RmsNormProblem norm() const { return {.n_rows = n_rows, .width = width, .eps = eps, .y = y}; }
  double flops() const { return (add ? 5.0 : 4.0) * static_cast<double>(elements()); }
  /// x read (and with add written, and the addend read), weights and output once.
  double bytes() const {
    return static_cast<double>(elements()) * (add ? 12.0 : 4.0) + 4.0 * static_cast<double>(width) +
           static_cast<double>(out_elements()) * dtype_block_bytes(out);
  }
};

template <class P, class V>
requires std::is_same_v<P, AddRmsNormProblem>
void visit_fields(P& p, V&& visit) {
  visit("n_rows", p.n_rows), visit("width", p.width), visit("add", p.add), visit("eps", p.eps), visit("y", p.y);
  visit("out", p.out);
}

void validate(const AddRmsNormProblem& p);

}  // namespace greta
