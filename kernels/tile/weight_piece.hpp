// Quantised weights in pieces: an eighth of a superblock (32 values as two runs of 16), which is what one lane loads
// with 16-byte accesses and turns into signed bytes. The same code unpacks for matrix products and for the embedding
// gather.
//
//   superblock   256 values: one Q4_K or Q6_K block, eight Q8_0 blocks
//   piece 0..7   runs "lo" and "hi": values lo_at(piece) .. +15 and hi_at(piece) .. +15 of the superblock
//                Q4_K  16 bytes of qs: low nibbles and high nibbles, 32 values apart
//                Q6_K  16 bytes of ql with 16 of qh: low and high nibbles, 64 values apart
//                Q8_0  one block: its halves
//   stored q     as in the block: 0..15 (Q4_K), 0..63 (Q6_K, 32 more than meant: kZero), -128..127 (Q8_0)
// Layouts: quant_blocks.hpp. Q4_K blocks must lie on 16 bytes (weights start on 16, blocks have 144); the others on 2.
#pragma once

#include <cstddef>

#include "kernels/tile/pack.hpp"
#include "kernels/tile/quant_blocks.hpp"

namespace greta {

inline constexpr int kPieces = 8;  ///< of a superblock

/// A piece as loaded, not yet decoded: fetch() for several rows first, then decode() each, keeps their loads in flight
/// together.
struct RawPiece {
  Words4 a, b;    ///< Q4_K: header, qs.  Q6_K: ql, qh.  Q8_0: the block's halves
  uint32_t c[2];  ///< Q6_K: the four scales of the piece's half that it may need, two words
  uint32_t d;     ///< Q6_K, Q8_0: holds d in its high (Q6_K) or low (Q8_0) half
};

/// What one lane holds of the weights. Fields that a type does not have are left out of its loads and read as said.
struct WeightPiece {
  Words4 lo, hi;                  ///< 16 bytes each, stored q
  int scale_lo, scale_hi;         ///< integer scale of the run; 1 for Q8_0
  int min_lo, min_hi;             ///< integer minimum of the run; 0 but for Q4_K
  uint32_t scale_pair, min_pair;  ///< Q4_K only: scale_lo | scale_hi << 8, min_lo | min_hi << 8
  float d;                        ///< of the superblock; of the piece's own block for Q8_0
  float dmin;                     ///< of the superblock; 0 but for Q4_K
};

namespace piece_detail {

/// 4 bytes from an address that is a multiple of 2.
__device__ __forceinline__ uint32_t load4_at2(const void* from) {
#if defined(__CUDACC__)
  const auto* halves = static_cast<const uint16_t*>(from);
  return halves[0] | static_cast<uint32_t>(halves[1]) << 16;
#else
  uint32_t word;
  __builtin_memcpy(&word, __builtin_assume_aligned(from, 2), sizeof word);
  return word;
#endif
}
__device__ __forceinline__ float half_at(uint32_t word, int shift) {
  return hip::to_float(half_t{static_cast<uint16_t>(word >> shift)});
}
__device__ __forceinline__ int signed_byte(uint32_t word, int shift) {
  return static_cast<int>(word << (24 - shift)) >> 24;
}

}  // namespace piece_detail

template <class Block>
struct PieceOf;

template <>
struct PieceOf<BlockQ4K> {
  using Activation = BlockQ8Act256;
  static constexpr int kBlocks = 1;  ///< in a superblock
  static constexpr int kAlign = 16;
  static constexpr int kZero = 0;
  static constexpr bool kMins = true;
  static constexpr int kScaleRun = 32;  ///< values that share an integer scale
  __device__ static constexpr int lo_at(int piece) { return 64 * (piece / 2) + 16 * (piece % 2); }
  __device__ static constexpr int hi_at(int piece) { return lo_at(piece) + 32; }

  __device__ static __forceinline__ RawPiece fetch(const BlockQ4K* block, int piece) {
    RawPiece raw;
    raw.a = load16<16>(block);  // d, dmin, scales[12]
    raw.b = load16<16>(block->qs + 16 * piece);
    return raw;
  }
  __device__ static __forceinline__ WeightPiece decode(const RawPiece& raw, int piece) {
    const Words4 &header = raw.a, &qs = raw.b;
    WeightPiece p;
    for (int i = 0; i < 4; ++i) {
      p.lo.v[i] = qs.v[i] & 0x0f0f0f0fu;
      p.hi.v[i] = (qs.v[i] >> 4) & 0x0f0f0f0fu;
    }
    // The run's sub-blocks are j = 2 * pair and j + 1. Both scales are neighbouring bytes, and j < 4 for both or
    // neither. Masks, not selects: of a select the gfx942 compiler makes divergent branches.
    const int pair = piece / 2, shift = 16 * (pair % 2);
    const uint32_t high = pair >= 2 ? 0xffffffffu : 0u;
    const uint32_t low_bits = 0x3f3fu ^ (high & 0x3030u), high_bits = high & 0x3030u;
    const uint32_t scales = header.v[1] ^ ((header.v[1] ^ header.v[3]) & high);
    const uint32_t mins = header.v[2] ^ ((header.v[2] ^ (header.v[3] >> 4)) & high);
    p.scale_pair = ((scales >> shift) & low_bits) | ((header.v[1] >> (shift + 2)) & high_bits);
    p.min_pair = ((mins >> shift) & low_bits) | ((header.v[2] >> (shift + 2)) & high_bits);
    p.scale_lo = static_cast<int>(p.scale_pair & 0xffu), p.scale_hi = static_cast<int>(p.scale_pair >> 8);
    p.min_lo = static_cast<int>(p.min_pair & 0xffu), p.min_hi = static_cast<int>(p.min_pair >> 8);
    p.d = piece_detail::half_at(header.v[0], 0), p.dmin = piece_detail::half_at(header.v[0], 16);
    return p;
  }
};

template <>
struct PieceOf<BlockQ6K> {
  using Activation = BlockQ8Act256;
  static constexpr int kBlocks = 1;
  static constexpr int kAlign = 2;
  static constexpr int kZero = 32;
  static constexpr bool kMins = false;
  static constexpr int kScaleRun = 16;
  __device__ static constexpr int lo_at(int piece) { return 128 * (piece / 4) + 16 * (piece % 4); }
  __device__ static constexpr int hi_at(int piece) { return lo_at(piece) + 64; }

  __device__ static __forceinline__ RawPiece fetch(const BlockQ6K* block, int piece) {
    const int half = piece / 4, quarter = piece % 4;  // of 128 values; of its 64 bytes of ql
    RawPiece raw;
    raw.a = load16<2>(block->ql + 16 * piece);
    raw.b = load16<2>(block->qh + 32 * half + 16 * (quarter % 2));
    const auto* scales = reinterpret_cast<const uint8_t*>(block->scales) + 8 * half;
    raw.c[0] = piece_detail::load4_at2(scales), raw.c[1] = piece_detail::load4_at2(scales + 4);
    raw.d = piece_detail::load4_at2(reinterpret_cast<const uint8_t*>(&block->d) - 2);
    return raw;
  }
  __device__ static __forceinline__ WeightPiece decode(const RawPiece& raw, int piece) {
    const int quarter = piece % 4;
    const Words4 &ql = raw.a, &qh = raw.b;
    const int shift = 2 * (quarter / 2);
    WeightPiece p;
    for (int i = 0; i < 4; ++i) {
      p.lo.v[i] = (ql.v[i] & 0x0f0f0f0fu) | ((qh.v[i] >> shift) & 0x03030303u) << 4;
      p.hi.v[i] = ((ql.v[i] >> 4) & 0x0f0f0f0fu) | ((qh.v[i] >> (shift + 4)) & 0x03030303u) << 4;
    }
    p.scale_lo = piece_detail::signed_byte(raw.c[0], 8 * quarter);
    p.scale_hi = piece_detail::signed_byte(raw.c[1], 8 * quarter);
    p.min_lo = p.min_hi = 0;
    p.d = piece_detail::half_at(raw.d, 16), p.dmin = 0.0f;
    return p;
  }
};

template <>
struct PieceOf<BlockQ8_0> {
  using Activation = BlockQ8Act32;
  static constexpr int kBlocks = 8;
  static constexpr int kAlign = 2;
  static constexpr int kZero = 0;
  static constexpr bool kMins = false;
  static constexpr int kScaleRun = 32;
  __device__ static constexpr int lo_at(int piece) { return 32 * piece; }
  __device__ static constexpr int hi_at(int piece) { return 32 * piece + 16; }

  /// `block` is the first of the superblock.
  __device__ static __forceinline__ RawPiece fetch(const BlockQ8_0* block, int piece) {
    block += piece;
    RawPiece raw;
    raw.a = load16<2>(block->qs), raw.b = load16<2>(block->qs + 16);
    raw.d = piece_detail::load4_at2(block);
    return raw;
  }
  __device__ static __forceinline__ WeightPiece decode(const RawPiece& raw, int) {
    WeightPiece p;
    p.lo = raw.a, p.hi = raw.b;
    p.scale_lo = p.scale_hi = 1;
    p.min_lo = p.min_hi = 0;
    p.d = piece_detail::half_at(raw.d, 0), p.dmin = 0.0f;
    return p;
  }
};

template <class Block>
__device__ __forceinline__ WeightPiece load_piece(const Block* superblock, int piece) {
  return PieceOf<Block>::decode(PieceOf<Block>::fetch(superblock, piece), piece);
}

/// Byte i (0..15) of a run, as stored.
__device__ __forceinline__ int run_byte(const Words4& run, int i) {
  return piece_detail::signed_byte(run.v[i / 4], 8 * (i % 4));
}

/// The four bytes of a word less 32 each, for bytes 0..63 (Q6_K's zero).
__device__ __forceinline__ uint32_t bytes_minus_32(uint32_t bytes) {
  return ((bytes | 0x80808080u) - 0x20202020u) ^ 0x80808080u;
}

/// Four stored values of Q6_K times their scale, (q - 32) * scale, in two planes of signed bytes: 64 * hi + lo. Two
/// products side by side in a word: with 8192 added they are positive and stay in their halves.
struct ScaledPlanes {
  uint32_t lo, hi;  ///< 0 .. 63 and -64 .. 64
};
__device__ __forceinline__ ScaledPlanes scaled_planes(uint32_t q, int scale) {
  const int offset = (8192 - 32 * scale) * 0x10001;
  const auto even = static_cast<uint32_t>(hip::mad24(static_cast<int>(q & 0x003f003fu), scale, offset));
  const auto odd = static_cast<uint32_t>(hip::mad24(static_cast<int>((q >> 8) & 0x003f003fu), scale, offset));
  return {(even & 0x003f003fu) | (odd & 0x003f003fu) << 8,
          (((even >> 6) & 0x00ff00ffu) | ((odd << 2) & 0xff00ff00u)) ^ 0x80808080u};
}

/// Both runs of a Q6_K piece so: `piece` keeps the low planes, the high ones are returned.
struct HighPlanes {
  Words4 lo, hi;  ///< of the runs lo and hi
};
__device__ __forceinline__ HighPlanes split_planes(WeightPiece& piece) {
  HighPlanes high;
  GRETA_UNROLL
  for (int k = 0; k < 4; ++k) {
    const ScaledPlanes a = scaled_planes(piece.lo.v[k], piece.scale_lo);
    const ScaledPlanes b = scaled_planes(piece.hi.v[k], piece.scale_hi);
    piece.lo.v[k] = a.lo, high.lo.v[k] = a.hi, piece.hi.v[k] = b.lo, high.hi.v[k] = b.hi;
  }
  return high;
}

/// The eight scales and eight minima of a Q4_K header, a byte each, in ascending order.
struct ScalesQ4K {
  uint32_t scales[2], mins[2];
};
__device__ __forceinline__ ScalesQ4K all_scales(const Words4& header) {
  return {{header.v[1] & 0x3f3f3f3fu, (header.v[3] & 0x0f0f0f0fu) | ((header.v[1] >> 2) & 0x30303030u)},
          {header.v[2] & 0x3f3f3f3fu, ((header.v[3] >> 4) & 0x0f0f0f0fu) | ((header.v[2] >> 2) & 0x30303030u)}};
}

}  // namespace greta
