// int8 operand tiles in LDS: every operand read and every 16-byte store of a tile takes as long as it must and no
// longer, on both GPUs; a tile without padding does not.
#include <gtest/gtest.h>

#include "kernels/hip/fragment.hpp"
#include "kernels/tile/int8_tile_layout.hpp"
#include "kernels/tile/lds_banks.hpp"

namespace greta {
namespace {

/// gfx942: 8 bytes a lane, at the row and depth of the fragment map.
int gfx942_read(int stride) {
  return lds_clocks(64, 8, LdsAccess::kRead,
                    [&](int lane) { return hip::tile8_a_row(64, lane, 0) * stride + hip::tile8_a_k(64, lane, 0); });
}
/// sm_90a: ldmatrix, lane l gives the address of a row of 16 bytes.
int sm90_read(int stride) {
  return lds_clocks(32, 16, LdsAccess::kRead,
                    [&](int lane) { return (lane % 8 + 8 * (lane / 8 % 2)) * stride + 16 * (lane / 16); });
}

TEST(Int8Tile, OperandReadsMeetNoBankTwice) {
  EXPECT_EQ(gfx942_read(int8_layout::kStrideOf64KiB), lds_ideal_clocks(64, 8));
  EXPECT_EQ(sm90_read(int8_layout::kStrideOf227KiB), lds_ideal_clocks(32, 16));
}

TEST(Int8Tile, WithoutPaddingTheyDo) {
  EXPECT_GE(gfx942_read(int8_layout::kStepOf64KiB), 4 * lds_ideal_clocks(64, 8));
  EXPECT_GE(sm90_read(int8_layout::kStepOf227KiB), 8 * lds_ideal_clocks(32, 16));
  // And the layout of the one GPU is not that of the other.
  EXPECT_GT(gfx942_read(int8_layout::kStrideOf227KiB), lds_ideal_clocks(64, 8));
}

}  // namespace
}  // namespace greta
