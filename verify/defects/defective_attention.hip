#include "kernels/prefill_attention/launch_prefill.hpp"
#include "kernels/tile/mma_attention.hpp"
#include "verify/defects/defective_kernels.hpp"

namespace greta::verify {
namespace {

constexpr int kWaves = 2;

/// Online softmax on matrix tiles as prefill v4, plainly: K and V copied element by element, one tile at a time.
template <int kWave, AttentionMistake kMistake>
__global__ void defective(const half_t* q, const half_t* k, const half_t* v, half_t* o, const int32_t*, const int32_t*,
                          AttentionShape shape) {
  constexpr int kHeadDim = 64;
  using Tile = MmaAttention<half_t, kHeadDim, kWave, 1>;
  GRETA_LDS(half_t, keys, [kv_tile_elements(kHeadDim)]);
  GRETA_LDS(half_t, values, [kv_tile_elements(kHeadDim)]);
  using Totals = typename Tile::template Totals<Tile::kChannelBlocks>;  // all of them in LDS
  GRETA_LDS(float, totals, [kWaves][Totals::kNearFloats]);
  const int head = static_cast<int>(blockIdx.y), sequence = static_cast<int>(blockIdx.z);
  const int first = (static_cast<int>(blockIdx.x) * kWaves + hip::wave_id()) * Tile::kRows;
  const int before = shape.n_kv - shape.n_tokens;
  const auto row_of = [&](auto* base, int r) {
    return first + r < shape.n_tokens ? base + q_row(shape, kHeadDim, sequence, first + r, head) : nullptr;
  };
  const auto seen = [&](int, int slot) {
    const int token = first + Tile::row_in_fragment(slot);
    return before + (token < shape.n_tokens ? token : shape.n_tokens - 1) + 1;
  };
  const size_t first_key = kv_row(shape, kHeadDim, sequence, kv_head_of(shape, head)),
               stride = kv_stride(shape, kHeadDim);
  typename Tile::Queries queries;
  Tile::load_queries(queries, [&](int r) { return row_of(q, r); });
  const Totals total_o = {totals[hip::wave_id()], nullptr};
  typename Tile::PerRow total_m = {}, total_l = {};
  typename Tile::State state;
  Tile::reset(state);
  for (int begin = 0; begin < shape.n_kv; begin += kKvTileKeys) {
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < kv_tile_elements(kHeadDim); i += kWaves * kWave) {
      const int key = i / kHeadDim, c = i % kHeadDim;
      const size_t at = first_key + stride * static_cast<size_t>(begin + key) + static_cast<size_t>(c);
      const bool there = begin + key < shape.n_kv;
      keys[k_offset(kWave, kHeadDim, key, c)] = there ? k[at] : half_t{0};
      values[v_offset(kWave, kHeadDim, key, c)] = there ? v[at] : half_t{0};
    }
    if (kMistake != AttentionMistake::kNoBarrier) __syncthreads();
    typename Tile::Scores s;
    Tile::score_mma(s, keys, queries);
    typename Tile::PerRow a;
    Tile::template softmax<ExpMode::kPortable, true>(s, a, state, shape.scale_log2, [&](int f, int slot) {
      if (kMistake == AttentionMistake::kUnmaskedTile) return shape.n_kv - begin;
      return seen(f, slot) - begin + (kMistake == AttentionMistake::kMaskOneLate);
    });
    typename Tile::Weights p;
    Tile::to_operand(p, s);
    if (kMistake == AttentionMistake::kSwappedFragments) {
      const auto kept = p[0][0];
      p[0][0] = p[0][1], p[0][1] = kept;
    }
    Tile::scale_rows(state.o, a);
    Tile::pv_mma(state.o, values, p);
    const int split = begin / kAttentionSplit * kAttentionSplit, end = begin + kKvTileKeys;
    if (end % kAttentionSplit != 0 && end < shape.n_kv) continue;
    Tile::finish_split(state);
    if (split > 0) {
      if (kMistake == AttentionMistake::kMergeWithoutRescale)  // as if both splits had the same maximum
        for (int r = 0; r < Tile::kLaneRows; ++r) total_m[0][r] = state.m[0][r];
      Tile::template merge_split<ExpMode::kPortable>(state, total_m, total_l, total_o,
                                                     [&](int f, int slot) { return seen(f, slot) > split; });
    }
    if (end >= shape.n_kv) continue;
    Tile::store_total(total_o, state.o);
    for (int r = 0; r < Tile::kLaneRows; ++r) total_m[0][r] = state.m[0][r], total_l[0][r] = state.l[0][r];
    Tile::reset(state);
  }
  Tile::store_rows(state, [&](int r) { return row_of(o, r); });
}

template <AttentionMistake kMistake>
void run(hip::Stream& stream, const PrefillAttentionProblem& p, const PrefillAttentionArgs& args) {
  with_wave([&](auto wave) {
    constexpr int kWave = decltype(wave)::value;
    launch_prefill<half_t>(stream, "defective", &defective<kWave, kMistake>, {kWaves * hip::kTile, kWaves * kWave}, p,
                           args);
  });
  stream.synchronize();
}

}  // namespace

void prefill_attention_defective(AttentionMistake mistake, hip::Stream& stream, const PrefillAttentionProblem& p,
                                 const PrefillAttentionArgs& args) {
  switch (mistake) {
    case AttentionMistake::kNone:
      return run<AttentionMistake::kNone>(stream, p, args);
    case AttentionMistake::kNoBarrier:
      return run<AttentionMistake::kNoBarrier>(stream, p, args);
    case AttentionMistake::kSwappedFragments:
      return run<AttentionMistake::kSwappedFragments>(stream, p, args);
    case AttentionMistake::kMaskOneLate:
      return run<AttentionMistake::kMaskOneLate>(stream, p, args);
    case AttentionMistake::kUnmaskedTile:
      return run<AttentionMistake::kUnmaskedTile>(stream, p, args);
    case AttentionMistake::kMergeWithoutRescale:
      return run<AttentionMistake::kMergeWithoutRescale>(stream, p, args);
  }
}

}  // namespace greta::verify
