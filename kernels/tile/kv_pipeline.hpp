// Moves the K and V tiles of one KV head from global memory to LDS, ahead of their use: the copy policy of attention on
// matrix tiles. Tiles alternate K0 V0 K1 V1 ...; each goes to the next buffer of a ring.
//
//   KvPipeline<...> kv(lds, k, v, rows, n_keys, first_tile, end_tile);
//   kv.start();
//   for (tile = first_tile; tile < end_tile; ++tile) {
//     const T* keys = kv.next_keys();       // every thread of the workgroup; one barrier
//     ... multiply by keys ...
//     const T* values = kv.next_values();   // one barrier; `keys` is dead from here on
//     ... multiply by values ...
//   }
//
// Layout    kernels/tile/kv_layout.hpp. Keys from n_keys on are zeros in LDS; their memory is not read
// Wave 64   (gfx942, host) two buffers. Loads of 16 bytes into registers, stored one half-iteration later: while tile i
//           is multiplied, tile i+1 is stored to the other buffer and tile i+2 is on its way to the registers, a whole
//           multiplication ahead. V is transposed between load and store. One barrier makes tile i visible and says
//           that tile i-1 has been used
// Wave 32   (sm_90a, host) kBuffers buffers, cp.async of 16 bytes; kBuffers - 1 tiles are under way or ready
// Cost      staging registers on wave 64: 16 at 256 threads and head_dim 128
#pragma once

#include "kernels/tile/kv_layout.hpp"
#include "kernels/tile/pack.hpp"

namespace greta {

/// Rows of a contiguous cache: row(key) is the first element of the key's row, from key 0.
struct ContiguousRows {
  size_t stride;
  __device__ __forceinline__ size_t operator()(int key) const { return stride * static_cast<size_t>(key); }
};

/// Buffers that fit `bytes` of LDS: two on wave 64, two to four on wave 32.
constexpr int kv_buffers(int wave, int head_dim, int bytes) {
  const int fit = bytes / (2 * kv_tile_elements(head_dim));
  return wave == 64 || fit < 2 ? 2 : fit < 4 ? fit : 4;
}

template <class T, int kHeadDim, int kWave, int kThreads, int kBuffers, class Rows>
class KvPipeline {
  static_assert(sizeof(T) == 2);
  static_assert(kWave == 64 ? kBuffers == 2 : kBuffers >= 2);
  static constexpr int kTile = kv_tile_elements(kHeadDim);

 public:
  static constexpr int kLdsElements = kBuffers * kTile;

  /// lds: kLdsElements, aligned to 16 bytes. k, v: what rows(key) counts from. n_keys >= 1.
  __device__ __forceinline__ KvPipeline(T* lds, const T* k, const T* v, const Rows& rows, int n_keys, int first_tile,
                                        int end_tile)
      : lds_(lds), k_(k), v_(v), rows_(rows), n_keys_(n_keys), tile_(first_tile), end_(end_tile) {}

  __device__ __forceinline__ void start() {
    if constexpr (kWave == 64) {
      load_keys(tile_);
      land_keys(tile_, lds_);
      load_values(tile_);
    } else {
      GRETA_UNROLL
      for (int item = 0; item < kBuffers - 1; ++item) issue();
    }
  }

  __device__ __forceinline__ const T* next_keys() {
    if constexpr (kWave == 64) {
      __syncthreads();
      land_values(tile_, lds_ + kTile);
      if (tile_ + 1 < end_) load_keys(tile_ + 1);
      hip::schedule_fence();
      return lds_;
    } else {
      return next();
    }
  }

  __device__ __forceinline__ const T* next_values() {
    if constexpr (kWave == 64) {
      __syncthreads();
      if (tile_ + 1 < end_) {
        land_keys(tile_ + 1, lds_);
        load_values(tile_ + 1);
      }
      ++tile_;
      hip::schedule_fence();
      return lds_ + kTile;
    } else {
      return next();
    }
  }

 private:
  // ------------------------------------------------------------------------------------------ wave 64: by registers
  static constexpr int kKUnits = (k_units(kHeadDim) + kThreads - 1) / kThreads;
  static constexpr int kVBlocks = (v_blocks(kHeadDim) + kThreads - 1) / kThreads;
  static constexpr int kStaged = 2 * kKUnits > 4 * kVBlocks ? 2 * kKUnits : 4 * kVBlocks;

  __device__ static Words4 load(const T* from) { return load_pack<4>(reinterpret_cast<const uint32_t*>(from)); }
  /// A key beyond the last has the last one's address; its values are replaced when they are stored, not here, where it
  /// would mean waiting for them.
  __device__ __forceinline__ const T* row(const T* base, int key) const {
    return base + rows_(key < n_keys_ ? key : n_keys_ - 1);
  }
  __device__ __forceinline__ void keep_valid(Words4& words, int key) const {
    GRETA_UNROLL
    for (int i = 0; i < 4; ++i) words.v[i] = key < n_keys_ ? words.v[i] : 0u;
  }

  __device__ __forceinline__ void load_keys(int tile) {
    GRETA_UNROLL
    for (int n = 0; n < kKUnits; ++n) {
      const int unit = n * kThreads + hip::opaque(static_cast<int>(threadIdx.x));
      if (k_units(kHeadDim) % kThreads != 0 && unit >= k_units(kHeadDim)) break;
      const KUnit u = k_unit(kHeadDim, unit);
      const T* const from = row(k_, tile * kKvTileKeys + u.key) + u.channel;
      staged_[2 * n] = load(from);
      staged_[2 * n + 1] = load(from + 16);
    }
  }
  __device__ __forceinline__ void land_keys(int tile, T* to) {
    const bool ragged = (tile + 1) * kKvTileKeys > n_keys_;
    GRETA_UNROLL
    for (int n = 0; n < kKUnits; ++n) {
      const int unit = n * kThreads + hip::opaque(static_cast<int>(threadIdx.x));
      if (k_units(kHeadDim) % kThreads != 0 && unit >= k_units(kHeadDim)) break;
      const KUnit u = k_unit(kHeadDim, unit);
      Words4 a = staged_[2 * n], b = staged_[2 * n + 1];
      if (ragged) keep_valid(a, tile * kKvTileKeys + u.key), keep_valid(b, tile * kKvTileKeys + u.key);
      const int at = key_row(kWave, u.key);
      store(to + chunk_offset(kHeadDim, at, u.chunk), Words4{{a.v[0], a.v[1], b.v[0], b.v[1]}});
      store(to + chunk_offset(kHeadDim, at, u.chunk + 1), Words4{{a.v[2], a.v[3], b.v[2], b.v[3]}});
    }
  }

  __device__ __forceinline__ void load_values(int tile) {
    GRETA_UNROLL
    for (int n = 0; n < kVBlocks; ++n) {
      const int block = n * kThreads + hip::opaque(static_cast<int>(threadIdx.x));
      if (v_blocks(kHeadDim) % kThreads != 0 && block >= v_blocks(kHeadDim)) break;
      const VBlock b = v_block(kHeadDim, block);
      GRETA_UNROLL
      for (int i = 0; i < 4; ++i) staged_[4 * n + i] = load(row(v_, tile * kKvTileKeys + b.key + i) + b.channel);
    }
  }
  __device__ __forceinline__ void land_values(int tile, T* to) {
    const bool ragged = (tile + 1) * kKvTileKeys > n_keys_;
    GRETA_UNROLL
    for (int n = 0; n < kVBlocks; ++n) {
      const int block = n * kThreads + hip::opaque(static_cast<int>(threadIdx.x));
      if (v_blocks(kHeadDim) % kThreads != 0 && block >= v_blocks(kHeadDim)) break;
      const VBlock b = v_block(kHeadDim, block);
      Words4 w[4];
      GRETA_UNROLL
      for (int i = 0; i < 4; ++i) {
        w[i] = staged_[4 * n + i];
        if (ragged) keep_valid(w[i], tile * kKvTileKeys + b.key + i);
      }
      GRETA_UNROLL
      for (int j = 0; j < 4; ++j) {  // channels 2j and 2j + 1 of the eight
        T* const even = to + chunk_offset(kKvTileKeys, b.channel + 2 * j, b.chunk) + 4 * b.half;
        T* const odd = to + chunk_offset(kKvTileKeys, b.channel + 2 * j + 1, b.chunk) + 4 * b.half;
        store(even, Pack<uint32_t, 2>{{hip::pack_low16(w[0].v[j], w[1].v[j]), hip::pack_low16(w[2].v[j], w[3].v[j])}});
        store(odd, Pack<uint32_t, 2>{{hip::pack_high16(w[0].v[j], w[1].v[j]), hip::pack_high16(w[2].v[j], w[3].v[j])}});
      }
    }
  }
  template <int N>
  __device__ static void store(T* to, const Pack<uint32_t, N>& words) {
    store_pack(reinterpret_cast<uint32_t*>(to), words);
  }

  // --------------------------------------------------------------------------------------- wave 32: in the background

  /// Starts the copy of the next tile in order, or of none when all are under way; closes a group either way, so that
  /// groups can be counted.
  __device__ __forceinline__ void issue() {
#if !defined(__HIP__)
    constexpr int kChunks = kHeadDim / kChunkElements, kUnits = kKvTileKeys * kChunks;
    if (tile_ < end_) {
      const T* const base = issues_values_ ? v_ : k_;
      GRETA_UNROLL
      for (int n = 0; n < (kUnits + kThreads - 1) / kThreads; ++n) {
        const int unit = n * kThreads + hip::opaque(static_cast<int>(threadIdx.x));
        if (kUnits % kThreads != 0 && unit >= kUnits) break;
        const int key = unit / kChunks, chunk = unit % kChunks, absolute = tile_ * kKvTileKeys + key;
        hip::async_copy16(lds_ + write_ * kTile + chunk_offset(kHeadDim, key_row(kWave, key), chunk),
                          row(base, absolute) + chunk * kChunkElements, absolute < n_keys_);
      }
      if (issues_values_) ++tile_;
      issues_values_ = !issues_values_;
      write_ = write_ + 1 == kBuffers ? 0 : write_ + 1;
    }
    hip::async_commit();
#endif
  }
  __device__ __forceinline__ const T* next() {
#if !defined(__HIP__)
    hip::async_wait<kBuffers - 2>();
    __syncthreads();
    issue();
#endif
    const T* const ready = lds_ + read_ * kTile;
    read_ = read_ + 1 == kBuffers ? 0 : read_ + 1;
    return ready;
  }

  T* lds_;
  const T* k_;
  const T* v_;
  Rows rows_;
  int n_keys_;
  int tile_;  ///< wave 64: the tile in use; wave 32: the tile to be copied next
  int end_;
  bool issues_values_ = false;
  int write_ = 0, read_ = 0;
  Words4 staged_[kStaged];
};

}  // namespace greta
