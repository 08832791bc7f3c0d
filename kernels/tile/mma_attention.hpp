// Attention on matrix tiles: the pieces of a wave's work on one tile of 64 keys, arithmetic "online_mma"
// (kernels/prefill_attention/prefill_attention.hpp). Prefill and decode are made of these pieces, so that their bits
// agree; a piece for another instruction (wgmma with operands in LDS) goes behind the same names.
//
//   using Tile = MmaAttention<T, kHeadDim, kWave, kFragments>;      16 * kFragments query rows a wave
//   Tile::Queries q;         Tile::load_queries(q, row)              registers; row(r) -> its address, null: zeros
//   Tile::Scores s;          Tile::score_mma(s, keys, q)             s = Q K^T of the tile, f32
//   Tile::State state;       Tile::softmax<kExp, kMasked>(s, a, state, scale_log2, hidden)   s becomes p, a the rescale
//   Tile::Weights p;         Tile::to_operand(p, s)                  p rounded to T, in registers
//   Tile::scale_rows(state.o, a);  Tile::pv_mma(state.o, values, p)  o = o a + P V
//   Tile::finish_split(state), merge_split<kExp>(state, total...), store_total(...), store_rows(...)
//
// A row lives in the same lanes all along; what each lane holds follows from the fragment maps:
//   wave 64   S^T = K Q^T, O^T = V^T P^T: a lane has one row (column lane % 16) per fragment, keys 4 (lane / 16) + i;
//             C of the first product is B of the second. Row reductions: registers, then lanes xor 16, 32
//   wave 32   S = Q K^T, O = P V: a lane has two rows (lane / 4, + 8), and with the keys of every 16 permuted in LDS
//             keys 4 (lane % 4) + 0..3; C of the first product is A of the second. Then lanes xor 1, 2
#pragma once

#include <cmath>
#include <cstring>
#include <type_traits>

#include "kernels/hip/runtime.hpp"
#include "kernels/tile/exp2.hpp"
#include "kernels/tile/kv_layout.hpp"
#include "kernels/tile/pack.hpp"
#include "kernels/tile/with_wave.hpp"

namespace greta {

/// wave_id() in a scalar register where there are such: what follows from it costs no vector registers, and branches on
/// it are the wave's.
__device__ __forceinline__ int uniform_wave_id() {
#if defined(__HIP__)
  return __builtin_amdgcn_readfirstlane(hip::wave_id());
#else
  return hip::wave_id();
#endif
}

template <class T, int kHeadDim, int kWave, int kFragments>
struct MmaAttention {
  static_assert(kWave == 64 || kWave == 32);
  static_assert(kHeadDim % 64 == 0);

  static constexpr int kTile = hip::kTile;
  static constexpr int kRows = kTile * kFragments;             ///< query rows of a wave
  static constexpr int kElements = hip::tile_elements(kWave);  ///< of a 16x16 tile in a lane
  static constexpr int kLaneRows = kWave == 64 ? 1 : 2;        ///< rows of a fragment in a lane
  static constexpr int kKeyBlocks = kKvTileKeys / kTile;       ///< 4
  static constexpr int kChannelBlocks = kHeadDim / kTile;      ///< 4 or 8

  /// The operand that comes from K or V, and the one that comes from the rows (Q, P).
  using KvOperand = std::conditional_t<kWave == 64, hip::FragmentA<T>, hip::FragmentB<T>>;
  using RowOperand = std::conditional_t<kWave == 64, hip::FragmentB<T>, hip::FragmentA<T>>;

  using Queries = RowOperand[kFragments][kChannelBlocks];
  using Scores = hip::FragmentC[kFragments][kKeyBlocks];
  /// Of an operand, two elements a word: between the products they cross a barrier, and an array of 16-bit elements
  /// would be taken apart there.
  struct PackedOperand {
    uint32_t words[kElements / 2];
  };
  using Weights = PackedOperand[kFragments][kKeyBlocks];
  using Output = hip::FragmentC[kFragments][kChannelBlocks];
  using PerRow = float[kFragments][kLaneRows];

  /// Of the keys seen so far: m and o of every row; l in four parts, one a key group (the lanes of a row hold one
  /// each) until finish_split.
  struct State {
    PerRow m, l;
    Output o;
  };

  // ------------------------------------------------------------------------------------ what a lane's element is

  /// Row of the fragment, 0 .. 15, of the lane's row slot.
  __device__ static __forceinline__ int row_in_fragment(int slot) {
    return kWave == 64 ? hip::tile_c_col(64, hip::lane_id(), 0) : hip::tile_c_row(32, hip::lane_id(), 2 * slot);
  }
  /// Row slot of element i of a tile of scores or of o.
  static constexpr GRETA_HOST_DEVICE int slot_of(int i) { return kWave == 64 ? 0 : hip::tile_c_row(32, 0, i) / 8; }
  /// First of the four keys of a block of 16 that the lane holds, and which of the four element i is.
  __device__ static __forceinline__ int lane_key() {
    return 4 * (kWave == 64 ? hip::lane_id() / 16 : hip::lane_id() % 4);
  }
  static constexpr GRETA_HOST_DEVICE int key_of(int i) {
    return key_at_position(kWave, kWave == 64 ? hip::tile_c_row(64, 0, i) : hip::tile_c_col(32, 0, i));
  }
  /// Element of row slot `slot` and key 0 .. 3: the inverse.
  static constexpr GRETA_HOST_DEVICE int element_of(int slot, int key) {
    return kWave == 64 ? key : key % 2 + 2 * slot + 4 * (key / 2);
  }
  /// Channel of a block of 16 that element i of o is.
  __device__ static __forceinline__ int channel_of(int i) {
    return kWave == 64 ? hip::tile_c_row(64, hip::lane_id(), i) : hip::tile_c_col(32, hip::lane_id(), i);
  }

  // ----------------------------------------------------------------------------------------------------- operands

  /// Rows of Q as operands. row(r), r in 0 .. kRows - 1, is the address of head_dim elements (16-byte aligned), or null
  /// for a row of zeros.
  template <class Row>
  __device__ static __forceinline__ void load_queries(Queries& q, Row&& row) {
    constexpr int kRun = kWave == 64 ? 4 : 2;  // elements of a lane that are neighbours in a row
    const int lane = hip::lane_id();
    GRETA_UNROLL
    for (int n = 0; n < kFragments * kElements / kRun; ++n) {
      const int f = n / (kElements / kRun), i = n % (kElements / kRun) * kRun;
      const int r = kWave == 64 ? hip::tile_b_col(64, lane, i) : hip::tile_a_row(32, lane, i);
      const int k = kWave == 64 ? hip::tile_b_k(64, lane, i) : hip::tile_a_k(32, lane, i);
      const T* const from = row(f * kTile + r);
      GRETA_UNROLL
      for (int c = 0; c < kChannelBlocks; ++c) {
        Pack<T, kRun> run = {};
        if (from != nullptr) run = load_pack<kRun>(from + c * kTile + k);
        memcpy(&q[f][c].v[i], run.v, sizeof run);
      }
    }
  }

  /// Wave 32, where registers are too few for Q beside o: the wave's rows in LDS (kRows * kHeadDim elements), swizzled
  /// like K. The wave alone writes and reads them.
  template <class Row>
  __device__ static __forceinline__ void stage_queries(T* lds, Row&& row) {
    constexpr int kChunks = kHeadDim / kChunkElements;
    GRETA_UNROLL_BY(4)
    for (int unit = hip::lane_id(); unit < kRows * kChunks; unit += kWave) {
      const T* const from = row(unit / kChunks);
      Words4 words = {};
      if (from != nullptr)
        words = load_pack<4>(reinterpret_cast<const uint32_t*>(from + unit % kChunks * kChunkElements));
      store_pack(reinterpret_cast<uint32_t*>(lds + chunk_offset(kHeadDim, unit / kChunks, unit % kChunks)), words);
    }
    hip::wave_barrier();
  }
  __device__ static __forceinline__ RowOperand staged_query([[maybe_unused]] const T* lds, [[maybe_unused]] int f,
                                                            [[maybe_unused]] int c) {
    RowOperand q;
#if defined(__CUDACC__)
    const int lane = hip::lane_id();
    const int lane_offset = chunk_offset(kHeadDim, lane / 8 % 2 * 8 + lane % 8, lane / 16);
    uint32_t words[4];
    hip::load_matrix_x4(words, lds + block_chunk_offset(kHeadDim, lane_offset, f, 2 * c));
    memcpy(q.v, words, sizeof words);
#elif !defined(__HIP__)
    for (int i = 0; i < kElements; ++i)
      q.v[i] = lds[element_offset(32, kHeadDim, f * kTile + hip::tile_a_row(32, hip::lane_id(), i),
                                  c * kTile + hip::tile_a_k(32, hip::lane_id(), i))];
#endif
    return q;
  }

  /// Where in a tile of K, and of V, this lane reads: its part of every operand's address.
  __device__ static __forceinline__ int key_lane_offset() {
    const int lane = hip::lane_id();
    return hip::opaque(kWave == 64 ? chunk_offset(kHeadDim, lane % 16, lane / 16)
                                   : chunk_offset(kHeadDim, lane / 16 * 8 + lane % 8, lane / 8 % 2));
  }
  __device__ static __forceinline__ int value_lane_offset() {
    const int lane = hip::lane_id();
    return hip::opaque(kWave == 64 ? chunk_offset(kKvTileKeys, lane % 16, lane / 16)
                                   : chunk_offset(kHeadDim, lane / 8 % 2 * 8 + lane % 8, lane / 16));
  }

  /// Keys 16 block .. + 15 at channels 32 pair + {0, 16}: the operands of two steps.
  __device__ static __forceinline__ void load_keys(KvOperand (&to)[2], const T* tile, int lane_offset, int block,
                                                   int pair) {
    if constexpr (kWave == 64) {
      load_chunk(to, tile + block_chunk_offset(kHeadDim, lane_offset, block, 4 * pair));
    } else {
      load_tile<false>(to[0], tile, lane_offset, block, 2 * pair);
      load_tile<false>(to[1], tile, lane_offset, block, 2 * pair + 1);
    }
  }
  /// Channels 16 block .. + 15 at keys 32 pair + {0, 16}.
  __device__ static __forceinline__ void load_values(KvOperand (&to)[2], const T* tile, int lane_offset, int block,
                                                     int pair) {
    if constexpr (kWave == 64) {
      load_chunk(to, tile + block_chunk_offset(kKvTileKeys, lane_offset, block, 4 * pair));
    } else {
      load_tile<true>(to[0], tile, lane_offset, 2 * pair, block);
      load_tile<true>(to[1], tile, lane_offset, 2 * pair + 1, block);
    }
  }

  // ----------------------------------------------------------------------------------------------------- products

  /// Blocks of K or V whose operands are read before they are multiplied.
  static constexpr int kBatch = kWave == 64 || kFragments > 1 ? 2 : 4;

  /// s = Q K^T; channels ascend by 16 from an accumulator of zero. query(f, c): the operand of fragment f and channels
  /// 16 c .. + 15.
  __device__ static __forceinline__ void score_mma(Scores& s, const T* keys, const Queries& q) {
    score_mma_by(s, keys, [&](int f, int c) -> const RowOperand& { return q[f][c]; });
  }
  template <class Query>
  __device__ static __forceinline__ void score_mma_by(Scores& s, const T* keys, Query&& query) {
    GRETA_UNROLL
    for (int f = 0; f < kFragments; ++f) {
      GRETA_UNROLL
      for (int b = 0; b < kKeyBlocks; ++b) clear(s[f][b]);
    }
    const int lane_offset = key_lane_offset();
    GRETA_UNROLL
    for (int step = 0; step < kHeadDim / 32 * kKeyBlocks / kBatch; ++step) {
      const int pair = step / (kKeyBlocks / kBatch), first = step % (kKeyBlocks / kBatch) * kBatch;
      KvOperand k[kBatch][2];
      GRETA_UNROLL
      for (int b = 0; b < kBatch; ++b) load_keys(k[b], keys, lane_offset, first + b, pair);
      GRETA_UNROLL
      for (int half = 0; half < 2; ++half) {
        GRETA_UNROLL
        for (int f = 0; f < kFragments; ++f) {
          const RowOperand q = query(f, 2 * pair + half);
          GRETA_UNROLL
          for (int b = 0; b < kBatch; ++b) multiply(s[f][first + b], k[b][half], q);
        }
      }
    }
  }

  /// o += P V; keys ascend by 16.
  __device__ static __forceinline__ void pv_mma(Output& o, const T* values, const Weights& p) {
    const int lane_offset = value_lane_offset();
    GRETA_UNROLL
    for (int step = 0; step < kKeyBlocks / 2 * kChannelBlocks / kBatch; ++step) {
      const int pair = step / (kChannelBlocks / kBatch), first = step % (kChannelBlocks / kBatch) * kBatch;
      KvOperand v[kBatch][2];
      GRETA_UNROLL
      for (int c = 0; c < kBatch; ++c) load_values(v[c], values, lane_offset, first + c, pair);
      GRETA_UNROLL
      for (int i = 0; i < 2 * kBatch; ++i) {
        const int half = i / kBatch, c = i % kBatch;
        GRETA_UNROLL
        for (int f = 0; f < kFragments; ++f) multiply(o[f][first + c], v[c][half], unpacked(p[f][2 * pair + half]));
      }
    }
  }

  // ------------------------------------------------------------------------------------------------------ softmax

  __device__ static __forceinline__ void reset(State& state) {
    GRETA_UNROLL
    for (int f = 0; f < kFragments; ++f) {
      GRETA_UNROLL
      for (int r = 0; r < kLaneRows; ++r) state.m[f][r] = -INFINITY, state.l[f][r] = 0.0f;
      GRETA_UNROLL
      for (int c = 0; c < kChannelBlocks; ++c) clear(state.o[f][c]);
    }
  }

  /// Scores to p = exp2(s * scale_log2 - m), unrounded; m and l move on; a is what o has to be multiplied by.
  /// The first kUsedSlots row slots of a lane count; others hold rows of zeros, whose p and o mean nothing (a is 1).
  /// kMasked: hidden(f, slot) says from which key of this tile on (0 .. 64) the row sees nothing; else it sees all.
  template <ExpMode kExp, bool kMasked, int kUsedSlots = kLaneRows, class Hidden>
  __device__ static __forceinline__ void softmax(Scores& s, PerRow& a, State& state, float scale_log2,
                                                 Hidden&& hidden) {
    GRETA_UNROLL
    for (int f = 0; f < kFragments; ++f) {
      GRETA_UNROLL
      for (int r = kUsedSlots; r < kLaneRows; ++r) a[f][r] = 1.0f;
      GRETA_UNROLL
      for (int r = 0; r < kUsedSlots; ++r) {
        [[maybe_unused]] int limit = 0;
        if constexpr (kMasked) limit = hidden(f, r) - lane_key();
        float t = -INFINITY;
        GRETA_UNROLL
        for (int j = 0; j < kKvTileKeys / 4; ++j) {
          const int b = j / 4, key = j % 4;
          const float x = s[f][b].v[element_of(r, key)];
          if constexpr (kMasked)
            t = 16 * b + key < limit ? fmaxf(t, x) : t;
          else
            t = fmaxf(t, x);
        }
        t = across_row(t, [](float x, float y) { return fmaxf(x, y); });
        const float before = state.m[f][r];
        const float m = fmaxf(before, t * scale_log2);
        a[f][r] = before == -INFINITY ? 1.0f : exp2<kExp>(before - m);
        state.m[f][r] = m;
        float u[kKeyBlocks];
        GRETA_UNROLL
        for (int b = 0; b < kKeyBlocks; ++b) {
          float p[4];
          GRETA_UNROLL
          for (int key = 0; key < 4; ++key) {
            float& x = s[f][b].v[element_of(r, key)];
            x = exp2<kExp>(fmaf(x, scale_log2, -m));
            if constexpr (kMasked) x = 16 * b + key < limit ? x : 0.0f;
            p[key] = x;
          }
          u[b] = (p[0] + p[1]) + (p[2] + p[3]);
        }
        state.l[f][r] = fmaf(state.l[f][r], a[f][r], (u[0] + u[1]) + (u[2] + u[3]));
      }
    }
  }

  /// p rounded to T; element i of an accumulator is element i of the operand.
  __device__ static __forceinline__ void to_operand(Weights& p, const Scores& s) {
    GRETA_UNROLL
    for (int n = 0; n < kFragments * kKeyBlocks; ++n) {
      const int f = n / kKeyBlocks, b = n % kKeyBlocks;
      GRETA_UNROLL
      for (int i = 0; i < kElements; i += 2) {
        p[f][b].words[i / 2] = hip::round_pair<T>(s[f][b].v[i], s[f][b].v[i + 1]);
      }
    }
  }

  __device__ static __forceinline__ void scale_rows(Output& o, const PerRow& a) {
    GRETA_UNROLL
    for (int n = 0; n < kFragments * kChannelBlocks; ++n) {
      const int f = n / kChannelBlocks, c = n % kChannelBlocks;
      GRETA_UNROLL
      for (int i = 0; i < kElements; ++i) o[f][c].v[i] = o[f][c].v[i] * a[f][slot_of(i)];
    }
  }

  // ------------------------------------------------------------------------------------------------------- splits

  /// The four parts of l become their sum, (l0 + l1) + (l2 + l3), in every lane of the row.
  __device__ static __forceinline__ void finish_split(State& state) {
    GRETA_UNROLL
    for (int n = 0; n < kFragments * kLaneRows; ++n) {
      float& l = state.l[n / kLaneRows][n % kLaneRows];
      l = across_row(l, [](float x, float y) { return x + y; });
    }
  }

  /// The weighted values of finished splits wait in memory, not in registers, which a wave has no more of: a lane's
  /// own floats, 16 bytes at a time, written and read by that lane alone. The first kNear blocks of 16 channels of
  /// every row in `near` (LDS), the others in `far` (global memory).
  template <int kNear>
  struct Totals {
    static_assert(kNear >= 0 && kNear <= kChannelBlocks);
    static constexpr int kNearFloats = kRows * kTile * kNear, kFarFloats = kRows * kHeadDim - kNearFloats;
    float* near;
    float* far;
    __device__ __forceinline__ float* at(int f, int c, int i) const {
      float* const base = c < kNear ? near : far;
      const int blocks = c < kNear ? kNear : kChannelBlocks - kNear, block = c < kNear ? c : c - kNear;
      return base + ((f * blocks + block) * (kElements / 4) + i / 4) * 4 * kWave + 4 * hip::lane_id();
    }
  };
  template <int kNear>
  __device__ static __forceinline__ void store_total(const Totals<kNear>& total, const Output& o) {
    GRETA_UNROLL
    for (int n = 0; n < kFragments * kChannelBlocks; ++n) {
      const int f = n / kChannelBlocks, c = n % kChannelBlocks;
      GRETA_UNROLL
      for (int i = 0; i < kElements; i += 4) {
        Pack<float, 4> pack;
        GRETA_UNROLL
        for (int j = 0; j < 4; ++j) pack.v[j] = o[f][c].v[i + j];
        store_pack(total.at(f, c, i), pack);
      }
    }
  }

  /// Merges a finished split into the total of those before it (m, l, and o in memory): the state becomes their sum. A
  /// row for which takes(f, slot) does not hold, because it sees no key of the split, keeps the total's bits. Wave 32
  /// spares the selects: such a row's o is +0, and total * 1 + 0 * -0 is the total, a total of -0 too. (Of the same the
  /// gfx942 compiler makes spills.)
  template <ExpMode kExp, int kNear, class Takes>
  __device__ static __forceinline__ void merge_split(State& split, const PerRow& total_m, const PerRow& total_l,
                                                     const Totals<kNear>& total_o, Takes&& takes) {
    PerRow a, b;
    bool take[kFragments][kLaneRows];
    GRETA_UNROLL
    for (int n = 0; n < kFragments * kLaneRows; ++n) {
      const int f = n / kLaneRows, r = n % kLaneRows;
      const float m = fmaxf(total_m[f][r], split.m[f][r]);
      a[f][r] = exp2<kExp>(total_m[f][r] - m), b[f][r] = exp2<kExp>(split.m[f][r] - m);
      const float l = fmaf(total_l[f][r], a[f][r], split.l[f][r] * b[f][r]);
      take[f][r] = takes(f, r);
      split.m[f][r] = take[f][r] ? m : total_m[f][r];
      split.l[f][r] = take[f][r] ? l : total_l[f][r];
      if constexpr (kWave == 32) a[f][r] = take[f][r] ? a[f][r] : 1.0f, b[f][r] = take[f][r] ? b[f][r] : -0.0f;
    }
    const auto merge = [&](int f, int c, int i, const Pack<float, 4>& before) {
      GRETA_UNROLL
      for (int j = 0; j < 4; ++j) {
        const int r = slot_of(i + j);
        float& o = split.o[f][c].v[i + j];
        const float merged = fmaf(before.v[j], a[f][r], o * b[f][r]);
        o = kWave == 32 || take[f][r] ? merged : before.v[j];
      }
    };
    // What comes from far is sent for first, and needed after what is near. Without a near part the compiler's own
    // order needs fewer registers.
    constexpr int kPacks = kElements / 4, kFirstFar = kNear > 0 ? kNear : kChannelBlocks;
    [[maybe_unused]] Pack<float, 4> far[kFragments][kChannelBlocks][kPacks];
    GRETA_UNROLL
    for (int n = 0; n < kFragments * kChannelBlocks * kPacks; ++n) {
      const int f = n / kPacks / kChannelBlocks, c = n / kPacks % kChannelBlocks, i = n % kPacks;
      if (c >= kFirstFar) far[f][c][i] = load_pack<4>(total_o.at(f, c, 4 * i));
    }
    GRETA_UNROLL
    for (int n = 0; n < kFragments * kChannelBlocks * kPacks; ++n) {
      const int f = n / kPacks / kChannelBlocks, c = n / kPacks % kChannelBlocks, i = n % kPacks;
      if (c < kFirstFar) merge(f, c, 4 * i, load_pack<4>(total_o.at(f, c, 4 * i)));
    }
    GRETA_UNROLL
    for (int n = 0; n < kFragments * kChannelBlocks * kPacks; ++n) {
      const int f = n / kPacks / kChannelBlocks, c = n / kPacks % kChannelBlocks, i = n % kPacks;
      if (c >= kFirstFar) merge(f, c, 4 * i, far[f][c][i]);
    }
  }

  /// o / l rounded to T. row(r) is the address of head_dim elements, or null for a row that is not written.
  template <class Row>
  __device__ static __forceinline__ void store_rows(const State& state, Row&& row) {
    constexpr int kRun = kWave == 64 ? 4 : 2;
    GRETA_UNROLL
    for (int n = 0; n < kFragments * kElements / kRun; ++n) {
      const int f = n / (kElements / kRun), i = n % (kElements / kRun) * kRun;
      T* const to = row(f * kTile + row_in_fragment(slot_of(i)));
      if (to == nullptr) continue;
      GRETA_UNROLL
      for (int c = 0; c < kChannelBlocks; ++c) {
        Pack<T, kRun> run;
        GRETA_UNROLL
        for (int j = 0; j < kRun; ++j) run.v[j] = hip::from_float<T>(state.o[f][c].v[i + j] / state.l[f][slot_of(i)]);
        store_pack(to + c * kTile + channel_of(i), run);
      }
    }
  }

  // -------------------------------------------------------------------------------------------------- inside a piece

  __device__ static __forceinline__ void clear(hip::FragmentC& c) {
    GRETA_UNROLL
    for (int i = 0; i < kElements; ++i) c.v[i] = 0.0f;
  }
  __device__ static __forceinline__ RowOperand unpacked(const PackedOperand& packed) {
    RowOperand operand;
    memcpy(operand.v, packed.words, sizeof packed.words);
    return operand;
  }
  __device__ static __forceinline__ void multiply(hip::FragmentC& c, const KvOperand& kv, const RowOperand& rows) {
    if constexpr (kWave == 64)
      c = hip::mma_16x16x16(kv, rows, c);
    else
      c = hip::mma_16x16x16(rows, kv, c);
  }
  /// Over the lanes that share a row: distances 16, 32 or 1, 2, which are the same key groups.
  template <class Op>
  __device__ static __forceinline__ float across_row(float v, Op op) {
    v = op(v, hip::wave_exchange < kWave == 64 ? 16 : 1 > (v));
    return op(v, hip::wave_exchange < kWave == 64 ? 32 : 2 > (v));
  }

  /// Wave 64: one 16-byte read is the operand of two steps.
  __device__ static __forceinline__ void load_chunk(KvOperand (&to)[2], const T* from) {
#if defined(__HIP__)
    // As a vector cut by shuffles: of an array, or of elements, the compiler would read each half by itself, and pair
    // it with halves of other rows, whose banks meet.
    using Vector = uint32_t __attribute__((ext_vector_type(4)));
    const Vector words = *reinterpret_cast<const Vector*>(from);
    const auto low = __builtin_shufflevector(words, words, 0, 1), high = __builtin_shufflevector(words, words, 2, 3);
    memcpy(to[0].v, &low, 8);
    memcpy(to[1].v, &high, 8);
#else
    const Words4 words = load_pack<4>(reinterpret_cast<const uint32_t*>(from));
    memcpy(to[0].v, words.v, 8);
    memcpy(to[1].v, words.v + 2, 8);
#endif
  }
  /// Wave 32: a B operand from rows of keys. Not transposed: depth along the row (K). Transposed: depth down the rows
  /// (V). `keys` and `channels` number blocks of 16. Registers hold 8x8 tiles, depth first, then columns.
  template <bool kTransposed>
  __device__ static __forceinline__ void load_tile(KvOperand& to, const T* tile, [[maybe_unused]] int lane_offset,
                                                   int keys, int channels) {
#if defined(__CUDACC__)
    const T* const from = tile + block_chunk_offset(kHeadDim, lane_offset, keys, 2 * channels);
    uint32_t words[4];
    if constexpr (kTransposed)
      hip::load_matrix_x4_transposed(words, from);
    else
      hip::load_matrix_x4(words, from);
    memcpy(to.v, words, sizeof words);
#else
    GRETA_UNROLL
    for (int i = 0; i < kElements; ++i) {
      const int lane = hip::lane_id(), k = hip::tile_b_k(kWave, lane, i), column = hip::tile_b_col(kWave, lane, i);
      const int row = keys * kTile + (kTransposed ? k : column),
                channel = channels * kTile + (kTransposed ? column : k);
      to.v[i] = tile[element_offset(kWave, kHeadDim, row, channel)];
    }
#endif
  }
};

}  // namespace greta
