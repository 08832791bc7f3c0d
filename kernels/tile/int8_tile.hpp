// Operands of the int8 matrix tile 16x16x32 from LDS. A tile of operands lies in LDS as rows of kInt8Step bytes, one
// row for each row of A or column of B, kInt8Stride bytes apart:
//
//   gfx942   a lane takes 8 bytes of a row (ds_read_b64; 16 neighbouring lanes have 16 rows): a stride of 2 banks
//            modulo 4 puts them into 32 different banks
//   sm_90a   ldmatrix takes 16 bytes of 8 rows at a time: a stride of 4 banks modulo 8 puts them into 32 banks
//   host     as gfx942, of whose LDS it has as much
// Proof of both: int8_tile_test.cpp.
#pragma once

#include <cstring>

#include "kernels/hip/hip.hpp"
#include "kernels/tile/int8_tile_layout.hpp"
#include "kernels/tile/pack.hpp"

namespace greta {

inline constexpr int kFragmentWords = 2 * hip::kFragmentCapacity / 4;  ///< of an int8 operand

template <class Fragment>
__device__ __forceinline__ Fragment fragment_of_words(const uint32_t (&words)[kFragmentWords]) {
  Fragment fragment;
  static_assert(sizeof fragment == sizeof words);
  memcpy(&fragment, words, sizeof fragment);
  return fragment;
}

/// Rows [0, 16), bytes [column, column + 32) of a tile, as A. kStride: bytes from row to row.
template <int kStride = kInt8Stride>
__device__ __forceinline__ hip::FragmentA8 load_int8_a(const int8_t* tile, int column) {
  uint32_t words[kFragmentWords] = {};
  const int lane = hip::lane_id();
#if defined(__CUDACC__)
  hip::load_matrix_x4(words, tile + (lane % 8 + 8 * (lane / 8 % 2)) * kStride + column + 16 * (lane / 16));
#elif defined(__HIP__)
  memcpy(words, __builtin_assume_aligned(tile + lane % 16 * kStride + column + 8 * (lane / 16), 8), 8);
#else
  const int wave = hip::wave_size();
  for (int w = 0; w < hip::tile_elements(wave) / 2; ++w)
    memcpy(words + w, tile + hip::tile8_a_row(wave, lane, 4 * w) * kStride + column + hip::tile8_a_k(wave, lane, 4 * w),
           4);
#endif
  return fragment_of_words<hip::FragmentA8>(words);
}

/// Rows [0, 16), bytes [column, column + 32) of a tile that holds B by columns.
template <int kStride = kInt8Stride>
__device__ __forceinline__ hip::FragmentB8 load_int8_b(const int8_t* tile, int column) {
  uint32_t words[kFragmentWords] = {};
  const int lane = hip::lane_id();
#if defined(__CUDACC__)
  hip::load_matrix_x4(words, tile + (lane % 8 + 8 * (lane / 16)) * kStride + column + 16 * (lane / 8 % 2));
#elif defined(__HIP__)
  memcpy(words, __builtin_assume_aligned(tile + lane % 16 * kStride + column + 8 * (lane / 16), 8), 8);
#else
  const int wave = hip::wave_size();
  for (int w = 0; w < hip::tile_elements(wave) / 2; ++w)
    memcpy(words + w, tile + hip::tile8_b_col(wave, lane, 4 * w) * kStride + column + hip::tile8_b_k(wave, lane, 4 * w),
           4);
#endif
  return fragment_of_words<hip::FragmentB8>(words);
}

/// Depth 8: 8 bytes of each of 16 rows, `stride` apart (a multiple of 4); zeros at depths 8..31. row_of and k_of: the
/// operand's fragment map.
template <class Fragment, class RowOf, class KOf>
__device__ __forceinline__ Fragment load_int8_depth8(const int8_t* rows, int stride, RowOf row_of, KOf k_of) {
  uint32_t words[kFragmentWords] = {};
  const int lane = hip::lane_id(), wave = hip::wave_size();
  GRETA_UNROLL
  for (int w = 0; w < hip::tile_elements(wave) / 2; ++w) {
    const int k = k_of(wave, lane, 4 * w);
    const uint32_t word = *reinterpret_cast<const uint32_t*>(rows + row_of(wave, lane, 4 * w) * stride + (k & 4));
    words[w] = k < 8 ? word : 0;
  }
  return fragment_of_words<Fragment>(words);
}
__device__ __forceinline__ hip::FragmentA8 load_int8_a_depth8(const int8_t* rows, int stride) {
  return load_int8_depth8<hip::FragmentA8>(
      rows, stride, [](int wave, int lane, int i) { return hip::tile8_a_row(wave, lane, i); },
      [](int wave, int lane, int i) { return hip::tile8_a_k(wave, lane, i); });
}
__device__ __forceinline__ hip::FragmentB8 load_int8_b_depth8(const int8_t* rows, int stride) {
  return load_int8_depth8<hip::FragmentB8>(
      rows, stride, [](int wave, int lane, int i) { return hip::tile8_b_col(wave, lane, i); },
      [](int wave, int lane, int i) { return hip::tile8_b_k(wave, lane, i); });
}

/// Sums of 32 activations as 64 hi + lo, bytes, from sums of 16: eight of a superblock, or the four of a half.
template <int kHalves>
struct SplitSums {
  uint32_t hi[kHalves], lo[kHalves];
};
template <int kHalves>
__device__ __forceinline__ SplitSums<kHalves> split_sums(const Words4 (&sums)[kHalves]) {
  SplitSums<kHalves> s = {};
  GRETA_UNROLL
  for (int j = 0; j < 4 * kHalves; ++j) {
    const uint32_t pair = sums[j / 4].v[j % 4];
    const int sum = (static_cast<int>(pair << 16) >> 16) + (static_cast<int>(pair) >> 16);
    s.hi[j / 4] |= (static_cast<uint32_t>(sum >> 6) & 0xffu) << (8 * (j % 4));
    s.lo[j / 4] |= (static_cast<uint32_t>(sum) & 0x3fu) << (8 * (j % 4));
  }
  return s;
}

/// 16 bytes to a place in a tile (a multiple of 8 on gfx942, whose stride is odd in units of 8 bytes).
template <int kStride = kInt8Stride>
__device__ __forceinline__ void store_int8_run(int8_t* to, const Words4& run) {
  if constexpr (kStride % 16 == 0) {
    *reinterpret_cast<Words4*>(to) = run;
  } else {
    store_pack<2>(reinterpret_cast<uint32_t*>(to), Pack<uint32_t, 2>{{run.v[0], run.v[1]}});
    store_pack<2>(reinterpret_cast<uint32_t*>(to + 8), Pack<uint32_t, 2>{{run.v[2], run.v[3]}});
  }
}

/// A whole number n, |n| < 2^22, as n + kBias: the bits of the float 1.5 * 2^23 + n. One subtraction gives it back as a
/// float, and a tile whose sums start at kBias needs no conversion.
constexpr int kBias = 0x4b400000;
__device__ __forceinline__ float unbiased(int biased) {
  return hip::bits_float(static_cast<uint32_t>(biased)) - 12582912.0f;
}
/// A tile of sums that starts at kBias.
__device__ __forceinline__ hip::FragmentC8 all_biased() {
  hip::FragmentC8 biased;
  GRETA_UNROLL
  for (int i = 0; i < hip::kFragmentCapacity; ++i) biased.v[i] = kBias;
  return biased;
}

}  // namespace greta
