// The activation quantiser as kernels share it: the quantiser by itself, and kernels whose last step it is. Definition:
// quant_blocks.hpp. For .hip files.
//
//   amax      the largest magnitude_bits() of the block: an integer maximum, so that its order is of no consequence
//   scale     activation_scale(amax): two IEEE divisions a block
//   values    quantised(v, scale): one rounded product, rint
#pragma once

#include "kernels/hip/hip.hpp"
#include "kernels/hip/host_device.hpp"
#include "kernels/tile/quant_blocks.hpp"

namespace greta {

/// |v| as bits: ordered like the magnitudes, infinities and NaN above all numbers.
__device__ __forceinline__ int magnitude_bits(float v) { return static_cast<int>(hip::float_bits(v) & 0x7fffffffu); }
__device__ __forceinline__ int larger(int a, int b) { return a > b ? a : b; }

struct ActivationScale {
  float r;    ///< 127 / amax
  float d;    ///< amax / 127, 0 or NaN: what the block stores
  bool some;  ///< false: every q is 0
};
__device__ __forceinline__ ActivationScale activation_scale(int amax_bits) {
  const bool finite = amax_bits < 0x7f800000;
  const float amax = hip::bits_float(static_cast<uint32_t>(amax_bits));
  const float r = 127.0f / amax;
  const bool some = finite && magnitude_bits(r) < 0x7f800000;  // amax = 0 and tiny ones give infinity
  return {r, some ? amax / 127.0f : finite ? 0.0f : hip::bits_float(0x7fc00000u), some};
}
__device__ __forceinline__ int quantised(float v, const ActivationScale& scale) {
  return static_cast<int>(rintf(scale.some ? v * scale.r : 0.0f));
}

/// Four quantised values as one word, and their sum.
struct QuantisedWord {
  uint32_t bytes;
  int sum;
};
__device__ __forceinline__ QuantisedWord quantised_word(const float (&v)[4], const ActivationScale& scale) {
  QuantisedWord word = {0, 0};
  GRETA_UNROLL
  for (int i = 0; i < 4; ++i) {
    const int q = quantised(v[i], scale);
    word.bytes |= (static_cast<uint32_t>(q) & 0xffu) << (8 * i);
    word.sum += q;
  }
  return word;
}

/// Maximum, or sum, over groups of kLanes neighbouring lanes (a power of two, at most the wave); every lane gets it.
template <int kLanes>
__device__ __forceinline__ int lanes_max(int v) {
  GRETA_UNROLL
  for (int distance = 1; distance < kLanes; distance *= 2) v = larger(v, hip::wave_shfl_xor(v, distance));
  return v;
}
template <int kLanes>
__device__ __forceinline__ int lanes_sum(int v) {
  GRETA_UNROLL
  for (int distance = 1; distance < kLanes; distance *= 2) v += hip::wave_shfl_xor(v, distance);
  return v;
}

}  // namespace greta
