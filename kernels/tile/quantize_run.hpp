// The activation quantiser over 16 values a thread. Its steps: activation_quantiser.hpp.
//
//   const uint32_t mine = largest_magnitude(v);            // of the thread's 16 values
//   const uint32_t all = ... max of `mine` over the threads of the block (16 of Q8Act256, 2 of Q8Act32), as integers
//   store_quantized(block, lane, v, activation_scale(all));   // lane: which 16 values of the block
//
// Bits are those of quantize_activations(): the maximum goes over bit patterns, so its order is free.
#pragma once

#include "kernels/tile/activation_quantiser.hpp"
#include "kernels/tile/quant_blocks.hpp"

namespace greta {

inline constexpr int kQuantizedRun = 16;  ///< values of a thread

/// Largest |v| as a bit pattern; NaN and infinity come out above every finite number.
__device__ __forceinline__ uint32_t largest_magnitude(const float (&v)[kQuantizedRun]) {
  uint32_t most = 0;
  GRETA_UNROLL
  for (int i = 0; i < kQuantizedRun; ++i) most = larger(most, magnitude_bits(v[i]));
  return most;
}

/// Writes values 16 lane .. 16 lane + 15 of the block, their sum (Q8Act256), and, by lane 0, d.
template <class Block>
__device__ __forceinline__ void store_quantized(Block* block, int lane, const float (&v)[kQuantizedRun],
                                                const ActivationScale& scale) {
  Words4 words = {};
  int sum = 0;
  GRETA_UNROLL
  for (int i = 0; i < kQuantizedRun / 4; ++i) {
    const QuantisedWord word = quantised_word({v[4 * i], v[4 * i + 1], v[4 * i + 2], v[4 * i + 3]}, scale);
    words.v[i] = word.bytes, sum += word.sum;
  }
  *reinterpret_cast<Words4*>(block->qs + lane * kQuantizedRun) = words;
  if constexpr (sizeof(Block) == sizeof(BlockQ8Act256)) block->sums[lane] = static_cast<int16_t>(sum);
  if (lane == 0) store_scale(block, scale);
}

}  // namespace greta
