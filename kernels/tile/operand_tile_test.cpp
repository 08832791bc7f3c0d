// 16-bit operand tiles: every column of a run has one place, a lane's 16 bytes are what its fragments need, and reads
// and copies of a tile in LDS take as long as they must and no longer; without the swizzle they do not.
#include <gtest/gtest.h>

#include <set>

#include "kernels/hip/fragment.hpp"
#include "kernels/tile/lds_banks.hpp"
#include "kernels/tile/operand_tile_layout.hpp"

namespace greta {
namespace {

TEST(OperandTile, EveryColumnOfARunStandsOnceAmongTheDepths) {
  for (const int half : {0, 1}) {
    std::set<int> columns[2];
    for (const int wave : {64, 32})
      for (int position = 0; position < 16; ++position) columns[wave == 64].insert(run_column(wave, half, position));
    EXPECT_EQ(columns[0].size(), 16u);
    EXPECT_EQ(columns[0], columns[1]) << "the waves give a tile the same columns, in another order";
    for (const int c : columns[0]) EXPECT_EQ(c / 4 % 2, half);
  }
}

TEST(OperandTile, ALaneLoadsWhatItsFragmentsTake) {
  for (const int wave : {64, 32})
    for (int lane = 0; lane < wave; ++lane)
      for (int half = 0; half < 2; ++half)
        for (int i = 0; i < hip::tile_elements(wave); ++i) {
          // Order of a wave of 32: A has rows alternating by two, B by four (operand_a, operand_b).
          const int a_at = wave == 64 ? i : i / 4 * 2 + i % 2, b_at = wave == 64 ? i : i / 2 % 2 * 2 + i % 2;
          const int a = run_column(wave, half, hip::tile_a_k(wave, lane, i));
          const int b = run_column(wave, half, hip::tile_b_k(wave, lane, i));
          EXPECT_EQ(a, kOperandChunk * operand_chunk(wave, lane) + 4 * half + a_at);
          EXPECT_EQ(b, kOperandChunk * operand_chunk(wave, lane) + 4 * half + b_at);
          EXPECT_EQ(hip::tile_a_row(wave, lane, i), operand_row(wave, lane) + (wave == 64 ? 0 : 8 * (i / 2 % 2)));
          EXPECT_EQ(hip::tile_b_col(wave, lane, i), operand_row(wave, lane) + (wave == 64 ? 0 : 8 * (i / 4)));
        }
}

TEST(OperandTile, EveryChunkHasAPlaceOfItsOwn) {
  std::set<int> places;
  for (int row = 0; row < 64; ++row)
    for (int chunk = 0; chunk < kRunChunks; ++chunk) places.insert(operand_offset(row, chunk));
  EXPECT_EQ(places.size(), 64u * kRunChunks);
  EXPECT_EQ(*places.rbegin(), (64 * kRunChunks - 1) * kOperandChunk);
}

/// Byte of a chunk, swizzled or not.
int byte_of(bool swizzled, int row, int chunk) {
  return 2 * (swizzled ? operand_offset(row, chunk) : row * kRunColumns + chunk * kOperandChunk);
}
int read_clocks(int wave, int further, bool swizzled) {
  return lds_clocks(wave, 16, LdsAccess::kRead, [&](int lane) {
    return byte_of(swizzled, operand_row(wave, lane) + further, operand_chunk(wave, lane));
  });
}

TEST(OperandTile, ReadsAndCopiesMeetNoBankTwice) {
  for (const int wave : {64, 32})
    for (int first = 0; first < 64; first += wave == 64 ? 16 : 8)
      EXPECT_EQ(read_clocks(wave, first, true), lds_ideal_clocks(wave, 16)) << wave << " " << first;
  for (const int wave : {64, 32})
    EXPECT_EQ(lds_clocks(wave, 16, LdsAccess::kWrite,
                         [](int lane) { return byte_of(true, lane / kRunChunks, lane % kRunChunks); }),
              lds_ideal_clocks(wave, 16));
}

TEST(OperandTile, WithoutTheSwizzleReadsOfWave64Do) {
  EXPECT_GE(read_clocks(64, 0, false), 2 * lds_ideal_clocks(64, 16));
}

}  // namespace
}  // namespace greta
