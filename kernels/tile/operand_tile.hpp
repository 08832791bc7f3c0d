// 16-bit operands of matrix products, f16 or bf16: fragments out of chunks of 16 bytes, and the copy policy that brings
// rows of a matrix to LDS ahead of their use. Layout and order of columns: operand_tile_layout.hpp.
//
//   RunChunks<kWave> w = load_run<kWave>(tile, lane);             // 16 rows in LDS, 32 columns
//   operand_a<T, kWave>(w, half), operand_b<T, kWave>(w, half)    // of the run's tile `half`
//
//   OperandPipeline<T, kRows, kWave, kThreads, kBuffers> a(lds, matrix, row0, n_rows, n_columns), b(...);
//   a.start(), b.start();
//   for (each run) {
//     a.land(), b.land();
//     __syncthreads();
//     const T *x = a.advance(), *w = b.advance();       // the run's tiles; a later run is on its way from here on
//     ... multiply x by w ...
//   }
//
// Rows beyond the matrix are its last row again, whose products nobody stores; columns beyond it are zeros.
// Wave 64   (gfx942, host) two buffers; 16 bytes a load into registers, stored to LDS one run later
// Wave 32   (sm_90a, host) kBuffers buffers, cp.async; kBuffers - 1 runs under way
#pragma once

#include <cstring>

#include "kernels/hip/hip.hpp"
#include "kernels/tile/operand_tile_layout.hpp"
#include "kernels/tile/pack.hpp"

namespace greta {

/// A lane's part of 16 rows by 32 columns.
template <int kWave>
struct RunChunks {
  static constexpr int kRows = kWave == 64 ? 1 : 2;  ///< row, or row and row + 8
  Words4 row[kRows];
};

namespace operand_detail {
template <class Fragment, int N>
__device__ __forceinline__ Fragment fragment_of(const uint32_t (&words)[N]) {
  Fragment fragment;
  static_assert(sizeof fragment >= sizeof words);
  if constexpr (sizeof fragment > sizeof words) memset(&fragment, 0, sizeof fragment);
  memcpy(&fragment, words, sizeof words);
  return fragment;
}
}  // namespace operand_detail

template <class T, int kWave>
__device__ __forceinline__ hip::FragmentA<T> operand_a(const RunChunks<kWave>& w, int half) {
  if constexpr (kWave == 64) {
    return operand_detail::fragment_of<hip::FragmentA<T>>({w.row[0].v[2 * half], w.row[0].v[2 * half + 1]});
  } else {
    return operand_detail::fragment_of<hip::FragmentA<T>>(
        {w.row[0].v[2 * half], w.row[1].v[2 * half], w.row[0].v[2 * half + 1], w.row[1].v[2 * half + 1]});
  }
}
template <class T, int kWave>
__device__ __forceinline__ hip::FragmentB<T> operand_b(const RunChunks<kWave>& w, int half) {
  if constexpr (kWave == 64) {
    return operand_detail::fragment_of<hip::FragmentB<T>>({w.row[0].v[2 * half], w.row[0].v[2 * half + 1]});
  } else {
    return operand_detail::fragment_of<hip::FragmentB<T>>(
        {w.row[0].v[2 * half], w.row[0].v[2 * half + 1], w.row[1].v[2 * half], w.row[1].v[2 * half + 1]});
  }
}

template <class T>
__device__ __forceinline__ Words4 load_chunk(const T* from) {
  return load_pack<4>(reinterpret_cast<const uint32_t*>(from));
}

/// 16 rows of a tile in LDS; `tile` is the first of them, a multiple of 16 rows from the start.
template <int kWave, class T>
__device__ __forceinline__ RunChunks<kWave> load_run(const T* tile, int lane) {
  RunChunks<kWave> w;
  GRETA_UNROLL
  for (int r = 0; r < RunChunks<kWave>::kRows; ++r)
    w.row[r] = load_chunk(tile + operand_offset(operand_row(kWave, lane) + 8 * r, operand_chunk(kWave, lane)));
  return w;
}

template <class T, int kRows, int kWave, int kThreads, int kBuffers_>
class OperandPipeline {
  static_assert(sizeof(T) == 2 && kThreads % kRunChunks == 0);
  static constexpr int kTile = kRows * kRunColumns, kChunks = kRows * kRunChunks;
  static constexpr int kItems = (kChunks + kThreads - 1) / kThreads;

 public:
  static constexpr int kBuffers = kWave == 64 ? 2 : kBuffers_;
  static constexpr int kLdsElements = kBuffers * kTile;

  /// matrix [n_rows, n_columns], n_columns a multiple of 8, on 16 bytes.
  __device__ __forceinline__ OperandPipeline(T* lds, const T* matrix, int64_t row0, int64_t n_rows, int n_columns)
      : lds_(lds), from_(matrix + row0 * n_columns), n_columns_(n_columns) {
    const int last = n_rows - row0 < kRows ? static_cast<int>(n_rows - row0) - 1 : kRows - 1;
    GRETA_UNROLL
    for (int i = 0; i < kItems; ++i) {
      const int item = i * kThreads + static_cast<int>(threadIdx.x), row = item / kRunChunks;
      offset_[i] = static_cast<uint32_t>(row < last ? row : last) * static_cast<uint32_t>(n_columns) +
                   static_cast<uint32_t>(item % kRunChunks * kOperandChunk);
    }
  }

  __device__ __forceinline__ void start() {
    if constexpr (kWave == 64) {
      fetch();
    } else {
      GRETA_UNROLL
      for (int i = 0; i < kBuffers - 1; ++i) fetch();
    }
  }
  /// Before the barrier that makes the next tile visible.
  __device__ __forceinline__ void land() {
    if constexpr (kWave == 64) {
      T* const to = lds_ + (run_ - 1) % 2 * kTile;
      const int left = n_columns_ - (run_ - 1) * kRunColumns;
      GRETA_UNROLL
      for (int i = 0; i < kItems; ++i) {
        const int item = i * kThreads + static_cast<int>(threadIdx.x);
        if (kChunks % kThreads != 0 && item >= kChunks) break;
        if (left < kRunColumns) {
          const bool exists = static_cast<int>(threadIdx.x) % kRunChunks * kOperandChunk < left;
          GRETA_UNROLL
          for (int k = 0; k < 4; ++k) staged_[i].v[k] = exists ? staged_[i].v[k] : 0u;
        }
        store_pack(reinterpret_cast<uint32_t*>(to + operand_offset(item / kRunChunks, item % kRunChunks)), staged_[i]);
      }
    } else {
#if !defined(__HIP__)
      hip::async_wait<kBuffers - 2>();
#endif
    }
  }
  /// After it: starts the copy of a later tile and gives the one that is there.
  __device__ __forceinline__ const T* advance() {
    fetch();
    const T* const tile = lds_ + read_ * kTile;
    read_ = read_ + 1 == kBuffers ? 0 : read_ + 1;
    return tile;
  }

 private:
  /// Brings run_ on its way and counts on. Beyond the last run, wave 64 loads the first again, which nobody reads: a
  /// branch would cost more.
  __device__ __forceinline__ void fetch() {
    const int run = run_ * kRunColumns < n_columns_ ? run_ : 0;
    const T* const base = from_ + run * kRunColumns;
    const int left = n_columns_ - run * kRunColumns,
              column = static_cast<int>(threadIdx.x) % kRunChunks * kOperandChunk;
    if constexpr (kWave == 64) {
      if (left >= kRunColumns) {
        GRETA_UNROLL
        for (int i = 0; i < kItems; ++i) staged_[i] = load_chunk(base + offset_[i]);
      } else {
        GRETA_UNROLL
        for (int i = 0; i < kItems; ++i)
          staged_[i] = load_chunk(base + (offset_[i] - static_cast<uint32_t>(column < left ? 0 : column)));
      }
    } else {
#if !defined(__HIP__)
      T* const to = lds_ + run_ % kBuffers * kTile;
      GRETA_UNROLL
      for (int i = 0; i < kItems; ++i) {
        const int item = i * kThreads + static_cast<int>(threadIdx.x);
        if (run != run_ || (kChunks % kThreads != 0 && item >= kChunks)) break;
        const bool exists = column < left;
        hip::async_copy16(to + operand_offset(item / kRunChunks, item % kRunChunks),
                          base + (offset_[i] - static_cast<uint32_t>(exists ? 0 : column)), exists);
      }
      hip::async_commit();
#endif
    }
    ++run_;
  }

  T* lds_;
  const T* from_;
  int n_columns_;
  int run_ = 0;   ///< to be fetched next
  int read_ = 0;  ///< buffer
  uint32_t offset_[kItems];
  Words4 staged_[kItems];
};

}  // namespace greta
