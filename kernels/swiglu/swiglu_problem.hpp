// SwiGLU: y = silu(gate) * up, elementwise. The problem, its cost, its arithmetic. HIP-free.
//   silu(g) = g / (1 + exp(-g))
// Arithmetic: t = g * -log2(e) (one rounded product with the f32 nearest to log2(e)), clamped to [-126, 127];
//   e = exp2(t); s = g / (1 + e); y = s * up; each step rounded to f32, then once to y's type
// Source   Shazeer 2020, "GLU Variants Improve Transformer"
#pragma once

#include "kernels/hip/problem.hpp"

namespace greta {

struct SwigluProblem {
  int64_t n_rows = 1;
  int64_t width = 256;
  DType dtype = DType::kF16;  ///< of gate, up and y: f16, bf16 or f32

  int64_t elements() const { return n_rows * width; }
  double flops() const { return 5.0 * static_cast<double>(elements()); }
  double bytes() const { return 3.0 * static_cast<double>(elements()) * dtype_block_bytes(dtype); }
};

template <class P, class V>
requires std::is_same_v<P, SwigluProblem>
void visit_fields(P& p, V&& visit) { visit("n_rows", p.n_rows), visit("width", p.width), visit("dtype", p.dtype); }

void validate(const SwigluProblem& p);

}  // namespace greta
