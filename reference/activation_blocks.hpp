// 8-bit activation blocks as the last step of an operator: the blocks of rows, and what an oracle says of their fields
// when the values that are quantised have errors of their own. Definition: kernels/tile/quant_blocks.hpp.
//
// Fields     d [blocks], q [blocks, 256 or 32], and for Q8Act256 sums [blocks, 16]
// Bound      Values h within e of the truth, E the largest e of a block, A = max |h| in truth; the kernel's maximum
// lies
//            within E of A (call the smallest it can be A' = A - E):
//              |d^ - A/127|      <= (E + u A) / 127
//              |q^ - 127 h / A|  <= 1/2 + 3 u 127 + 127 (e + |h| E / A) / A'
//            the last part because 127 h^/A^ - 127 h/A = 127 (h^ - h)/A^ + 127 h (A - A^)/(A A^); where A' is not
//            positive nothing is known but |q| <= 127. A sum is within 16 such bounds.
#pragma once

#include <cstdint>

#include "kernels/tile/quant_blocks.hpp"
#include "reference/rounding.hpp"

namespace greta::reference {

/// The blocks of rows of `width` values (a multiple of the block), as bytes. type: Q8Act256 or Q8Act32.
std::vector<uint8_t> activation_block_bytes(DType type, std::span<const float> rows, int64_t width);

/// In the order d, q, sums; Q8Act32 has no sums.
std::vector<Bounded> activation_block_oracle(DType type, const Bounded& values);

}  // namespace greta::reference
