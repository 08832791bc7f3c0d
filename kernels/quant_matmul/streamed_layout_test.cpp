// Every access to the rows of GEMM v4 against the model of the banks; and the layouts that it avoids, which must meet.
#include "kernels/quant_matmul/streamed_layout.hpp"

#include <gtest/gtest.h>

#include <set>
#include <utility>

#include "kernels/tile/lds_banks.hpp"

namespace greta {
namespace {

using streamed::PieceAt;

constexpr int kPiecesOfRow = 8;

/// First value of a piece's runs (weight_piece.hpp).
int lo_at(bool q4_k, int piece) {
  return q4_k ? 64 * (piece / 2) + 16 * (piece % 2) : 128 * (piece / 4) + 16 * (piece % 4);
}

/// Clocks of storing one run of 16 bytes of pieces first .. first + 31, `stride` bytes from row to row.
template <class At>
int store_clocks(bool q4_k, int stride, int first, At at) {
  return lds_clocks(32, 16, LdsAccess::kWrite, [&](int lane) {
    const PieceAt p = at(first + lane);
    return p.row * stride + lo_at(q4_k, p.piece);
  });
}
/// Clocks of reading their 16 bytes as stored, Q4_K.
int read_clocks(int stride, int first) {
  return lds_clocks(32, 16, LdsAccess::kRead, [&](int lane) {
    const PieceAt p = streamed::piece_at(32, true, first + lane);
    return p.row * stride + 16 + 16 * p.piece;
  });
}
/// Clocks of a matrix load of 16 bytes of 8 rows (wave 32), or of 8 bytes of 16 rows (wave 64).
int operand_clocks(int wave, int stride) {
  if (wave == 64)
    return lds_clocks(64, 8, LdsAccess::kRead, [&](int lane) { return lane % 16 * stride + 8 * (lane / 16); });
  return lds_clocks(32, 16, LdsAccess::kRead, [&](int lane) { return lane % 16 * stride + 16 * (lane / 16); });
}

TEST(StreamedLayout, EveryPieceIsOneThreads) {
  for (const int wave : {32, 64})
    for (const bool q4_k : {false, true})
      for (const int rows : {16, 32, 64}) {
        std::set<std::pair<int, int>> pieces;
        for (int i = 0; i < rows * kPiecesOfRow; ++i) {
          const PieceAt p = streamed::piece_at(wave, q4_k, i);
          EXPECT_TRUE(p.row >= 0 && p.row < rows && p.piece >= 0 && p.piece < kPiecesOfRow) << i;
          pieces.emplace(p.row, p.piece);
        }
        EXPECT_EQ(static_cast<int>(pieces.size()), rows * kPiecesOfRow);
      }
}

TEST(StreamedLayout, OperandsMeetNoConflict) {
  for (const int wave : {32, 64})
    EXPECT_EQ(operand_clocks(wave, streamed::row_stride(wave)), lds_ideal_clocks(wave, wave == 64 ? 8 : 16));
  EXPECT_GT(operand_clocks(32, 256), lds_ideal_clocks(32, 16)) << "rows one behind the other";
  EXPECT_GT(operand_clocks(64, 256), lds_ideal_clocks(64, 8));
}

TEST(StreamedLayout, StoresOfPiecesMeetNoConflict) {
  const int stride = streamed::row_stride(32);
  for (const bool q4_k : {false, true})
    for (int first = 0; first < 32 * kPiecesOfRow; first += 32) {
      EXPECT_EQ(store_clocks(q4_k, stride, first, [&](int i) { return streamed::piece_at(32, q4_k, i); }),
                lds_ideal_clocks(32, 16))
          << q4_k << " " << first;
      EXPECT_GT(store_clocks(q4_k, stride, first,
                             [](int i) {
                               return PieceAt{i / 8, i % 8};
                             }),
                lds_ideal_clocks(32, 16))
          << "the pieces of a row by neighbouring lanes";
    }
}

TEST(StreamedLayout, ReadsAsStoredMeetNoConflict) {
  for (int first = 0; first < 32 * kPiecesOfRow; first += 32) {
    EXPECT_EQ(read_clocks(streamed::stored_stride(true), first), lds_ideal_clocks(32, 16));
    EXPECT_GT(read_clocks(144, first), lds_ideal_clocks(32, 16)) << "blocks one behind the other";
  }
}

TEST(StreamedLayout, StoredRowsHoldTheirUnits) {
  EXPECT_GE(streamed::stored_stride(true), 144);
  EXPECT_GE(streamed::stored_stride(false), (14 + 210 + 15) / 16 * 16);
}

}  // namespace
}  // namespace greta
