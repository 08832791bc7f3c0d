// Where the terms of an output lie in a wave's slot of LDS, quantised GEMM v3. HIP-free.
//
// A wave writes its tiles of 16 x 16 as the matrix unit leaves them, and threads read them again by rows of a token:
//   wave 64   a lane has one weight row and 4 tokens: 4 bytes a write, lanes 0-31 are two tokens, 4 apart, whose rows
//             of 16 would begin in the same bank. Tokens 4-7 and 12-15 lie in pairs the other way round
//   wave 32   a lane has pairs of weight rows of one token: 8 bytes a write, half a wave is four tokens, whose first 8
//             rows would meet. Runs of 8 rows are swizzled by the token
// Reads are of neighbouring rows, four at a time or fewer, and stay whole. few_rows_layout_test.cpp counts banks.
#pragma once

#include "kernels/hip/host_device.hpp"

namespace greta::few_rows {

/// Float that belongs to weight row `row` of `rows` (16 or 32; wave 64: 16) and token `token`.
GRETA_HOST_DEVICE constexpr int term_at(int wave, int rows, int token, int row) {
  if (wave == 64) return (token ^ (token >> 2 & 1)) * rows + row;
  return token * rows + (row ^ (rows == 32 ? token & 3 : token >> 1 & 1) * 8);
}

}  // namespace greta::few_rows
