// Prefill attention v4: both products on matrix cores; K and V copied ahead into LDS; two workgroups a CU in turns.
//   O[b,t,h,:] = sum_j softmax_j(scale * Q[b,t,h,:] . K[b,j,g,:]) V[b,j,g,:],   j <= n_kv - n_tokens + t
// Shapes    Q, O [batch, n_tokens, n_heads, head_dim]; K, V [batch, kv_capacity, n_kv_heads, head_dim]; f16 or bf16;
//           workspace [prefill_attention_workspace(problem)] f32: o of finished splits, each wave's own, in lane order
// Needs     head_dim 64 or 128; n_heads % n_kv_heads == 0; n_kv >= n_tokens >= 1; rows aligned to 16 bytes; V finite in
//           rows [0, n_kv). Sequences may be shorter (n_tokens_of, n_kv_of); their rows beyond are not written
// Numerics  "online_mma" (prefill_attention.hpp) out of the pieces of tile/mma_attention.hpp. A row's bits depend on no
//           other row: any chunking, batch and shape of workgroup gives the same. Tiles with masked keys run the same
//           operations with selects in between; tiles beyond a wave's last key are not run
// Placement 4 waves by 32 rows of one head: 128 tokens a workgroup, heads first in the grid, longest first. gfx942: Q,
//           o (64) and scores (32) in registers, K and V^T in two 16 KiB buffers of LDS, two workgroups a CU, whose
//           waves share a SIMD and fall out of step: one multiplies, at raised priority, while the other does softmax.
//           sm_90a: Q (32 KiB) and a ring of four tiles by cp.async in LDS, ldmatrix; two workgroups an SM
// From v3   multiply-adds by the tile of 16x16x16 instead of one by one, p from accumulator to operand in registers,
//           copies in flight during both products
// Cost      of the splits' exactness: every 512 keys o goes to the workspace and back, 64 KiB each way a workgroup
//           beside 256 KiB of K and V (v4_free, a bench variant, does without: docs/experiments.md). On sm_90a half of
//           it waits in LDS, and all where a workgroup has an SM to itself (v4_totals_in_lds)
#include "kernels/prefill_attention/launch_prefill.hpp"
#include "kernels/tile/kv_pipeline.hpp"
#include "kernels/tile/mma_attention.hpp"

namespace greta {

static_assert(kKvTileKeys == kAttentionTile);

/// Where the totals of finished splits wait: as many channels in LDS as two workgroups a CU leave room for, or all of
/// them, for workgroups that have a CU to themselves; or there are none.
enum class Room { kShared, kAlone, kNoTotals };

/// Shape of a workgroup: waves, 16-row fragments of each, where Q and the totals of finished splits are kept, K/V
/// buffers, waves per SIMD. It decides no bit of the result.
template <int kWave, int kHeadDim, Room kRoom>
struct PrefillV4Shape {
  static constexpr int kWaves = 4;
  static constexpr int kFragments = 2;
  static constexpr bool kQueriesInLds = kWave == 32 && kHeadDim == 128;
  static constexpr int kRows = kWaves * kFragments * hip::kTile;
  static constexpr int kQueryElements = kQueriesInLds ? kRows * kHeadDim : 0;
  // All in bytes from here. A block of 16 channels of the totals is 8 KiB.
  static constexpr int kQueryBytes = 2 * kQueryElements, kBlockBytes = kRows * hip::kTile * 4,
                       kTileBytes = 2 * kv_tile_elements(kHeadDim), kBlocks = kHeadDim / hip::kTile;
  /// m and l of the totals, two floats a row. Wave 32: eight registers of a lane, which it has no more of. (On host,
  /// whose LDS is that of gfx942, they may stay there.)
  static constexpr bool kRowTotalsInLds =
      kWave == 32 && kRoom != Room::kNoTotals && kQueryBytes + 2 * kTileBytes + 8 * kRows <= hip::kLdsBytes;
  static constexpr int kRowTotalBytes = kRowTotalsInLds ? 8 * kRows : 0;
  static constexpr int kRoomBytes =
      (kRoom == Room::kAlone ? hip::kLdsBytes : hip::kLdsBytesForTwo) - kQueryBytes - kRowTotalBytes;
  /// Wave 32: three buffers do as well as four, and totals are worth more than the fourth.
  static constexpr int kLeftBlocks = (kRoomBytes - 3 * kTileBytes) / kBlockBytes;
  static constexpr int kNearBlocks = kRoom == Room::kNoTotals || kWave == 64 || kLeftBlocks < 0 ? 0
                                     : kLeftBlocks < kBlocks                                    ? kLeftBlocks
                                                                                                : kBlocks;
  static constexpr int kBuffers = kv_buffers(kWave, kHeadDim, kRoomBytes - kNearBlocks * kBlockBytes);
  static constexpr int kTileElements = kBuffers * kv_tile_elements(kHeadDim);
  static constexpr int kNearElements = kNearBlocks * kBlockBytes / 2;
  static constexpr int kLdsElements = kTileElements + kQueryElements + kNearElements + kRowTotalBytes / 2;
  static constexpr int kWavesPerSimd = 2;
  static constexpr bool kExists = kRoom != Room::kAlone || kNearBlocks == kBlocks;
};

template <class T, int kHeadDim, int kWave, ExpMode kExp, class Shape, bool kSplits>
__global__ void GRETA_LAUNCH_BOUNDS(Shape::kWaves* kWave, Shape::kWavesPerSimd)
    prefill_attention_v4_kernel(const T* q, const T* k, const T* v, T* o, const int32_t* n_tokens_of,
                                const int32_t* n_kv_of, float* workspace, AttentionShape shape) {
  using Tile = MmaAttention<T, kHeadDim, kWave, Shape::kFragments>;
  constexpr int kBlockRows = Shape::kWaves * Tile::kRows;
  constexpr int kSplitTiles = kAttentionSplit / kAttentionTile;
  GRETA_DYNAMIC_LDS(T, lds);

  const int sequence = static_cast<int>(blockIdx.z);
  const int head = prefill_head(shape, static_cast<int>(blockIdx.x));
  const int first = static_cast<int>(gridDim.y - 1 - blockIdx.y) * kBlockRows;  // the longest rows start first
  const int n_tokens = n_tokens_of ? n_tokens_of[sequence] : shape.n_tokens;
  const int before = (n_kv_of ? n_kv_of[sequence] : shape.n_kv) - n_tokens;  // keys older than the first query
  if (first >= n_tokens) return;                                             // the whole workgroup
  const auto keys_of = [&](int token) { return before + (token < n_tokens ? token : n_tokens - 1) + 1; };
  const int n_keys = keys_of(first + kBlockRows - 1);

  // Rows of this wave: what its first one and its last one see.
  const int wave = uniform_wave_id();
  const int wave_first = first + wave * Tile::kRows;
  const int wave_keys = wave_first < n_tokens ? keys_of(wave_first + Tile::kRows - 1) : 0;
  const int wave_unmasked = keys_of(wave_first);
  const auto row_keys = [&](int f, int slot) { return keys_of(wave_first + 16 * f + Tile::row_in_fragment(slot)); };
  const auto row_of = [&](auto* base, int r) {
    return wave_first + r < n_tokens ? base + q_row(shape, kHeadDim, sequence, wave_first + r, head) : nullptr;
  };

  const size_t first_key = kv_row(shape, kHeadDim, sequence, kv_head_of(shape, head));
  KvPipeline<T, kHeadDim, kWave, Shape::kWaves * kWave, Shape::kBuffers, ContiguousRows> kv(
      lds, k + first_key, v + first_key, ContiguousRows{kv_stride(shape, kHeadDim)}, n_keys, 0,
      (n_keys + kAttentionTile - 1) / kAttentionTile);
  kv.start();
  [[maybe_unused]] typename Tile::Queries queries;
  [[maybe_unused]] T* const staged = lds + Shape::kTileElements + wave * Tile::kRows * kHeadDim;
  if constexpr (Shape::kQueriesInLds)
    Tile::stage_queries(staged, [&](int r) { return row_of(q, r); });
  else
    Tile::load_queries(queries, [&](int r) { return row_of(q, r); });

  using Totals = typename Tile::template Totals<Shape::kNearBlocks>;
  const size_t block = (static_cast<size_t>(sequence) * gridDim.x + blockIdx.x) * gridDim.y + blockIdx.y;
  const Totals total_o = {
      reinterpret_cast<float*>(lds + Shape::kTileElements + Shape::kQueryElements) + wave * Totals::kNearFloats,
      workspace + (block * Shape::kWaves + static_cast<size_t>(wave)) * Totals::kFarFloats};
  [[maybe_unused]] typename Tile::PerRow total_m = {}, total_l = {};
  [[maybe_unused]] auto* const row_totals =
      reinterpret_cast<float*>(lds + Shape::kTileElements + Shape::kQueryElements + Shape::kNearElements) +
      wave * 2 * Tile::kRows;
  const auto each_row = [&](auto&& visit) {
    GRETA_UNROLL
    for (int n = 0; n < Shape::kFragments * Tile::kLaneRows; ++n) visit(n / Tile::kLaneRows, n % Tile::kLaneRows);
  };
  const auto place = [](int f, int slot) { return 2 * (16 * f + Tile::row_in_fragment(slot)); };
  typename Tile::State state;
  Tile::reset(state);
  for (int tile = 0; tile * kAttentionTile < n_keys; ++tile) {
    const int begin = tile * kAttentionTile;
    const bool works = begin < wave_keys;
    typename Tile::Weights p;
    typename Tile::PerRow a = {};
    const T* const keys = kv.next_keys();
    if (works) {
      typename Tile::Scores s;
      hip::wave_priority<1>();
      if constexpr (Shape::kQueriesInLds)
        Tile::score_mma_by(s, keys, [&](int f, int c) { return Tile::staged_query(staged, f, c); });
      else
        Tile::score_mma(s, keys, queries);
      hip::wave_priority<0>();
      const auto hidden = [&](int f, int slot) { return row_keys(f, slot) - begin; };
      if (begin + kAttentionTile > wave_unmasked)
        Tile::template softmax<kExp, true>(s, a, state, shape.scale_log2, hidden);
      else
        Tile::template softmax<kExp, false>(s, a, state, shape.scale_log2, hidden);
      Tile::to_operand(p, s);
    }
    const T* const values = kv.next_values();
    if (works) {
      Tile::scale_rows(state.o, a);
      hip::wave_priority<1>();
      Tile::pv_mma(state.o, values, p);
      hip::wave_priority<0>();
      const bool last = begin + kAttentionTile >= wave_keys;
      if (last || (kSplits && (tile + 1) % kSplitTiles == 0)) {
        Tile::finish_split(state);
        if (kSplits && tile >= kSplitTiles) {
          const int split = tile / kSplitTiles * kAttentionSplit;
          if constexpr (Shape::kRowTotalsInLds)
            each_row([&](int f, int slot) {
              const Pack<float, 2> row = load_pack<2>(row_totals + place(f, slot));
              total_m[f][slot] = row.v[0], total_l[f][slot] = row.v[1];
            });
          Tile::template merge_split<kExp>(state, total_m, total_l, total_o,
                                           [&](int f, int slot) { return row_keys(f, slot) > split; });
        }
        if (!last) {
          Tile::store_total(total_o, state.o);
          each_row([&](int f, int slot) {
            if constexpr (!Shape::kRowTotalsInLds)
              total_m[f][slot] = state.m[f][slot], total_l[f][slot] = state.l[f][slot];
            else if (Tile::lane_key() == 0)  // of the lanes of a row one
              store_pack<2>(row_totals + place(f, slot), Pack<float, 2>{{state.m[f][slot], state.l[f][slot]}});
          });
          Tile::reset(state);
        }
      }
    }
  }
  if (wave_keys > 0) Tile::store_rows(state, [&](int r) { return row_of(o, r); });
}

/// Whether every workgroup has a CU to itself, with splits to merge: then the totals may have the LDS of a second one.
bool alone_on_a_cu(const PrefillAttentionProblem& p, int rows) {
  const int64_t blocks = p.batch * p.n_heads * ((p.n_tokens + rows - 1) / rows);
  return p.n_kv > kAttentionSplit && blocks <= hip::device_info().compute_units;
}

template <class T, int kHeadDim, int kWave, ExpMode kExp, bool kSplits>
void launch_instance(hip::Stream& stream, const PrefillAttentionProblem& p, const PrefillAttentionArgs& args) {
  const auto launch = [&](const char* name, auto shape) {
    using Shape = decltype(shape);
    constexpr PrefillBlock kBlock = {Shape::kRows, Shape::kWaves * kWave, sizeof(T) * Shape::kLdsElements, true};
    launch_prefill<T>(stream, name, &prefill_attention_v4_kernel<T, kHeadDim, kWave, kExp, Shape, kSplits>, kBlock, p,
                      args, hip::out("workspace", args.workspace, kSplits ? prefill_attention_workspace(p) : 0));
  };
  using Alone = PrefillV4Shape<kWave, kHeadDim, Room::kAlone>;
  using Shared = PrefillV4Shape<kWave, kHeadDim, Room::kShared>;
  if constexpr (!kSplits) {
    if constexpr (kHeadDim == 128) launch("v4_free", PrefillV4Shape<kWave, kHeadDim, Room::kNoTotals>{});
  } else {
    if constexpr (Alone::kExists)
      if (alone_on_a_cu(p, Alone::kRows)) return launch("v4_totals_in_lds", Alone{});
    launch("v4", Shared{});
  }
}

template <bool kSplits>
void launch_v4(hip::Stream& stream, const PrefillAttentionProblem& p, const PrefillAttentionArgs& args) {
  with_exp_mode("prefill_attention v4", args.exp, [&](auto exp) {
    with_wave([&](auto wave) {
      with_attention_types(p.dtype, p.head_dim, [&](auto element, auto head_dim) {
        launch_instance<decltype(element), decltype(head_dim)::value, decltype(wave)::value, decltype(exp)::value,
                        kSplits>(stream, p, args);
      });
    });
  });
}

void prefill_attention_v4_free(hip::Stream& stream, const PrefillAttentionProblem& p,
                               const PrefillAttentionArgs& args) {
  launch_v4<false>(stream, p, args);
}

void prefill_attention_v4(hip::Stream& stream, const PrefillAttentionProblem& p, const PrefillAttentionArgs& args) {
  launch_v4<true>(stream, p, args);
}

}  // namespace greta
