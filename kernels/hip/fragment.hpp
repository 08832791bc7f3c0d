// Fragments of matrix tiles: what each lane of a wave holds of A, B and C for mma_16x16x16, mma_16x16x32 and
// mma_32x32x16. HIP-free.
//
//   C[16,16] += A[16,16] B[16,16]   half_t or bf16_t, float accumulator     mma_16x16x16
//   C[16,16] += A[16,32] B[32,16]   int8_t, int32 accumulator               mma_16x16x32
//   C[32,32] += A[32,16] B[16,32]   int8_t, int32 accumulator               mma_32x32x16
//
// The maps below say which element a lane's v[i] is; everything that fills, stores, masks or reduces a fragment goes
// through them. They follow the wave, not the platform: 64 lanes as the MFMA instructions of gfx942 lay tiles out
// (16x16x16 f16/bf16, 16x16x32 and 32x32x16 i8), 32 lanes as mma.sync m16n8k16 / m16n8k32 side by side (two of them,
// columns 0-7 and 8-15; eight for the 32x32 tile, which is that large because gfx942 has no int8 tile of depth 16 but
// 32x32x16).
// Sources: AMD matrix instruction calculator (CDNA3); PTX ISA, "Matrix Fragments for mma.m16n8k16 / m16n8k32".
// Measured on no MI300X yet: the 64-lane maps are documentation.
#pragma once

#include <cstdint>

#include "kernels/hip/dtype.hpp"

#if defined(__HIP__) || defined(__CUDACC__)
#  define GRETA_FRAGMENT_MAP __host__ __device__ constexpr int
#else
#  define GRETA_FRAGMENT_MAP constexpr int
#endif

namespace greta::hip {

inline constexpr int kTile = 16;        ///< rows and columns of a tile of C; depth of A and B for 16-bit elements
inline constexpr int kTileDepth8 = 32;  ///< depth of A and B for int8
inline constexpr int kTile32 = 32;      ///< rows and columns of C of the int8 tile of depth 16
inline constexpr int kTile32Depth = 16;

/// Elements of a 16x16 tile in one lane: 4 of 64 lanes, 8 of 32. (16x32 and 32x16 int8 operands: twice that; the 32x32
/// accumulator: four times.)
GRETA_FRAGMENT_MAP tile_elements(int wave) { return kTile * kTile / wave; }

// ------------------------------------------------------------------ maps: lane in 0..wave-1, i in 0..elements-1
// A and B are mirror images: the row of A that a lane holds is the column of B that it holds, at the same depths k.

GRETA_FRAGMENT_MAP tile_a_row(int wave, int lane, int i) { return wave == 64 ? lane % 16 : lane / 4 + 8 * (i / 2 % 2); }
GRETA_FRAGMENT_MAP tile_a_k(int wave, int lane, int i) {
  return wave == 64 ? 4 * (lane / 16) + i : 2 * (lane % 4) + i % 2 + 8 * (i / 4);
}
GRETA_FRAGMENT_MAP tile_b_k(int wave, int lane, int i) {
  return wave == 64 ? 4 * (lane / 16) + i : 2 * (lane % 4) + i % 2 + 8 * (i / 2 % 2);
}
GRETA_FRAGMENT_MAP tile_b_col(int wave, int lane, int i) { return wave == 64 ? lane % 16 : lane / 4 + 8 * (i / 4); }

GRETA_FRAGMENT_MAP tile_c_row(int wave, int lane, int i) {
  return wave == 64 ? 4 * (lane / 16) + i : lane / 4 + 8 * (i / 2 % 2);
}
GRETA_FRAGMENT_MAP tile_c_col(int wave, int lane, int i) {
  return wave == 64 ? lane % 16 : 2 * (lane % 4) + i % 2 + 8 * (i / 4);
}

GRETA_FRAGMENT_MAP tile8_a_row(int wave, int lane, int i) {
  return wave == 64 ? lane % 16 : lane / 4 + 8 * (i / 4 % 2);
}
GRETA_FRAGMENT_MAP tile8_a_k(int wave, int lane, int i) {
  return wave == 64 ? 8 * (lane / 16) + i : 4 * (lane % 4) + i % 4 + 16 * (i / 8);
}
GRETA_FRAGMENT_MAP tile8_b_k(int wave, int lane, int i) {
  return wave == 64 ? 8 * (lane / 16) + i : 4 * (lane % 4) + i % 4 + 16 * (i / 4 % 2);
}
GRETA_FRAGMENT_MAP tile8_b_col(int wave, int lane, int i) { return wave == 64 ? lane % 16 : lane / 4 + 8 * (i / 8); }

GRETA_FRAGMENT_MAP tile32_a_row(int wave, int lane, int i) {
  return wave == 64 ? lane % 32 : lane / 4 + 8 * (i / 4 % 2) + 16 * (i / 8);
}
GRETA_FRAGMENT_MAP tile32_a_k(int wave, int lane, int i) {
  return wave == 64 ? 8 * (lane / 32) + i : 4 * (lane % 4) + i % 4;
}
GRETA_FRAGMENT_MAP tile32_b_k(int wave, int lane, int i) { return tile32_a_k(wave, lane, i); }
GRETA_FRAGMENT_MAP tile32_b_col(int wave, int lane, int i) { return wave == 64 ? lane % 32 : lane / 4 + 8 * (i / 4); }
GRETA_FRAGMENT_MAP tile32_c_row(int wave, int lane, int i) {
  return wave == 64 ? 8 * (i / 4) + 4 * (lane / 32) + i % 4 : lane / 4 + 8 * (i / 2 % 2) + 16 * (i / 16);
}
GRETA_FRAGMENT_MAP tile32_c_col(int wave, int lane, int i) {
  return wave == 64 ? lane % 32 : 2 * (lane % 4) + i % 2 + 8 * (i / 4 % 4);
}

// ------------------------------------------------------------------------------------------ storage, for .hip files
// A platform whose wave is fixed holds exactly tile_elements(wave); the host, whose wave is set at run time, holds the
// larger count and uses the first tile_elements(wave_size()).

#if defined(GRETA_HOST_EXECUTOR) || defined(__HIP__) || defined(__CUDACC__)

#  if defined(__HIP__)
inline constexpr int kFragmentCapacity = tile_elements(64);
#  else
inline constexpr int kFragmentCapacity = tile_elements(32);
#  endif

template <class T, int N>
struct alignas(sizeof(T) * N <= 16 ? sizeof(T) * N : 16) Fragment {
  T v[N];
};

/// T is half_t or bf16_t.
template <class T>
struct FragmentA : Fragment<T, kFragmentCapacity> {};
template <class T>
struct FragmentB : Fragment<T, kFragmentCapacity> {};
struct FragmentC : Fragment<float, kFragmentCapacity> {};

struct FragmentA8 : Fragment<int8_t, 2 * kFragmentCapacity> {};
struct FragmentB8 : Fragment<int8_t, 2 * kFragmentCapacity> {};
struct FragmentC8 : Fragment<int32_t, kFragmentCapacity> {};

struct FragmentA8x32 : Fragment<int8_t, 2 * kFragmentCapacity> {};
struct FragmentB8x32 : Fragment<int8_t, 2 * kFragmentCapacity> {};
struct FragmentC8x32 : Fragment<int32_t, 4 * kFragmentCapacity> {};

// A platform's device header provides, for a full wave in step:
//   FragmentC  mma_16x16x16(const FragmentA<T>&, const FragmentB<T>&, const FragmentC&)    c + a b
//   FragmentC8 mma_16x16x32(const FragmentA8&, const FragmentB8&, const FragmentC8&)       c + a b, exact
//   FragmentC8 mma_16x16x32_half(the same)       mma_16x16x32 of operands that are zero at depths 16..31, for less
//   FragmentC8x32 mma_32x32x16(const FragmentA8x32&, const FragmentB8x32&, const FragmentC8x32&)   c + a b, exact

#endif

}  // namespace greta::hip
