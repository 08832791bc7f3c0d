// RoPE on packs of 16 bytes: what the kernels that rotate heads share. Arithmetic: rope_problem.hpp. For .hip files.
//
// A piece is what one thread rotates of one head: 16 bytes of pairs (2i, 2i+1), or 16 bytes of each half for pairs
// (i, i + head_dim/2). The table entries of a piece are the same for every head of a token: they are loaded once.
#pragma once

#include "kernels/hip/host_device.hpp"
#include "kernels/tile/pack.hpp"

namespace greta {

/// a' = fmaf(a, cos, -(b * sin)), b' = fmaf(a, sin, b * cos).
__device__ __forceinline__ void rotate_pair(float& a, float& b, float cos, float sin) {
  const float b_sin = b * sin, b_cos = b * cos;
  const float new_a = fmaf(a, cos, -b_sin), new_b = fmaf(a, sin, b_cos);
  a = new_a, b = new_b;
}

template <class T, bool kHalf>
struct HeadPiece {
  static constexpr int kElements = 16 / sizeof(T);  ///< of a pack
  static constexpr int kPairs = kHalf ? kElements : kElements / 2;
  static constexpr int kPacks = kHalf ? 2 : 1;
  /// Heads that a thread loads before it stores the first: four packs, which fit 64 registers beside the angles.
  static constexpr int kInFlight = 4 / kPacks;
  Pack<T, kElements> pack[kPacks];

  /// Pieces of a head; half a head must be whole packs, so that table rows start on 16 bytes too.
  GRETA_HOST_DEVICE static constexpr int per_head(int head_dim) { return head_dim / 2 / kPairs; }
  /// `head` is the head's first element; pair the first pair of the piece.
  __device__ __forceinline__ void load(const T* head, int pair, int head_dim) {
    pack[0] = load_pack<kElements>(head + (kHalf ? pair : 2 * pair));
    if constexpr (kHalf) pack[1] = load_pack<kElements>(head + pair + head_dim / 2);
  }
  __device__ __forceinline__ void store(T* head, int pair, int head_dim) const {
    store_pack<kElements>(head + (kHalf ? pair : 2 * pair), pack[0]);
    if constexpr (kHalf) store_pack<kElements>(head + pair + head_dim / 2, pack[1]);
  }
};

/// cos and sin of a piece's pairs.
template <class T, bool kHalf>
struct PieceAngles {
  static constexpr int kValues = 2 * HeadPiece<T, kHalf>::kPairs;
  float v[kValues];

  /// row: the table row of the token's position. NaN when the position is outside the table.
  __device__ __forceinline__ void load(const float* row, int pair, bool inside) {
    GRETA_UNROLL
    for (int i = 0; i < kValues; i += 4) {
      const Pack<float, 4> four = load_pack<4>(row + 2 * pair + i);
      GRETA_UNROLL
      for (int k = 0; k < 4; ++k) v[i + k] = inside ? four.v[k] : hip::bits_float(0x7fc00000u);
    }
  }
};

template <class T, bool kHalf>
__device__ __forceinline__ HeadPiece<T, kHalf> rotated(const HeadPiece<T, kHalf>& piece,
                                                       const PieceAngles<T, kHalf>& angles) {
  using Piece = HeadPiece<T, kHalf>;
  HeadPiece<T, kHalf> out;
  GRETA_UNROLL
  for (int i = 0; i < Piece::kPairs; ++i) {
    const int ia = kHalf ? i : 2 * i, ib = kHalf ? i : 2 * i + 1;
    float a = hip::to_float(piece.pack[0].v[ia]), b = hip::to_float(piece.pack[Piece::kPacks - 1].v[ib]);
    rotate_pair(a, b, angles.v[2 * i], angles.v[2 * i + 1]);
    out.pack[0].v[ia] = hip::from_float<T>(a), out.pack[Piece::kPacks - 1].v[ib] = hip::from_float<T>(b);
  }
  return out;
}

/// How the heads of a token are laid over threads: `pieces` threads a head, `heads_at_once` heads side by side, each
/// thread with the same piece of `in_flight` heads or more; several tokens a workgroup when a token has few heads.
inline constexpr int kRotationThreads = 256;
struct HeadLayout {
  int pieces = 1;
  int heads_at_once = 1;
  int tokens = 1;  ///< of a workgroup

  HeadLayout(int n_heads, int pieces_per_head, int in_flight) : pieces(pieces_per_head) {
    const int wanted = (n_heads + in_flight - 1) / in_flight, room = kRotationThreads / pieces;
    heads_at_once = wanted < room ? wanted : room;
    if (heads_at_once < 1) heads_at_once = 1;
    tokens = kRotationThreads / (pieces * heads_at_once);
    if (tokens < 1) tokens = 1;
  }
  unsigned threads() const { return static_cast<unsigned>(pieces * heads_at_once * tokens); }
};

}  // namespace greta
