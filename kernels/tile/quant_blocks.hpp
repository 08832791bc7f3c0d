// Quantised blocks: the weight formats of GGUF (Q4_K, Q6_K, Q8_0) and our two activation formats. HIP-free, plain data.
//
// Weights, as stored in GGUF files (format: ggml's public documentation of the K-quants and Q8_0):
//   Q4_K  256 values in 8 sub-blocks of 32.  w = d * sc[j] * q - dmin * m[j],  q in 0..15, sc and m in 0..63.
//         scales[12] packs 8 six-bit scales and 8 six-bit minima:
//           j < 4:  sc = scales[j] & 63,                                m = scales[j+4] & 63
//           j >= 4: sc = (scales[j+4] & 15) | (scales[j-4] >> 6) << 4,  m = (scales[j+4] >> 4) | (scales[j] >> 6) << 4
//         qs: for each pair of sub-blocks (2p, 2p+1), 32 bytes; the low nibbles are sub-block 2p, the high ones 2p+1.
//   Q6_K  256 values in 16 sub-blocks of 16.  w = d * sc[g] * (q - 32),  q in 0..63, sc signed.
//         In each half h of 128 values, for l in 0..31:  ql = ql[64h..], qh = qh[32h..]
//           value l:     (ql[l]    & 15) | ((qh[l] >> 0) & 3) << 4
//           value l+32:  (ql[l+32] & 15) | ((qh[l] >> 2) & 3) << 4
//           value l+64:  (ql[l]    >> 4) | ((qh[l] >> 4) & 3) << 4
//           value l+96:  (ql[l+32] >> 4) | ((qh[l] >> 6) & 3) << 4
//         sub-block g of the block covers values 16g .. 16g+15.
//   Q8_0  32 values.  w = d * q.
// Activations (this project's definition; part of the operator, not of any file):
//   Q8Act256  256 values, used against Q4_K and Q6_K:  d = amax / 127 (f32 division),  q = rint(x * r) with
//             r = 127 / amax rounded to f32 and the product rounded to f32 before rint (ties to even).
//             amax is the largest |x|, compared as bit patterns (x & 0x7fffffff), so it depends on no order.
//             amax = 0, or so small that r overflows, gives d = 0 and q = 0.
//             A NaN or an infinity among the values (amax >= 0x7f800000) gives d = NaN and q = 0: it shows in the
//             product.
//             sums[g] = sum of q over values 16g..16g+15 (exact in 16 bits).
//   Q8Act32   32 values, used against Q8_0: the same d and q.
// A row whose length is no multiple of the block is padded with zeros: the last activation block of a row may be part
// padding.
#pragma once

#include <cstdint>

#include "kernels/hip/dtype.hpp"

namespace greta {

inline constexpr int kSuperblock = 256;  ///< values in a Q4_K, Q6_K or Q8Act256 block
inline constexpr int kSmallBlock = 32;   ///< values in a Q8_0 or Q8Act32 block

struct BlockQ4K {
  half_t d;
  half_t dmin;
  uint8_t scales[12];
  uint8_t qs[128];
};
struct BlockQ6K {
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  half_t d;
};
struct BlockQ8_0 {
  half_t d;
  int8_t qs[32];
};
// Activation blocks lie on 16 bytes, and so do their values: they are loaded and copied 16 bytes at a time.
struct alignas(16) BlockQ8Act256 {
  float d;
  uint32_t unused[3];  ///< zeros
  int16_t sums[16];
  int8_t qs[256];
};
struct alignas(16) BlockQ8Act32 {
  float d;
  uint32_t unused[3];  ///< zeros
  int8_t qs[32];
};
static_assert(sizeof(BlockQ4K) == 144 && sizeof(BlockQ6K) == 210 && sizeof(BlockQ8_0) == 34);
static_assert(sizeof(BlockQ8Act256) == 304 && sizeof(BlockQ8Act32) == 48);

GRETA_DTYPE_OF(BlockQ4K, kQ4K);
GRETA_DTYPE_OF(BlockQ6K, kQ6K);
GRETA_DTYPE_OF(BlockQ8_0, kQ8_0);
GRETA_DTYPE_OF(BlockQ8Act256, kQ8Act256);
GRETA_DTYPE_OF(BlockQ8Act32, kQ8Act32);

}  // namespace greta
