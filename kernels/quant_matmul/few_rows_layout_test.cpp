// Every access to the terms of GEMM v3 against the model of the banks; and the layout without swizzle, which must meet.
#include "kernels/quant_matmul/few_rows_layout.hpp"

#include <gtest/gtest.h>

#include <set>

#include "kernels/hip/fragment.hpp"
#include "kernels/tile/lds_banks.hpp"

namespace greta {
namespace {

using Layout = int (*)(int wave, int rows, int token, int row);
int plain(int, int rows, int token, int row) { return token * rows + row; }

struct Shape {
  int wave, rows;
};
constexpr Shape kShapes[] = {{64, 16}, {32, 16}, {32, 32}};
constexpr int kTokens = 64;

/// Clocks of writing element i (wave 32: elements i and i + 1) of the tile of 16 tokens and 16 rows.
int write_clocks(const Shape& s, Layout at, int tokens, int rows, int i) {
  return lds_clocks(s.wave, s.wave == 64 ? 4 : 8, LdsAccess::kWrite, [&](int lane) {
    return 4 * at(s.wave, s.rows, tokens + hip::tile_c_row(s.wave, lane, i), rows + hip::tile_c_col(s.wave, lane, i));
  });
}
/// Clocks of reading `pack` rows a lane, from output `first` on.
int read_clocks(const Shape& s, Layout at, int pack, int first) {
  return lds_clocks(s.wave, 4 * pack, LdsAccess::kRead, [&](int lane) {
    const int output = first + pack * lane;
    return 4 * at(s.wave, s.rows, output / s.rows, output % s.rows);
  });
}

TEST(FewRowsLayout, EveryTermHasItsPlace) {
  for (const Shape& s : kShapes) {
    std::set<int> places;
    for (int token = 0; token < kTokens; ++token)
      for (int row = 0; row < s.rows; ++row) places.insert(few_rows::term_at(s.wave, s.rows, token, row));
    EXPECT_EQ(static_cast<int>(places.size()), kTokens * s.rows);
    EXPECT_EQ(*places.begin(), 0);
    EXPECT_EQ(*places.rbegin(), kTokens * s.rows - 1);
  }
}

TEST(FewRowsLayout, NeighboursStayNeighbours) {
  for (const Shape& s : kShapes)
    for (int token = 0; token < kTokens; ++token)
      for (int row = 0; row < s.rows; ++row)
        EXPECT_EQ(few_rows::term_at(s.wave, s.rows, token, row),
                  few_rows::term_at(s.wave, s.rows, token, row / 8 * 8) + row % 8);
}

TEST(FewRowsLayout, AccessesMeetNoConflict) {
  for (const Shape& s : kShapes) {
    const int step = s.wave == 64 ? 1 : 2;
    for (int tokens = 0; tokens < kTokens; tokens += hip::kTile)
      for (int rows = 0; rows < s.rows; rows += hip::kTile)
        for (int i = 0; i < hip::tile_elements(s.wave); i += step)
          EXPECT_EQ(write_clocks(s, few_rows::term_at, tokens, rows, i), 2) << s.wave << " " << s.rows;
    for (const int pack : {1, 2, 4}) {
      if (s.wave == 64 && pack == 4)
        continue;  // gfx942 has two outputs a thread at most, and its lanes of a 16-byte
                   // read are not neighbours
      for (int first = 0; first < kTokens * s.rows; first += pack * s.wave)
        EXPECT_EQ(read_clocks(s, few_rows::term_at, pack, first), lds_ideal_clocks(s.wave, 4 * pack))
            << s.wave << " " << s.rows << " " << pack;
    }
  }
}

TEST(FewRowsLayout, WithoutSwizzleWritesMeet) {
  EXPECT_EQ(write_clocks({64, 16}, plain, 0, 0, 0), 4);
  EXPECT_EQ(write_clocks({32, 16}, plain, 0, 0, 0), 4);
  EXPECT_EQ(write_clocks({32, 32}, plain, 0, 0, 0), 8);
}

}  // namespace
}  // namespace greta
