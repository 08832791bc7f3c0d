// RMSNorm of the rows of the residual stream. The problem, its cost, its arithmetic. HIP-free.
//   y[i,c] = x[i,c] * w[c] / sqrt(mean_c(x^2) + eps)
// Arithmetic: 256 logical threads; thread t takes columns 1024*s + 4*t + (0..3), s ascending, from 0 by fmaf(x, x, acc)
//   in ascending column order (columns beyond width take no part); the threads are added by the tree over distances
//   1, 2, 4, ..., 128; r = 1 / sqrtf(sum / width + eps), each step rounded; y = (x * r) * w rounded to f32, then once
//   to y's type
// Source   Zhang and Sennrich 2019
#pragma once

#include "kernels/hip/problem.hpp"

namespace greta {

struct RmsNormProblem {
  int64_t n_rows = 1;
  int64_t width = 256;
  float eps = 1e-5f;
  DType y = DType::kF16;  ///< f16, bf16 or f32; x and w are f32

  int64_t elements() const { return n_rows * width; }
  double flops() const { return 4.0 * static_cast<double>(elements()); }
  double bytes() const {
    return static_cast<double>(elements()) * (4.0 + dtype_block_bytes(y)) + 4.0 * static_cast<double>(width);
  }
};

template <class P, class V>
requires std::is_same_v<P, RmsNormProblem>
void visit_fields(P& p, V&& visit) {
  visit("n_rows", p.n_rows), visit("width", p.width), visit("eps", p.eps), visit("y", p.y);
}

void validate(const RmsNormProblem& p);

}  // namespace greta
