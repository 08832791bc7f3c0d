// SwiGLU whose result is read by a quantised matmul: gate and up in, activation blocks out. The problem, its cost, its
// arithmetic. HIP-free.
//   h[i] = silu(gate[i]) * up[i] rounded to the type of gate;  blocks = h as 8-bit activation blocks
// Arithmetic: swiglu_problem.hpp's, the rounding to dtype included, then the quantiser of quant_blocks.hpp: the bits of
//   swiglu and quantize_activations in sequence.
#pragma once

#include "kernels/hip/problem.hpp"
#include "kernels/swiglu/swiglu_problem.hpp"

namespace greta {

struct SwigluQuantizeProblem {
  int64_t n_rows = 1;
  int64_t width = 256;
  DType dtype = DType::kF16;     ///< of gate and up: f16, bf16 or f32
  DType out = DType::kQ8Act256;  ///< q8_act256 or q8_act32

  int64_t elements() const { return n_rows * width; }
  int64_t out_elements() const { return elements() / dtype_block_values(out); }  ///< blocks
  SwigluProblem product() const { return {.n_rows = n_rows, .width = width, .dtype = dtype}; }
  double flops() const { return 5.0 * static_cast<double>(elements()); }
  double bytes() const {
    return 2.0 * static_cast<double>(elements()) * dtype_block_bytes(dtype) +
           static_cast<double>(out_elements()) * dtype_block_bytes(out);
  }
};

template <class P, class V>
requires std::is_same_v<P, SwigluQuantizeProblem>
void visit_fields(P& p, V&& visit) {
  visit("n_rows", p.n_rows), visit("width", p.width), visit("dtype", p.dtype), visit("out", p.out);
}

void validate(const SwigluQuantizeProblem& p);

}  // namespace greta
