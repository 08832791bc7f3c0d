// Reductions whose order does not depend on the wave: trees over 64 logical lanes, ascending distances 1, 2, 4, ...,
// 32, continued across waves by the same rule (64, 128). Bits are equal on waves of 64 and of 32.
//
//   A hardware lane carries kSlots = 64 / wave_size() logical lanes: lane_id() and, on waves of 32, lane_id() + 32.
//   Per-lane values are arrays [kSlots], indexed by constants only, so kSlots is a template parameter of a kernel; its
//   launch function picks the instance through with_logical_slots().
#pragma once

#include <type_traits>

#include "kernels/hip/hip.hpp"
#include "kernels/hip/runtime.hpp"

namespace greta {

inline constexpr int kLogicalWave = 64;

/// The logical lane of this hardware lane's slot, 0 .. 63.
template <int kSlots>
__device__ __forceinline__ int logical_lane(int slot) {
  static_assert(kSlots == 1 || kSlots == 2, "waves have 64 or 32 lanes");
  return hip::lane_id() + slot * (kLogicalWave / kSlots);
}

/// Sum over the logical lanes of a wave; every lane gets it. The whole wave takes part.
template <int kSlots>
__device__ __forceinline__ float logical_sum(const float (&v)[kSlots]) {
  const float low = hip::wave_sum(v[0]);
  if constexpr (kSlots == 1) return low;
  return low + hip::wave_sum(v[kSlots - 1]);  // distance 32
}

/// As logical_sum; the order is of no consequence to a maximum, so the slots go first and one collective does. NaN is
/// ignored beside a number, as fmaxf does.
template <int kSlots>
__device__ __forceinline__ float logical_max(const float (&v)[kSlots]) {
  return hip::wave_max(fmaxf(v[0], v[kSlots - 1]));
}

inline constexpr int kBlock256 = 256;
inline constexpr int kBlock256Partials = kBlock256 / 32;  ///< floats of LDS that block_sum_256 needs

/// Sum over a workgroup of 256 threads, the tree going by threadIdx.x; every thread gets it, every thread takes part.
/// partials: kBlock256Partials floats of LDS; free for another use as soon as this returns.
__device__ __forceinline__ float block_sum_256(float v, float* partials) {
  const float of_wave = hip::wave_sum(v);
  if (hip::lane_id() == 0) partials[hip::wave_id()] = of_wave;
  __syncthreads();
  // Four partials of waves of 64 (distances 64, 128) or eight of waves of 32 (32, 64, 128).
  float sum = (partials[0] + partials[1]) + (partials[2] + partials[3]);
  if (hip::wave_size() != kLogicalWave) sum += (partials[4] + partials[5]) + (partials[6] + partials[7]);
  __syncthreads();
  return sum;
}

/// Calls f(std::integral_constant<int, kSlots>{}) with the kSlots of the device in use; for launch functions.
template <class F>
void with_logical_slots(F&& f) {
#if defined(GRETA_HOST_EXECUTOR)
  if (hip::device_info().wave_size == kLogicalWave) return f(std::integral_constant<int, 1>{});
  f(std::integral_constant<int, 2>{});
#else
  f(std::integral_constant<int, kLogicalWave / hip::wave_size()>{});
#endif
}

}  // namespace greta
