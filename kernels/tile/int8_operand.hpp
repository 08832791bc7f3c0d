// Operands of the int8 matrix tile 16x16x32 straight from memory, without LDS: of each run of 32 columns a lane loads 8
// neighbouring bytes of one row (wave 64) or of two (wave 32).
//
//   lane's bytes     columns 8 run .. 8 run + 7 of rows int8_row(slot), slot < int8_slots()
//   in the operand   at the depths that the fragment map gives the lane. Wave 64: those columns. Wave 32: depths
//                    4 run .. + 3 and 16 + 4 run .. + 3, so columns are permuted; by the same permutation in A and B,
//                    and a sum of integers has no order
// Proof: int8_operand_test.hip.
#pragma once

#include "kernels/tile/int8_tile.hpp"

namespace greta {

/// Rows of a tile of which a lane holds bytes: 1 or 2.
__device__ __forceinline__ int int8_slots() { return hip::tile_elements(hip::wave_size()) / 4; }
inline constexpr int kInt8Slots = hip::kFragmentCapacity / 4;  ///< at most
__device__ __forceinline__ int int8_run() { return hip::wave_size() == 64 ? hip::lane_id() / 16 : hip::lane_id() % 4; }
__device__ __forceinline__ int int8_row(int slot) {
  return hip::tile8_a_row(hip::wave_size(), hip::lane_id(), 4 * slot);
}

/// The lane's bytes of a run of 32 columns, of every slot.
using Int8Bytes = Words2[kInt8Slots];

/// Rows as A.
__device__ __forceinline__ hip::FragmentA8 int8_a(const Int8Bytes& bytes) {
  uint32_t words[kFragmentWords];
  GRETA_UNROLL
  for (int w = 0; w < kFragmentWords; ++w)
    words[w] = hip::wave_size() == 64 ? bytes[0].v[w % 2] : bytes[w % kInt8Slots].v[w / 2];
  return fragment_of_words<hip::FragmentA8>(words);
}
/// Rows as columns of B.
__device__ __forceinline__ hip::FragmentB8 int8_b(const Int8Bytes& bytes) {
  uint32_t words[kFragmentWords];
  GRETA_UNROLL
  for (int w = 0; w < kFragmentWords; ++w) words[w] = bytes[w / 2 % kInt8Slots].v[w % 2];
  return fragment_of_words<hip::FragmentB8>(words);
}

/// Columns of a tile of sums of which a lane holds elements, 1 or 4, and element i's number among them.
__device__ __forceinline__ int int8_columns() { return hip::wave_size() == 64 ? 1 : 4; }
inline constexpr int kInt8Columns = hip::kFragmentCapacity == 4 ? 1 : 4;  ///< at most
__device__ __forceinline__ int int8_column_slot(int i) { return hip::wave_size() == 64 ? 0 : i % 2 + 2 * (i / 4); }
/// Column of the tile that has that number.
__device__ __forceinline__ int int8_column(int slot) {
  return hip::tile_c_col(hip::wave_size(), hip::lane_id(), slot % 2 + 4 * (slot / 2));
}

}  // namespace greta
