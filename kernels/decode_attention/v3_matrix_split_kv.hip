// Decode attention v3: both products on matrix tiles; one wave per (512-key split, KV head), then a merge in order.
//   O[b,h,:] = sum_{j < n_kv_b} softmax_j(scale * Q[b,h,:] . K[b,j,g,:]) V[b,j,g,:]
// Shapes    Q, O [batch, n_heads, head_dim]; K, V contiguous or paged (decode_attention_problem.hpp); f16 or bf16;
//           workspace as in split_merge.hpp
// Needs     head_dim 64 or 128; n_heads % n_kv_heads == 0; n_kv_b >= 1; rows aligned to 16 bytes
// Numerics  "online_mma", the tile routine of prefill v4 (tile/mma_attention.hpp) on the same tiles and splits, merged
//           in the same order: the same bits for the same query. A split's size is fixed, not their number
// Placement wave: the query heads of one KV head are the rows of one fragment, the others zero (16 rows on a wave of
//           64, 8 on a wave of 32; more heads of a KV head: more waves, which read it again); K and V stream through
//           the wave alone (tile/kv_pieces.hpp), so waves never wait for each other. Workgroup: 4 waves, on
//           neighbouring KV heads of a split where there are so many. LDS 16 KiB on gfx942, 96 KiB on sm_90a at
//           head_dim 128
// From v2   a KV head's rows are read once for all its query heads; matrix tiles instead of one fmaf chain a lane
// Cost      as v2: a second launch, partial results through memory. A short context leaves CUs idle: its splits are
//           few, and a split takes a wave about 20 us on an H200
// gfx942    127 registers at head_dim 128 (84 at 64), no spills, no scratch: 4 waves a SIMD; all of K and V in 16-byte
//           loads at head_dim 128 (V in 8-byte ones at 64), one piece ahead: 64 KiB in flight a CU
// H200      4016 GB/s of K and V at batch 8, 32k keys, 98 % of the copy ceiling: docs/experiments.md
#include "kernels/decode_attention/split_merge.hpp"
#include "kernels/tile/kv_pieces.hpp"

namespace greta {

/// Waves of a workgroup: 4, or 2 where LDS does not hold the rings of 4 (host as sm_90a).
template <class T, int kHeadDim, int kWave>
inline constexpr int kDecodeV3Waves = 4 * sizeof(T) * KvPieces<T, kHeadDim, kWave>::kLdsElements
                                              <= size_t{hip::kLdsBytes}
                                          ? 4
                                          : 2;

template <class T, int kHeadDim, int kWave, ExpMode kExp>
__global__ void GRETA_LAUNCH_BOUNDS(4 * kWave, kWave == 64 ? 4 : 2)
    decode_attention_v3_split_kernel(const T* q, const T* k, const T* v, const int32_t* n_kv_of,
                                     const int32_t* page_table, float* workspace, int splits, int split_keys,
                                     DecodeShape shape) {
  using Mma = MmaAttention<T, kHeadDim, kWave, 1>;
  using Pieces = KvPieces<T, kHeadDim, kWave>;
  constexpr int kRows = decode_mma_rows(kWave), kSlots = 1;
  GRETA_DYNAMIC_LDS(T, lds);
  const int wave = hip::wave_uniform(hip::wave_id());
  const int sequence = static_cast<int>(blockIdx.y);
  const int group = shape.n_heads / shape.n_kv_heads;
  const DecodeUnit unit(shape, kWave, static_cast<int>(blockIdx.x) * kDecodeV3Waves<T, kHeadDim, kWave> + wave);
  const int split = unit.split, kv_head = unit.kv_head, first = unit.first;
  const int begin = split * split_keys;
  const int n_kv = decode_n_kv(shape, n_kv_of, sequence);
  if (split >= splits || begin >= n_kv) return;  // the same for the whole wave; nothing below goes beyond a wave
  const int end = n_kv - begin > split_keys ? begin + split_keys : n_kv;

  const DecodeKeys keys = decode_keys(shape, page_table, kHeadDim, sequence, kv_head);
  Pieces kv(lds + wave * Pieces::kLdsElements, {k + keys.first, v + keys.first, keys.rows, begin, end});
  kv.start();
  const auto head_of_row = [&](int row) { return head_of_slot(shape, kv_head * group + first + row); };
  typename Mma::Queries queries;
  Mma::load_queries(queries, [&](int row) -> const T* {
    return row < kRows && first + row < group ? q + q_row(shape, kHeadDim, sequence, 0, head_of_row(row)) : nullptr;
  });

  typename Mma::State state;
  Mma::reset(state);
  const int tiles = kv.tiles();
  for (int tile = 0; tile < tiles; ++tile) {
    typename Mma::Scores s;
    GRETA_UNROLL
    for (int half = 0; half < 2; ++half) kv.scores(s, queries, tile, half);
    typename Mma::PerRow a;
    const int visible = end - begin - tile * kKvTileKeys;
    Mma::template softmax<kExp, true, kSlots>(s, a, state, shape.scale_log2, [&](int, int) { return visible; });
    if (!hip::wave_all(a[0][0] == 1.0f)) Mma::scale_rows(state.o, a);
    typename Mma::Weights p;
    Mma::to_operand(p, s);
    GRETA_UNROLL
    for (int half = 0; half < 2; ++half) kv.values(state.o, p, tile, half);
  }
  Mma::finish_split(state);

  const DecodePartials<float> partials(workspace, kHeadDim, static_cast<size_t>(gridDim.y) * shape.n_heads, splits);
  const int row = Mma::row_in_fragment(0);
  if (first + row >= group) return;
  const size_t at = (static_cast<size_t>(sequence) * shape.n_heads + head_of_row(row)) * splits + split;
  if (Mma::lane_key() == 0) partials.m[at] = state.m[0][0], partials.l[at] = state.l[0][0];
  Pieces::store_row(partials.o + at * kHeadDim, state.o, 0);
}

void decode_attention_v3(hip::Stream& stream, const DecodeAttentionProblem& p, const DecodeAttentionArgs& args) {
  decode_attention_v3_with_splits(stream, p, args, kAttentionSplit);
}

void decode_attention_v3_with_splits(hip::Stream& stream, const DecodeAttentionProblem& p,
                                     const DecodeAttentionArgs& args, int64_t split_keys) {
  if (split_keys < kAttentionTile || split_keys % kAttentionTile || (p.paged() && split_keys > kAttentionSplit))
    throw_invalid(concat("decode_attention v3: splits of ", split_keys, " keys; wanted a multiple of ", kAttentionTile,
                         ", at most ", kAttentionSplit, " with pages"));
  const int64_t splits = ceil_div(p.n_kv, split_keys);
  const size_t partials = decode_partials_workspace(p, splits);
  with_exp_mode("decode_attention v3", args.exp, [&](auto exp) {
    with_wave([&](auto wave) {
      with_attention_types(p.dtype, p.head_dim, [&](auto element, auto head_dim) {
        using T = decltype(element);
        constexpr int kHeadDim = decltype(head_dim)::value, kWave = decltype(wave)::value;
        constexpr ExpMode kExp = decltype(exp)::value;
        constexpr int kWaves = kDecodeV3Waves<T, kHeadDim, kWave>;
        constexpr size_t kLds = sizeof(T) * kWaves * KvPieces<T, kHeadDim, kWave>::kLdsElements;
        const DecodeOperands<T> x(p, args);
        const int64_t units = splits * p.n_kv_heads * decode_mma_parts(kWave, static_cast<int>(p.group()));
        const dim3 grid(static_cast<unsigned>((units + kWaves - 1) / kWaves), static_cast<unsigned>(p.batch));
        hip::launch(stream, {decode_name("v3_split", p, args), grid, dim3(kWaves * kWave), kLds, p.batch},
                    &decode_attention_v3_split_kernel<T, kHeadDim, kWave, kExp>, x.q, x.k, x.v, x.n_kv_of, x.page_table,
                    hip::out("workspace", args.workspace, partials), static_cast<int>(splits),
                    static_cast<int>(split_keys), decode_shape(p, args));
        launch_merge<T, kHeadDim, kExp>(stream, "v3_merge", p, args, x, static_cast<int>(split_keys), partials);
      });
    });
  });
}

}  // namespace greta
