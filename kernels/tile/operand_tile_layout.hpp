// 16-bit operands of matrix products from rows in memory: which columns a matrix tile takes, and where a tile of rows
// lies in LDS. HIP-free.
//
// Columns (the depth of the product) are taken in runs of 32 from column 0 on, a run by two matrix tiles of depth 16.
// A lane loads 16 bytes of a row at once, 8 columns, four of each tile: tile h of a run has columns 8 j + 4 h + (0..3),
// j = 0..3, in this order on a wave of 64. On a wave of 32 the same 16 columns stand in another order (mma.sync wants
// depths 2c, 2c+1, 2c+8, 2c+9 in one lane), which no sum notices on a machine that adds 16 products at once.
//
// A tile of rows in LDS: kRunColumns columns of each row side by side, 4 chunks of 16 bytes, their order changed with
// the row so that operand reads and copies touch every bank once (operand_tile_test.cpp).
#pragma once

#include "kernels/hip/host_device.hpp"

namespace greta {

inline constexpr int kRunColumns = 32;   ///< of two matrix tiles
inline constexpr int kOperandChunk = 8;  ///< columns in 16 bytes
inline constexpr int kRunChunks = kRunColumns / kOperandChunk;

/// The column of a run that stands at depth `position` (0..15) of the run's tile `half`.
GRETA_HOST_DEVICE constexpr int run_column(int wave, int half, int position) {
  const int c = wave == 64 ? position / 4 : position / 2 % 4,
            i = wave == 64 ? position % 4 : position / 8 * 2 + position % 2;
  return kOperandChunk * c + 4 * half + i;
}

/// Element offset of a chunk of a row in a tile of rows.
GRETA_HOST_DEVICE constexpr int operand_offset(int row, int chunk) {
  return row * kRunColumns + (chunk ^ (row >> 1 & 3)) * kOperandChunk;
}

/// The chunk a lane holds of an operand, and its (first) row: rows of wave 32 are two, 8 apart.
GRETA_HOST_DEVICE constexpr int operand_row(int wave, int lane) { return wave == 64 ? lane % 16 : lane / 4; }
GRETA_HOST_DEVICE constexpr int operand_chunk(int wave, int lane) { return wave == 64 ? lane / 16 : lane % 4; }

}  // namespace greta
