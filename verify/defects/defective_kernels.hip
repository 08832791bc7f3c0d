#include "verify/defects/defective_kernels.hpp"

#include "kernels/hip/launch.hpp"
#include "kernels/tile/extents.hpp"

namespace greta::verify {
namespace {

constexpr int kThreads = 256;
constexpr int kColumns = 4;

enum class Mistake { kNoBarrier, kSerialWaves, kUnwrittenFlag, kPastEnd };

__device__ float sum_of_squares(const float* x, int64_t width) {
  float sum = 0.0f;
  for (int64_t c = static_cast<int64_t>(threadIdx.x) * kColumns; c < width; c += kThreads * kColumns)
    for (int64_t i = c; i < c + kColumns && i < width; ++i) sum = fmaf(x[i], x[i], sum);
  return sum;
}

template <Mistake kMistake>
__global__ void defective(const float* x, const float* weight, float* flags, float* y, int64_t width, float eps) {
  GRETA_LDS(float, partials, [8]);
  GRETA_LDS(float, total, [1]);
  x += static_cast<int64_t>(blockIdx.x) * width;
  y += static_cast<int64_t>(blockIdx.x) * width;
  if (kMistake == Mistake::kPastEnd && blockIdx.x + 1 == gridDim.x) x += width;
  const float of_wave = hip::wave_sum(sum_of_squares(x, width));
  if (hip::lane_id() == 0) partials[hip::wave_id()] = of_wave;
  __syncthreads();
  if (threadIdx.x == 0) {
    const int waves = kThreads / hip::wave_size();
    float sum = (partials[0] + partials[1]) + (partials[2] + partials[3]);
    if (waves == 8 && kMistake != Mistake::kSerialWaves)
      sum += (partials[4] + partials[5]) + (partials[6] + partials[7]);
    if (waves == 8 && kMistake == Mistake::kSerialWaves) {
      sum = partials[0];
      for (int i = 1; i < waves; ++i) sum += partials[i];
    }
    total[0] = sum;
  }
  if (kMistake != Mistake::kNoBarrier) __syncthreads();
  const float r = 1.0f / sqrtf(total[0] / static_cast<float>(width) + eps);
  const bool doubled = kMistake == Mistake::kUnwrittenFlag && flags[threadIdx.x] > 1.0f;
  for (int64_t c = static_cast<int64_t>(threadIdx.x); c < width; c += kThreads)
    y[c] = (x[c] * r) * weight[c] * (doubled ? 2.0f : 1.0f);
}

template <Mistake kMistake>
void run(hip::Stream& stream, const RmsNormProblem& p, const RmsNormArgs& args) {
  hip::DeviceBuffer<float> flags("defect.flags", kThreads);
  const auto n = static_cast<size_t>(p.elements());
  hip::launch(
      stream, {"defective_rms_norm", dim3(grid_extent("rms_norm: n_rows", p.n_rows)), dim3(kThreads), 0, p.n_rows},
      &defective<kMistake>, hip::in("x", args.x, n), hip::in("weight", args.weight, static_cast<size_t>(p.width)),
      hip::inout("flags", flags.view(), kThreads), hip::out("y", args.y.as<float>("y"), n), p.width, p.eps);
  stream.synchronize();
}

}  // namespace

void rms_norm_missing_barrier(hip::Stream& s, const RmsNormProblem& p, const RmsNormArgs& a) {
  run<Mistake::kNoBarrier>(s, p, a);
}
void rms_norm_serial_waves(hip::Stream& s, const RmsNormProblem& p, const RmsNormArgs& a) {
  run<Mistake::kSerialWaves>(s, p, a);
}
void rms_norm_reads_unwritten(hip::Stream& s, const RmsNormProblem& p, const RmsNormArgs& a) {
  run<Mistake::kUnwrittenFlag>(s, p, a);
}
void rms_norm_reads_past_end(hip::Stream& s, const RmsNormProblem& p, const RmsNormArgs& a) {
  run<Mistake::kPastEnd>(s, p, a);
}

}  // namespace greta::verify
