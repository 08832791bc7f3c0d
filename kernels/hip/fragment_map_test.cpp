// Elements of fragment maps where the documentation of the instructions puts them, read off by hand.
#include "kernels/hip/fragment.hpp"

#include <gtest/gtest.h>

namespace greta::hip {
namespace {

TEST(FragmentMaps, Gfx942) {  // v_mfma_f32_16x16x16_f16 and v_mfma_i32_16x16x32_i8
  EXPECT_EQ(tile_a_row(64, 17, 2), 1);
  EXPECT_EQ(tile_a_k(64, 17, 2), 6);
  EXPECT_EQ(tile_b_col(64, 63, 3), 15);
  EXPECT_EQ(tile_b_k(64, 63, 3), 15);
  EXPECT_EQ(tile_c_row(64, 35, 1), 9);
  EXPECT_EQ(tile_c_col(64, 35, 1), 3);
  EXPECT_EQ(tile8_a_k(64, 48, 7), 31);
  EXPECT_EQ(tile32_a_k(64, 40, 3), 11);  // v_mfma_i32_32x32x16_i8
  EXPECT_EQ(tile32_c_row(64, 40, 9), 21);
  EXPECT_EQ(tile32_c_col(64, 40, 9), 8);
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
  EXPECT_EQ(tile32_a_row(32, 5, 13), 25);  // a5 of the second m16n8k16
  EXPECT_EQ(tile32_a_k(32, 5, 13), 5);
  EXPECT_EQ(tile32_b_col(32, 5, 9), 17);
  EXPECT_EQ(tile32_c_row(32, 5, 22), 25);
  EXPECT_EQ(tile32_c_col(32, 5, 22), 10);
}

}  // namespace
}  // namespace greta::hip
