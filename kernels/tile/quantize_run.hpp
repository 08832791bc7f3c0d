// The activation quantiser in registers: 16 values a thread, for kernels that have a row of activations in hand (the
// quantiser itself, a norm that hands its row to a matmul). Definition: quant_blocks.hpp.
//
//   const uint32_t mine = largest_magnitude(v);            // of the thread's 16 values
//   const uint32_t all = ... max of `mine` over the threads of the block (16 of Q8Act256, 2 of Q8Act32), as integers
//   store_quantized(block, lane, v, activation_scale(all));   // lane: which 16 values of the block
//
// Bits are those of quantize_activations(): the maximum goes over bit patterns, so its order is free.
#pragma once

#include "kernels/tile/pack.hpp"
#include "kernels/tile/quant_blocks.hpp"

namespace greta {

inline constexpr int kQuantizedRun = 16;  ///< values of a thread

/// Largest |v| as a bit pattern; NaN and infinity come out above every finite number.
__device__ __forceinline__ uint32_t largest_magnitude(const float (&v)[kQuantizedRun]) {
  uint32_t most = 0;
  GRETA_UNROLL
  for (int i = 0; i < kQuantizedRun; ++i) {
    const uint32_t bits = hip::float_bits(v[i]) & 0x7fffffffu;
    most = bits > most ? bits : most;
  }
  return most;
}

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

/// Writes values 16 lane .. 16 lane + 15 of the block, their sum (Q8Act256), and, by lane 0, d.
template <class Block>
__device__ __forceinline__ void store_quantized(Block* block, int lane, const float (&v)[kQuantizedRun],
                                                const ActivationScale& scale) {
  Words4 words = {};
  int sum = 0;
  GRETA_UNROLL
  for (int i = 0; i < kQuantizedRun; ++i) {
    const int q = static_cast<int>(rintf(scale.some ? v[i] * scale.r : 0.0f));
    words.v[i / 4] |= (static_cast<uint32_t>(q) & 0xffu) << (8 * (i % 4));
    sum += q;
  }
  *reinterpret_cast<Words4*>(block->qs + lane * kQuantizedRun) = words;
  if constexpr (sizeof(Block) == sizeof(BlockQ8Act256)) block->sums[lane] = static_cast<int16_t>(sum);
  if (lane == 0) *reinterpret_cast<Words4*>(block) = {{hip::float_bits(scale.d), 0, 0, 0}};
}

}  // namespace greta
