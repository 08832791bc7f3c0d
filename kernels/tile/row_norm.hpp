// RMSNorm of a row that a workgroup of 256 threads holds in registers: the pieces of the kernels that read a row once.
// The arithmetic is rms_norm_problem.hpp's: thread t has columns 1024*s + 4*t + (0..3) of step s. For .hip files.
#pragma once

#include "kernels/hip/host_device.hpp"
#include "kernels/tile/logical_wave.hpp"
#include "kernels/tile/pack.hpp"

namespace greta {

inline constexpr int kRowColumns = 4;                     ///< of one thread in one step
inline constexpr int kRowStep = kBlock256 * kRowColumns;  ///< columns of a step
inline constexpr int kRowStepsMost = 8;                   ///< rows up to 8192 columns fit the registers
inline constexpr int kRowMost = kRowStepsMost * kRowStep;

/// A thread's columns of a row of up to kSteps * kRowStep values; zeros beyond the width.
template <int kSteps>
struct RowPiece {
  float v[kSteps][kRowColumns];
};

/// All loads are independent of one another: kSteps of them are in flight. The width is a multiple of 4.
template <int kSteps>
__device__ __forceinline__ RowPiece<kSteps> load_row(const float* row, int width) {
  RowPiece<kSteps> piece;
  GRETA_UNROLL
  for (int s = 0; s < kSteps; ++s) {
    const int c = s * kRowStep + static_cast<int>(threadIdx.x) * kRowColumns;
    Pack<float, kRowColumns> p = {};
    if (c < width) p = load_pack<kRowColumns>(row + c);
    GRETA_UNROLL
    for (int i = 0; i < kRowColumns; ++i) piece.v[s][i] = p.v[i];
  }
  return piece;
}

/// 1 / sqrt(mean of squares + eps). Zeros beyond the width add +0 to a sum that is never -0: they leave its bits.
template <int kSteps>
__device__ __forceinline__ float reciprocal_rms(const RowPiece<kSteps>& piece, int width, float eps, float* partials) {
  float sum = 0.0f;
  GRETA_UNROLL
  for (int s = 0; s < kSteps; ++s) {
    GRETA_UNROLL
    for (int i = 0; i < kRowColumns; ++i) sum = fmaf(piece.v[s][i], piece.v[s][i], sum);
  }
  sum = block_sum_256(sum, partials);
  const float mean = sum / static_cast<float>(width);
  return 1.0f / sqrtf(mean + eps);
}

/// Steps of the smallest kernel instance that holds a row of the width: 4 or 8.
template <class F>
void with_row_steps(int64_t width, F&& f) {
  if (width <= 4 * kRowStep) return f(std::integral_constant<int, 4>{});
  f(std::integral_constant<int, kRowStepsMost>{});
}

}  // namespace greta
