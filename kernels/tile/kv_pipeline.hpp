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
// Wave 32   (sm_90a, host) kBuffers buffers, cp.async of 16 bytes; kBuffers - 1 tiles are under way or ready. Where a
//           thread reads and writes in a whole tile of evenly spaced rows is known before the first tile and followed
//           by constants: computed again for each copy, addresses took a fifth of prefill v4's time
// Cost      staging registers on wave 64: 16 at 256 threads and head_dim 128
#pragma once

#include <type_traits>

#include "kernels/tile/attention_shape.hpp"
#include "kernels/tile/kv_layout.hpp"
#include "kernels/tile/pack.hpp"

namespace greta {

/// Rows of a contiguous cache: row(key) is the first element of the key's row, from key 0.
struct ContiguousRows {
  size_t stride;
  __device__ __forceinline__ size_t operator()(int key) const { return stride * static_cast<size_t>(key); }
  __device__ static constexpr bool evenly_spaced() { return true; }
};

/// Rows behind any table of pages, or none.
struct TableRows {
  KvRows rows;
  size_t stride;
  __device__ __forceinline__ explicit TableRows(const KvRows& r) : rows(r), stride(r.stride) {}
  __device__ __forceinline__ size_t operator()(int key) const { return rows.at(key); }
  __device__ __forceinline__ bool evenly_spaced() const { return !rows.paged(); }
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
      : lds_(lds), k_(k), v_(v), rows_(rows), n_keys_(n_keys), tile_(first_tile), end_(end_tile) {
    if constexpr (kWave == 64) {
      const int thread = static_cast<int>(threadIdx.x);
      const KUnit u = k_unit(kHeadDim, thread);
      k_to_ = chunk_offset(kHeadDim, key_row(kWave, u.key), u.chunk);
      k_from_ = offset_in_tile(u.key, u.channel);
      GRETA_UNROLL
      for (int n = 0; n < kVBlocks; ++n) {
        const VBlock block = v_block(kHeadDim, n * kThreads + thread);
        v_to_[n] = chunk_offset(kKvTileKeys, block.channel, block.chunk) + 4 * block.half;
        v_from_[n] = offset_in_tile(block.key, block.channel);
      }
    } else {
      const int thread = static_cast<int>(threadIdx.x);
      first_to_ = lds_of_copy(thread);
      first_from_ =
          rows.stride * static_cast<size_t>(thread / kChunks) + static_cast<size_t>(thread % kChunks * kChunkElements);
    }
  }

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
  __device__ static __forceinline__ void keep_valid(Words4& words, bool valid) {
    GRETA_UNROLL
    for (int i = 0; i < 4; ++i) words.v[i] = valid ? words.v[i] : 0u;
  }
  /// Whether the thread's unit n is one of `units`.
  __device__ static __forceinline__ bool in_tile(int n, int units) {
    return units % kThreads == 0 || n * kThreads + static_cast<int>(threadIdx.x) < units;
  }

  // Where a thread reads in a tile of a contiguous cache, and writes in LDS, is known before the first tile. Its other
  // units and channels lie at constants from there: an addition for the reads, an exclusive or (the swizzle) for the
  // writes. The address of the tile is the same for all threads and costs no vector register.
  static constexpr bool kContiguous = std::is_same_v<Rows, ContiguousRows>;
  static constexpr int kKeyStep = kThreads / (kHeadDim / 16);  ///< keys from one unit of a thread to its next
  static_assert(kWave != 64 || (kKeyStep >= 8 && (kKeyStep & (kKeyStep - 1)) == 0));

  __device__ __forceinline__ uint32_t offset_in_tile(int key, int channel) const {
    if constexpr (kContiguous)
      return static_cast<uint32_t>(key) * static_cast<uint32_t>(rows_.stride) + static_cast<uint32_t>(channel);
    return 0;
  }
  /// Row `key` of the tile, at the thread's offset: every key of the tile is there.
  __device__ __forceinline__ const T* in_whole_tile(const T* base, int tile, int key, uint32_t offset) const {
    return base + rows_(tile * kKvTileKeys + key) + offset;
  }

  __device__ __forceinline__ void load_keys(int tile) {
    if (kContiguous && (tile + 1) * kKvTileKeys <= n_keys_) {
      GRETA_UNROLL
      for (int n = 0; n < kKUnits; ++n) {
        if (!in_tile(n, k_units(kHeadDim))) break;
        const T* const from = in_whole_tile(k_, tile, n * kKeyStep, k_from_);
        staged_[2 * n] = load(from);
        staged_[2 * n + 1] = load(from + 16);
      }
      return;
    }
    GRETA_UNROLL
    for (int n = 0; n < kKUnits; ++n) {
      if (!in_tile(n, k_units(kHeadDim))) break;
      const KUnit u = k_unit(kHeadDim, n * kThreads + hip::opaque(static_cast<int>(threadIdx.x)));
      const T* const from = row(k_, tile * kKvTileKeys + u.key) + u.channel;
      staged_[2 * n] = load(from);
      staged_[2 * n + 1] = load(from + 16);
    }
  }
  __device__ __forceinline__ void land_keys(int tile, T* to) {
    const int left = n_keys_ - tile * kKvTileKeys;
    const int at = hip::opaque(k_to_);
    GRETA_UNROLL
    for (int n = 0; n < kKUnits; ++n) {
      if (!in_tile(n, k_units(kHeadDim))) break;
      Words4 a = staged_[2 * n], b = staged_[2 * n + 1];
      if (left < kKvTileKeys) {
        const int key = k_unit(kHeadDim, n * kThreads + hip::opaque(static_cast<int>(threadIdx.x))).key;
        keep_valid(a, key < left), keep_valid(b, key < left);
      }
      constexpr int kFlip = kKeyStep / 8 * kChunkElements;  // rows further by kKeyStep
      T* const first = to + n * kKeyStep * kHeadDim;
      store(first + (at ^ (n * kFlip & 7 * kChunkElements)), Words4{{a.v[0], a.v[1], b.v[0], b.v[1]}});
      store(first + (at ^ (n * kFlip & 7 * kChunkElements) ^ kChunkElements), Words4{{a.v[2], a.v[3], b.v[2], b.v[3]}});
    }
  }

  __device__ __forceinline__ void load_values(int tile) {
    if (kContiguous && (tile + 1) * kKvTileKeys <= n_keys_) {
      GRETA_UNROLL
      for (int i = 0; i < 4 * kVBlocks; ++i) {
        if (!in_tile(i / 4, v_blocks(kHeadDim))) break;
        staged_[i] = load(in_whole_tile(v_, tile, i % 4, v_from_[i / 4]));
      }
      return;
    }
    GRETA_UNROLL
    for (int i = 0; i < 4 * kVBlocks; ++i) {
      if (!in_tile(i / 4, v_blocks(kHeadDim))) break;
      const VBlock b = v_block(kHeadDim, i / 4 * kThreads + hip::opaque(static_cast<int>(threadIdx.x)));
      staged_[i] = load(row(v_, tile * kKvTileKeys + b.key + i % 4) + b.channel);
    }
  }
  __device__ __forceinline__ void land_values(int tile, T* to) {
    const int left = n_keys_ - tile * kKvTileKeys;
    GRETA_UNROLL
    for (int n = 0; n < kVBlocks; ++n) {
      if (!in_tile(n, v_blocks(kHeadDim))) break;
      const int at = hip::opaque(v_to_[n]);
      Words4 w[4];
      GRETA_UNROLL
      for (int i = 0; i < 4; ++i) w[i] = staged_[4 * n + i];
      if (left < kKvTileKeys) {
        const int key = v_block(kHeadDim, n * kThreads + hip::opaque(static_cast<int>(threadIdx.x))).key;
        GRETA_UNROLL
        for (int i = 0; i < 4; ++i) keep_valid(w[i], key + i < left);
      }
      GRETA_UNROLL
      for (int j = 0; j < 4; ++j) {  // channels 2j and 2j + 1 of the eight
        T* const even = to + (at ^ 2 * j * kChunkElements) + 2 * j * kKvTileKeys;
        T* const odd = to + (at ^ (2 * j + 1) * kChunkElements) + (2 * j + 1) * kKvTileKeys;
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

  static constexpr int kChunks = kHeadDim / kChunkElements;
  static constexpr int kKeys = kThreads / kChunks;  ///< from one copy of a thread to its next
  static GRETA_HOST_DEVICE constexpr int lds_of_copy(int unit) {
    return chunk_offset(kHeadDim, key_row(kWave, unit / kChunks), unit % kChunks);
  }
  /// Copy n of a thread lies at (its copy 0 xor flip) + step.
  static GRETA_HOST_DEVICE constexpr int flip_of_copy(int n) {
    return (lds_of_copy(n * kThreads) ^ lds_of_copy(0)) & (kHeadDim - 1);
  }
  static GRETA_HOST_DEVICE constexpr int step_of_copy(int n) { return lds_of_copy(n * kThreads) / kHeadDim * kHeadDim; }
  static constexpr bool copies_follow() {
    for (int unit = 0; unit < kKvTileKeys * kChunks; ++unit) {
      const int n = unit / kThreads;
      if (((lds_of_copy(unit % kThreads) ^ flip_of_copy(n)) + step_of_copy(n)) != lds_of_copy(unit)) return false;
    }
    return true;
  }
  static_assert(kWave != 32 || (kKvTileKeys * kChunks % kThreads == 0 && copies_follow()));

  /// Starts the copy of the next tile in order, or of none when all are under way; closes a group either way, so that
  /// groups can be counted.
  __device__ __forceinline__ void issue() {
#if !defined(__HIP__)
    constexpr int kUnits = kKvTileKeys * kChunks;
    if (tile_ < end_) {
      const T* const base = issues_values_ ? v_ : k_;
      if (rows_.evenly_spaced() && (tile_ + 1) * kKvTileKeys <= n_keys_) {
        const T* const from = base + rows_.stride * static_cast<size_t>(tile_ * kKvTileKeys) + first_from_;
        T* const to = lds_ + write_ * kTile;
        GRETA_UNROLL
        for (int n = 0; n < kUnits / kThreads; ++n)
          hip::async_copy16(to + ((first_to_ ^ flip_of_copy(n)) + step_of_copy(n)), from + rows_.stride * (kKeys * n),
                            true);
      } else {
        GRETA_UNROLL
        for (int n = 0; n < (kUnits + kThreads - 1) / kThreads; ++n) {
          const int unit = n * kThreads + hip::opaque(static_cast<int>(threadIdx.x));
          if (kUnits % kThreads != 0 && unit >= kUnits) break;
          const int key = unit / kChunks, chunk = unit % kChunks, absolute = tile_ * kKvTileKeys + key;
          hip::async_copy16(lds_ + write_ * kTile + chunk_offset(kHeadDim, key_row(kWave, key), chunk),
                            row(base, absolute) + chunk * kChunkElements, absolute < n_keys_);
        }
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
  // Wave 64, in elements: the first unit's place in memory from the tile's first row, and in LDS.
  // Wave 32: of the thread's first copy.
  int first_to_ = 0;
  size_t first_from_ = 0;
  uint32_t k_from_ = 0, v_from_[kVBlocks] = {};
  int k_to_ = 0, v_to_[kVBlocks] = {};
  Words4 staged_[kStaged];
};

}  // namespace greta
