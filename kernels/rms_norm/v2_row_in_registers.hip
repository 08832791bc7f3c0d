// RMSNorm v2: the row read once, 16 bytes a lane, and kept in registers between the sum and the product.
//   y[i,c] = x[i,c] * w[c] / sqrt(mean_c(x[i,c]^2) + eps)
// Shapes    x [n_rows, width] f32, w [width] f32, y [n_rows, width] f16, bf16 or f32; row-major
// Needs     width a multiple of 4 and at most 8192; x and weight on 16 bytes, y on four elements (v1: any)
// Numerics  arithmetic "rms_norm_f32" (rms_norm_problem.hpp), as v1
// Placement workgroup of 256 threads = row; 16 or 32 values a thread; all loads of the row and of the weights are
//           issued before the first is used; LDS 32 bytes
// From v1   The second reading goes: v1 fetched the row again from L2 after the sum, behind the barrier, one load in
//           flight at a time.
// Cost      bytes of the problem once; measured: docs/experiments.md
#include "kernels/hip/launch.hpp"
#include "kernels/rms_norm/rms_norm.hpp"
#include "kernels/tile/extents.hpp"
#include "kernels/tile/row_norm.hpp"

namespace greta {
namespace {

template <class Y, int kSteps>
__global__ GRETA_LAUNCH_BOUNDS(kBlock256, kSteps > 4 ? 4 : 8) void rms_norm_row_kernel(const float* x,
                                                                                       const float* weight, Y* y,
                                                                                       int width, float eps) {
  GRETA_LDS(float, partials, [kBlock256Partials]);
  const int64_t row = static_cast<int64_t>(blockIdx.x) * width;
  const RowPiece<kSteps> piece = load_row<kSteps>(x + row, width);
  const RowPiece<kSteps> w = load_row<kSteps>(weight, width);
  const float r = reciprocal_rms(piece, width, eps, partials);
  y += row;
  GRETA_UNROLL
  for (int s = 0; s < kSteps; ++s) {
    const int c = s * kRowStep + static_cast<int>(threadIdx.x) * kRowColumns;
    Pack<float, kRowColumns> out;
    GRETA_UNROLL
    for (int i = 0; i < kRowColumns; ++i) out.v[i] = (piece.v[s][i] * r) * w.v[s][i];
    if (c < width) store_floats<kRowColumns>(y + c, out);
  }
}

}  // namespace

void rms_norm_v2(hip::Stream& stream, const RmsNormProblem& p, const RmsNormArgs& args) {
  require_aligned("rms_norm v2: x", args.x.data(), 16);
  require_aligned("rms_norm v2: weight", args.weight.data(), 16);
  with_float_type("rms_norm: y", p.y, [&](auto tag) {
    using Y = typename decltype(tag)::type;
    const auto y = args.y.as<Y>("rms_norm: y");
    require_aligned("rms_norm v2: y", y.data(), kRowColumns * sizeof(Y));
    const auto n = static_cast<size_t>(p.elements());
    with_row_steps(p.width, [&](auto steps) {
      hip::launch(stream,
                  {concat("rms_norm_v2<", dtype_name(p.y), ",", steps.value * kRowStep, ">"),
                   dim3(grid_extent("rms_norm: n_rows", p.n_rows)), dim3(kBlock256), 0, p.n_rows},
                  &rms_norm_row_kernel<Y, steps.value>, hip::in("x", args.x, n),
                  hip::in("weight", args.weight, static_cast<size_t>(p.width)), hip::out("y", y, n),
                  int_extent("rms_norm: width", p.width), p.eps);
    });
  });
}

}  // namespace greta
