// Online softmax of one query row by one wave, arithmetic "online_f32"
// (kernels/prefill_attention/prefill_attention.hpp): keys in tiles of 64 and splits of 512, both anchored at key 0.
// Prefill and decode are this routine, tile by tile and split by split, so that their bits agree.
//
//   online_split   from m = -inf, l = 0, o = 0 over the tiles of one split that hold a visible key:
//                    x_j = (q . k_j) * scale_log2;  m' = max(m, max_j x_j);  a = exp2(m - m') (1 while m is -inf);
//                    p_j = exp2(x_j - m');  l = fmaf(l, a, tree sum of p_j);  o_c = o_c * a, then fmaf(p_j, v_jc, o_c)
//                    for the tile's keys ascending
//   merge_split    adds the next split to the running (M, L, O)
//
// Lanes     over the 64 keys of a tile for the scores (each lane its own row of K, 16 bytes a load), over the channels
//           for P V (the wave reads a row of V at a time); p goes from the one to the other through LDS
// Masking   by select, on one path for all tiles: a key from n_visible on has p = 0 and its V counts as 0, and m does
//           not see it. Its row (NaN, another sequence, nothing at all) is never read: the last visible one stands in
// LDS       a wave: its query in f32 (head_dim floats) and two alternating rows of 64 p
// Order     one wave_barrier a tile: a lane that writes p of tile t + 2 over tile t's has passed the barrier of tile
//           t + 1, which all lanes reach after they have read tile t's
#pragma once

#include <cmath>

#include "kernels/tile/attention_shape.hpp"
#include "kernels/tile/exp2.hpp"
#include "kernels/tile/logical_wave.hpp"
#include "kernels/tile/pack.hpp"

namespace greta {

inline constexpr int kOnlineTile = 64;
inline constexpr int kOnlineSplit = 512;
static_assert(kOnlineTile == kLogicalWave, "a logical lane holds one key of a tile");
static_assert(kOnlineSplit % (2 * kOnlineTile) == 0, "p alternates between two rows, across splits too");

/// Floats of LDS a wave needs: the query, two rows of p.
template <int kHeadDim>
inline constexpr int kOnlineLds = kHeadDim + 2 * kOnlineTile;

/// Channels a hardware lane owns: [lane_id() * kOwn, + kOwn).
template <int kHeadDim, int kSlots>
inline constexpr int kOwnChannels = kHeadDim* kSlots / kLogicalWave;

/// Running maximum (log2 units), sum and weighted sum of V of some keys; m and l are the same in every lane.
template <int kOwn>
struct OnlineState {
  float m, l;
  float o[kOwn];
};

/// One query and the keys of its head.
template <class T>
struct OnlineRow {
  const T* k;  ///< the head's first row, see KvRows
  const T* v;
  KvRows rows;
  int n_visible;  ///< keys this query sees, >= 1
  float scale_log2;
};

/// Query row to the wave's LDS. The whole wave takes part.
template <int kHeadDim, int kSlots, class T>
__device__ __forceinline__ void stage_query(const T* q, float* lds) {
  constexpr int kOwn = kOwnChannels<kHeadDim, kSlots>;
  float own[kOwn];
  to_floats(load_pack<kOwn>(q + hip::lane_id() * kOwn), own);
  GRETA_UNROLL
  for (int i = 0; i < kOwn; ++i) lds[hip::lane_id() * kOwn + i] = own[i];
  hip::wave_barrier();
}

/// The split of keys [begin, begin + 512), begin < n_visible. The whole wave takes part, with one row and one begin.
template <int kHeadDim, int kSlots, ExpMode kExp, class T>
__device__ __forceinline__ OnlineState<kOwnChannels<kHeadDim, kSlots>> online_split(const OnlineRow<T>& row, int begin,
                                                                                    float* lds) {
  constexpr int kOwn = kOwnChannels<kHeadDim, kSlots>;
  const int last = row.n_visible - 1;
  const int end = begin + kOnlineSplit < row.n_visible ? begin + kOnlineSplit : row.n_visible;
  const T* const v_own = row.v + hip::lane_id() * kOwn;
  OnlineState<kOwn> state;
  state.m = -INFINITY, state.l = 0.0f;
  GRETA_UNROLL
  for (int c = 0; c < kOwn; ++c) state.o[c] = 0.0f;

  for (int tile = begin; tile < end; tile += kOnlineTile) {
    // Scores. A lane whose key is masked takes the last visible one instead: its score changes no maximum, and its p is
    // set to zero below.
    bool visible[kSlots];
    const T* k[kSlots];
    float x[kSlots];
    GRETA_UNROLL
    for (int s = 0; s < kSlots; ++s) {
      const int key = tile + logical_lane<kSlots>(s);
      visible[s] = key <= last;
      k[s] = row.k + row.rows.at(visible[s] ? key : last);
      x[s] = 0.0f;
    }
    GRETA_UNROLL
    for (int c = 0; c < kHeadDim; c += 8) {
      float k8[kSlots][8];
      GRETA_UNROLL
      for (int s = 0; s < kSlots; ++s) to_floats(load_pack<8>(k[s] + c), k8[s]);
      GRETA_UNROLL
      for (int i = 0; i < 8; ++i) {
        const float q = lds[c + i];
        GRETA_UNROLL
        for (int s = 0; s < kSlots; ++s) x[s] = fmaf(q, k8[s][i], x[s]);
      }
    }

    GRETA_UNROLL
    for (int s = 0; s < kSlots; ++s) x[s] = x[s] * row.scale_log2;
    const float m = fmaxf(state.m, logical_max(x));
    const float a = state.m == -INFINITY ? 1.0f : exp2<kExp>(state.m - m);
    state.m = m;

    float p[kSlots];
    GRETA_UNROLL
    for (int s = 0; s < kSlots; ++s) p[s] = visible[s] ? exp2<kExp>(x[s] - m) : 0.0f;
    state.l = fmaf(state.l, a, logical_sum(p));

    float* const p_of_tile = lds + kHeadDim + tile / kOnlineTile % 2 * kOnlineTile;
    GRETA_UNROLL
    for (int s = 0; s < kSlots; ++s) p_of_tile[logical_lane<kSlots>(s)] = p[s];
    hip::wave_barrier();

    GRETA_UNROLL
    for (int c = 0; c < kOwn; ++c) state.o[c] = state.o[c] * a;
    GRETA_UNROLL_BY(16)
    for (int j = 0; j < kOnlineTile; ++j) {
      const bool counts = tile + j <= last;
      const float pj = p_of_tile[j];
      float v[kOwn];
      to_floats(load_pack<kOwn>(v_own + row.rows.at(counts ? tile + j : last)), v);
      GRETA_UNROLL
      for (int c = 0; c < kOwn; ++c) state.o[c] = fmaf(pj, counts ? v[c] : 0.0f, state.o[c]);
    }
  }
  return state;
}

/// total becomes total and the split after it.
template <ExpMode kExp, int kOwn>
__device__ __forceinline__ void merge_split(OnlineState<kOwn>& total, const OnlineState<kOwn>& split) {
  const float m = fmaxf(total.m, split.m);
  const float a = exp2<kExp>(total.m - m), b = exp2<kExp>(split.m - m);
  total.l = fmaf(total.l, a, split.l * b);
  GRETA_UNROLL
  for (int c = 0; c < kOwn; ++c) total.o[c] = fmaf(total.o[c], a, split.o[c] * b);
  total.m = m;
}

}  // namespace greta
