// What kernels and launch functions share that take several weight matrices of one input: the workgroups along x are
// dealt out in ranges, one a matrix, and a workgroup works on the matrix of its range as if it were alone. For .hip
// files of this operator.
#pragma once

#include "kernels/quant_matmul/any_output.hpp"
#include "kernels/quant_matmul/quant_matmul_group.hpp"
#include "kernels/tile/extents.hpp"

namespace greta {

/// The matrix of a workgroup, and which of its workgroups this is.
template <class Block>
struct MatmulPart {
  const Block* weights;
  float* y_f32;
  half_t* y_f16;
  bf16_t* y_bf16;
  int n_out;
  int block, blocks;
};

/// Ends of the ranges of workgroups: W_0 has [0, end_0), W_1 [end_0, end_1), W_2 the rest.
template <class Block>
__device__ __forceinline__ MatmulPart<Block> matmul_part(const Block* w0, const Block* w1, const Block* w2, float* f0,
                                                         float* f1, float* f2, half_t* h0, half_t* h1, half_t* h2,
                                                         bf16_t* b0, bf16_t* b1, bf16_t* b2, int n0, int n1, int n2,
                                                         int end_0, int end_1) {
  const int block = static_cast<int>(blockIdx.x), all = static_cast<int>(gridDim.x);
  if (block < end_0) return {w0, f0, h0, b0, n0, block, end_0};
  if (block < end_1) return {w1, f1, h1, b1, n1, block - end_0, end_1 - end_0};
  return {w2, f2, h2, b2, n2, block - end_1, all - end_1};
}

/// Typed arguments of a group; absent matrices are empty.
template <class Block>
struct MatmulViews {
  hip::DeviceView<const Block> weights[kMatmulGroup];
  AnyOutput y[kMatmulGroup];
  size_t elements[kMatmulGroup] = {};
  int n_out[kMatmulGroup] = {};

  MatmulViews(const QuantMatmulGroupProblem& p, const QuantMatmulGroupArgs& args, size_t alignment) {
    for (int i = 0; i < p.parts(); ++i) {
      const QuantMatmulProblem part = p.part(i);
      weights[i] = args.weights[i].as<const Block>("quant_matmul: weights");
      require_aligned("quant_matmul: weights", weights[i].data(), alignment);
      y[i] = AnyOutput(args.y[i], p.y, static_cast<size_t>(p.m * part.n_out));
      elements[i] = static_cast<size_t>(part.weight_elements());
      n_out[i] = int_extent("quant_matmul: n_out", part.n_out);
    }
  }
};

/// Blocks of activations that a group reads.
inline size_t activation_elements(const QuantMatmulGroupProblem& p) {
  return static_cast<size_t>(p.m * p.part(0).activation_blocks_per_row());
}

/// Launches a kernel of parameters (w0, w1, w2, x, f0, f1, f2, h0, h1, h2, b0, b1, b2, m, n0, n1, n2, end_0, end_1,
/// rest...) with `blocks[i]` workgroups along x for matrix i; shape.grid.x is set here.
template <class Block, class X, class Kernel, class... Rest>
void launch_group(hip::Stream& stream, hip::LaunchShape shape, Kernel kernel, const QuantMatmulGroupProblem& p,
                  const MatmulViews<Block>& v, const hip::Argument<X>& x, const int64_t (&blocks)[kMatmulGroup],
                  Rest... rest) {
  const int end_0 = int_extent("quant_matmul: workgroups", blocks[0]);
  const int end_1 = int_extent("quant_matmul: workgroups", blocks[0] + blocks[1]);
  shape.grid.x = grid_extent("quant_matmul: workgroups", blocks[0] + blocks[1] + blocks[2]);
  if (p.parts() > 1) shape.kernel += concat(" x", p.parts());
  hip::launch(stream, shape, kernel, hip::in("weights", v.weights[0], v.elements[0]),
              hip::in("weights_1", v.weights[1], v.elements[1]), hip::in("weights_2", v.weights[2], v.elements[2]), x,
              v.y[0].arg_f32("y"), v.y[1].arg_f32("y_1"), v.y[2].arg_f32("y_2"), v.y[0].arg_f16("y"),
              v.y[1].arg_f16("y_1"), v.y[2].arg_f16("y_2"), v.y[0].arg_bf16("y"), v.y[1].arg_bf16("y_1"),
              v.y[2].arg_bf16("y_2"), int_extent("quant_matmul: m", p.m), v.n_out[0], v.n_out[1], v.n_out[2], end_0,
              end_1, rest...);
}

/// The parameters of such a kernel, and the part of its workgroup.
#define GRETA_GROUP_WEIGHTS(Block) const Block *w0, const Block *w1, const Block *w2
#define GRETA_GROUP_OUTPUTS                                                                                       \
  float *f0, float *f1, float *f2, half_t *h0, half_t *h1, half_t *h2, bf16_t *b0, bf16_t *b1, bf16_t *b2, int m, \
      int n0, int n1, int n2, int end_0, int end_1
#define GRETA_GROUP_PART matmul_part(w0, w1, w2, f0, f1, f2, h0, h1, h2, b0, b1, b2, n0, n1, n2, end_0, end_1)

}  // namespace greta
