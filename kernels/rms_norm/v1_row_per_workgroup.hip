// RMSNorm v1: one workgroup of 256 threads a row, the row read twice (the second time from the cache).
//   y[i,c] = x[i,c] * w[c] / sqrt(mean_c(x[i,c]^2) + eps)
// Shapes    x [n_rows, width] f32, w [width] f32, y [n_rows, width] f16, bf16 or f32; row-major
// Needs     any width; 16-byte loads when width % 4 == 0 and the buffers are aligned, else one element at a time
// Numerics  arithmetic "rms_norm_f32" (rms_norm_problem.hpp): sum of squares over 256 logical threads of 4 columns,
//           tree over thread distances; IEEE square root and division, once a row
// Placement workgroup = row; LDS 32 bytes; under 32 VGPRs, 8 waves a SIMD
#include "kernels/hip/launch.hpp"
#include "kernels/rms_norm/rms_norm.hpp"
#include "kernels/tile/extents.hpp"
#include "kernels/tile/logical_wave.hpp"
#include "kernels/tile/pack.hpp"

namespace greta {
namespace {

constexpr int kThreads = kBlock256;
constexpr int kColumns = 4;  // of one thread in one step
constexpr int kStep = kThreads * kColumns;

template <class Y, bool kPacks>
__global__ GRETA_LAUNCH_BOUNDS(kThreads, 8) void rms_norm_kernel(const float* x, const float* weight, Y* y,
                                                                 int64_t width, float eps) {
  GRETA_LDS(float, partials, [kBlock256Partials]);
  x += static_cast<int64_t>(blockIdx.x) * width;
  y += static_cast<int64_t>(blockIdx.x) * width;
  const int64_t first = static_cast<int64_t>(threadIdx.x) * kColumns;

  float sum = 0.0f;
  for (int64_t c = first; c < width; c += kStep) {
    if constexpr (kPacks) {
      const Pack<float, kColumns> p = load_pack<kColumns>(x + c);
      for (int i = 0; i < kColumns; ++i) sum = fmaf(p.v[i], p.v[i], sum);
    } else {
      const int n = width - c < kColumns ? static_cast<int>(width - c) : kColumns;
      for (int i = 0; i < n; ++i) sum = fmaf(x[c + i], x[c + i], sum);
    }
  }
  sum = block_sum_256(sum, partials);
  const float mean = sum / static_cast<float>(width);
  const float r = 1.0f / sqrtf(mean + eps);

  for (int64_t c = first; c < width; c += kStep) {
    if constexpr (kPacks) {
      const Pack<float, kColumns> p = load_pack<kColumns>(x + c);
      const Pack<float, kColumns> w = load_pack<kColumns>(weight + c);
      Pack<float, kColumns> out;
      for (int i = 0; i < kColumns; ++i) out.v[i] = (p.v[i] * r) * w.v[i];
      store_floats<kColumns>(y + c, out);
    } else {
      const int n = width - c < kColumns ? static_cast<int>(width - c) : kColumns;
      for (int i = 0; i < n; ++i) y[c + i] = hip::from_float<Y>((x[c + i] * r) * weight[c + i]);
    }
  }
}

}  // namespace

void rms_norm_v1(hip::Stream& stream, const RmsNormProblem& p, const RmsNormArgs& args) {
  with_float_type("rms_norm: y", p.y, [&](auto tag) {
    using Y = typename decltype(tag)::type;
    const auto y = args.y.as<Y>("rms_norm: y");
    const bool packs = packs_fit({args.x.data(), args.weight.data(), y.data()}, p.width, kColumns);
    const auto n = static_cast<size_t>(p.elements());
    hip::launch(stream,
                {concat("rms_norm_v1<", dtype_name(p.y), packs ? "" : ",elementwise", ">"),
                 dim3(grid_extent("rms_norm: n_rows", p.n_rows)), dim3(kThreads), 0, p.n_rows},
                packs ? &rms_norm_kernel<Y, true> : &rms_norm_kernel<Y, false>, hip::in("x", args.x, n),
                hip::in("weight", args.weight, static_cast<size_t>(p.width)), hip::out("y", y, n), p.width, p.eps);
  });
}

}  // namespace greta
