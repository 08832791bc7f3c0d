// The activation quantiser as steps in registers, for kernels whose threads hold four neighbouring values of a block;
// of 16 values a thread quantize_run.hpp makes a block's share. Definition: quant_blocks.hpp. For .hip files.
//
//   maximum   magnitude_bits(), lanes_max(): integers, so that the order is of no consequence
//   scale     activation_scale(): two IEEE divisions a block
//   values    quantised_word(): one rounded product and rint a value
#pragma once

#include "kernels/hip/hip.hpp"
#include "kernels/hip/host_device.hpp"
#include "kernels/tile/pack.hpp"
#include "kernels/tile/quant_blocks.hpp"

namespace greta {

/// |v| as bits: ordered like the magnitudes, infinities and NaN above all numbers.
__device__ __forceinline__ uint32_t magnitude_bits(float v) { return hip::float_bits(v) & 0x7fffffffu; }
__device__ __forceinline__ uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }

/// What a block's values are multiplied by, and what its d is.
struct ActivationScale {
  float r, d;
  bool some;  ///< false: the block's q are zeros
};
__device__ __forceinline__ ActivationScale activation_scale(uint32_t amax_bits) {
  const bool finite = amax_bits < 0x7f800000u;
  const float amax = hip::bits_float(amax_bits);
  const float r = 127.0f / amax;
  const bool some = finite && hip::float_bits(r) < 0x7f800000u;  // amax = 0 and tiny ones give infinity
  return {r, some ? amax / 127.0f : finite ? 0.0f : hip::bits_float(0x7fc00000u), some};
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
    const int q = static_cast<int>(rintf(scale.some ? v[i] * scale.r : 0.0f));
    word.bytes |= (static_cast<uint32_t>(q) & 0xffu) << (8 * i);
    word.sum += q;
  }
  return word;
}
/// d and the zeros behind it.
template <class Block>
__device__ __forceinline__ void store_scale(Block* block, const ActivationScale& scale) {
  *reinterpret_cast<Words4*>(block) = {{hip::float_bits(scale.d), 0, 0, 0}};
}

/// Distance 4 among lanes whose quads agree already is reached by mirroring eight lanes, which gfx942 does in
/// registers.
template <int kDistance>
inline constexpr int kExchangeMask = kDistance == 4 ? 7 : kDistance;
/// Maximum, or sum, over groups of kLanes neighbouring lanes (a power of two, at most 32); every lane gets it.
template <int kLanes>
__device__ __forceinline__ uint32_t lanes_max(uint32_t v) {
  if constexpr (kLanes > 1) {
    v = lanes_max<kLanes / 2>(v);
    v = larger(v, hip::wave_exchange<kExchangeMask<kLanes / 2>>(v));
  }
  return v;
}
template <int kLanes>
__device__ __forceinline__ int lanes_sum(int v) {
  if constexpr (kLanes > 1) {
    v = lanes_sum<kLanes / 2>(v);
    v += hip::wave_exchange<kExchangeMask<kLanes / 2>>(v);
  }
  return v;
}

}  // namespace greta
