// Where quantised GEMM v4 keeps rows of bytes in LDS, and which thread unpacks which piece of them. HIP-free.
//
//   wave 32   ldmatrix takes 16 bytes of 8 rows at a time: rows lie 4 banks modulo 8 apart. A piece is stored as two
//             runs of 16 bytes, eight lanes at a time: by pieces 0 .. 7 of one row they would meet twice in a bank, so
//             four pieces of one row are stored beside four of another, and rows as stored lie an even number of units
//             of 16 bytes apart for reading them by the same lanes
//   wave 64   16 lanes take 8 bytes of a row each: rows lie 2 banks modulo 4 apart
// streamed_layout_test.cpp counts banks.
#pragma once

#include "kernels/hip/host_device.hpp"

namespace greta::streamed {

inline constexpr int kUnit = 16;  ///< bytes of a copy

/// Bytes from row to row of a superblock's 256 values; room for 16 bytes behind them.
GRETA_HOST_DEVICE constexpr int row_stride(int wave) { return wave == 64 ? 256 + 24 : 256 + 16; }

/// From row to row as stored, for blocks of 144 bytes (Q4_K) or the 14 units that hold 210 bytes from any even place
/// (Q6_K).
GRETA_HOST_DEVICE constexpr int stored_stride(bool q4_k) { return kUnit * (q4_k ? 10 : 15); }

struct PieceAt {
  int row, piece;
};
/// The index-th of the pieces of a tile, of which neighbouring lanes have neighbouring indices.
GRETA_HOST_DEVICE constexpr PieceAt piece_at(int wave, bool q4_k, int index) {
  if (wave == 64) return {index / 8, index % 8};
  const int apart = q4_k ? 2 : 4, pair = index / 16;  // of rows
  return {pair / apart * 2 * apart + pair % apart + index / 4 % 2 * apart, index % 4 + index / 8 % 2 * 4};
}

}  // namespace greta::streamed
