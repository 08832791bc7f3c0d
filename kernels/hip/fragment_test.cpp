// Every fragment map of both wave widths names each element of its tile exactly once, and a lane's element where the
// instruction's documentation puts it.
#include "kernels/hip/fragment.hpp"

#include <gtest/gtest.h>

#include <set>
#include <utility>

namespace greta::hip {
namespace {

using Map = int (*)(int, int, int);

void expect_bijection(const char* name, int wave, int elements, int rows, int columns, Map row, Map column) {
  ASSERT_EQ(wave * elements, rows * columns) << name;
  std::set<std::pair<int, int>> seen;
  for (int lane = 0; lane < wave; ++lane)
    for (int i = 0; i < elements; ++i) {
      const int r = row(wave, lane, i), c = column(wave, lane, i);
      EXPECT_TRUE(r >= 0 && r < rows && c >= 0 && c < columns) << name << " " << r << "," << c;
      EXPECT_TRUE(seen.insert({r, c}).second) << name << " wave " << wave << ": twice " << r << "," << c;
    }
}

TEST(FragmentMaps, AreBijections) {
  for (const int wave : {64, 32}) {
    const int n = tile_elements(wave);
    expect_bijection("A", wave, n, kTile, kTile, tile_a_row, tile_a_k);
    expect_bijection("B", wave, n, kTile, kTile, tile_b_k, tile_b_col);
    expect_bijection("C", wave, n, kTile, kTile, tile_c_row, tile_c_col);
    expect_bijection("A8", wave, 2 * n, kTile, kTileDepth8, tile8_a_row, tile8_a_k);
    expect_bijection("B8", wave, 2 * n, kTileDepth8, kTile, tile8_b_k, tile8_b_col);
  }
}

TEST(FragmentMaps, Gfx942) {  // v_mfma_f32_16x16x16_f16 and v_mfma_i32_16x16x32_i8
  EXPECT_EQ(tile_a_row(64, 17, 2), 1);
  EXPECT_EQ(tile_a_k(64, 17, 2), 6);
  EXPECT_EQ(tile_b_col(64, 63, 3), 15);
  EXPECT_EQ(tile_b_k(64, 63, 3), 15);
  EXPECT_EQ(tile_c_row(64, 35, 1), 9);
  EXPECT_EQ(tile_c_col(64, 35, 1), 3);
  EXPECT_EQ(tile8_a_k(64, 48, 7), 31);
}

TEST(FragmentMaps, Sm90) {  // mma.sync m16n8k16: a4 of lane 5 is row 1, k 10; c6 of lane 5 is row 9, column 8 + 2
  EXPECT_EQ(tile_a_row(32, 5, 4), 1);
  EXPECT_EQ(tile_a_k(32, 5, 4), 10);
  EXPECT_EQ(tile_a_row(32, 5, 2), 9);
  EXPECT_EQ(tile_b_k(32, 5, 3), 11);
  EXPECT_EQ(tile_b_col(32, 5, 3), 1);
  EXPECT_EQ(tile_c_row(32, 5, 6), 9);
  EXPECT_EQ(tile_c_col(32, 5, 6), 10);
  EXPECT_EQ(tile8_a_k(32, 5, 12), 20);
  EXPECT_EQ(tile8_b_k(32, 5, 5), 21);
}

}  // namespace
}  // namespace greta::hip
