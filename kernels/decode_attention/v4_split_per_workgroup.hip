// Decode attention v4: a workgroup per (512-key split, KV head) where v3 has a wave; then v3's merge.
//   O[b,h,:] = sum_{j < n_kv_b} softmax_j(scale * Q[b,h,:] . K[b,j,g,:]) V[b,j,g,:]
// Shapes    Q, O [batch, n_heads, head_dim]; K, V contiguous or paged (decode_attention_problem.hpp); f16 or bf16;
//           workspace as in split_merge.hpp
// Needs     head_dim 64 or 128; n_heads % n_kv_heads == 0; n_kv_b >= 1; rows aligned to 16 bytes
// Numerics  "online_mma": the chains of every score and every element of o are v3's, and prefill v4's. Only who
//           computes which differs, and maxima are taken in another order, which no maximum depends on
// Placement 4 waves take turns at what a tile of 64 keys needs. Wave w multiplies Q with keys 16 w .. + 15; maxima meet
//           in LDS; it makes its p, which meet in LDS as operands (2 KiB); then it multiplies all 64 with its quarter
//           of the channels of V. Three barriers a tile, two of them the copies'. K and V for the whole workgroup by
//           kernels/tile/kv_pipeline.hpp, one workgroup a CU: gfx942 two buffers of 16 KiB, sm_90a six
// From v3   a split takes a fraction of the time, since its chain of scores, softmax and P V is cut in four, and a
//           workgroup has all copies of a tile in flight where a wave had 4 KiB (gfx942) or 16 KiB (sm_90a)
// Cost      barriers, and all waves repeat the factors of a row: where splits are many, waves that wait for nobody (v3)
//           do more. decode_attention_rung_for() chooses
// H200      batch 1, 1024 keys: 12.4 us where v3 takes 22.7: docs/experiments.md
// gfx942    103 registers at head_dim 128 (72 at 64), no spills, LDS 36 KiB; never run on one
#include "kernels/decode_attention/split_merge.hpp"
#include "kernels/tile/kv_pipeline.hpp"
#include "kernels/tile/mma_attention.hpp"

namespace greta {
namespace {

constexpr int kWaves = 4;

/// Tiles in LDS: two on wave 64, six on wave 32. Twelve, nearly all that a split has, were slower: a launch that wants
/// most of an SM's LDS costs its neighbours 4 us.
template <int kWave, int kHeadDim>
constexpr int buffers() {
  constexpr int kExchange = 4096;  // bytes of the static arrays
  constexpr int kFit = (hip::kLdsBytes - kExchange) / (2 * kv_tile_elements(kHeadDim));
  return kWave == 64 || kFit < 2 ? 2 : kFit < 6 ? kFit : 6;
}

template <class T, int kHeadDim, int kWave>
using Pipeline = KvPipeline<T, kHeadDim, kWave, kWaves * kWave, buffers<kWave, kHeadDim>(), TableRows>;

template <class T, int kHeadDim, int kWave, ExpMode kExp>
__global__ void GRETA_LAUNCH_BOUNDS(kWaves* kWave, 2)
    decode_attention_v4_split_kernel(const T* q, const T* k, const T* v, const int32_t* n_kv_of,
                                     const int32_t* page_table, float* workspace, int splits, int split_keys,
                                     DecodeShape shape) {
  using Mma = MmaAttention<T, kHeadDim, kWave, 1>;
  static_assert(Mma::kKeyBlocks == kWaves && Mma::kChannelBlocks % kWaves == 0);
  constexpr int kOwnBlocks = Mma::kChannelBlocks / kWaves;  // of 16 channels
  constexpr int kRows = decode_mma_rows(kWave), kWords = Mma::kElements / 2;
  using Operand = Pack<uint32_t, kWords>;
  GRETA_DYNAMIC_LDS(T, lds);
  GRETA_LDS(float, lds_max, [kWaves][kRows]);
  GRETA_LDS(float, lds_sum, [kWaves][kWave]);
  GRETA_LDS(Operand, lds_p, [kWaves][kWave]);

  const int wave = uniform_wave_id(), lane = hip::lane_id();
  const int sequence = static_cast<int>(blockIdx.y);
  const int group = shape.n_heads / shape.n_kv_heads;
  const DecodeUnit unit(shape, kWave, static_cast<int>(blockIdx.x));
  const int first = unit.first;
  const int begin = unit.split * split_keys;
  const int n_kv = decode_n_kv(shape, n_kv_of, sequence);
  if (begin >= n_kv) return;  // the whole workgroup
  const int end = n_kv - begin > split_keys ? begin + split_keys : n_kv;

  const DecodeKeys keys = decode_keys(shape, page_table, kHeadDim, sequence, unit.kv_head);
  const int end_tile = (end + kKvTileKeys - 1) / kKvTileKeys;
  Pipeline<T, kHeadDim, kWave> kv(lds, k + keys.first, v + keys.first, TableRows(keys.rows), end, begin / kKvTileKeys,
                                  end_tile);
  kv.start();
  const int head0 = unit.kv_head * group + first;
  typename Mma::Queries queries;
  Mma::load_queries(queries, [&](int row) -> const T* {
    return row < kRows && first + row < group
               ? q + q_row(shape, kHeadDim, sequence, 0, head_of_slot(shape, head0 + row))
               : nullptr;
  });

  const int key_offset = Mma::key_lane_offset(), value_offset = Mma::value_lane_offset();
  const int row = Mma::row_in_fragment(0);
  float m = -INFINITY, l = 0.0f;
  hip::FragmentC o[kOwnBlocks];
  GRETA_UNROLL
  for (int c = 0; c < kOwnBlocks; ++c) Mma::clear(o[c]);

  for (int tile = begin / kKvTileKeys; tile < end_tile; ++tile) {
    const T* const tile_keys = kv.next_keys();
    hip::FragmentC s;
    Mma::clear(s);
    typename Mma::KvOperand operands[kHeadDim / 32][2];
    GRETA_UNROLL
    for (int pair = 0; pair < kHeadDim / 32; ++pair) Mma::load_keys(operands[pair], tile_keys, key_offset, wave, pair);
    GRETA_UNROLL
    for (int c = 0; c < Mma::kChannelBlocks; ++c) Mma::multiply(s, operands[c / 2][c % 2], queries[0][c]);
    const int visible = end - tile * kKvTileKeys - 16 * wave - Mma::lane_key();  // of the lane's four keys
    float t = -INFINITY;
    GRETA_UNROLL
    for (int key = 0; key < 4; ++key) t = key < visible ? fmaxf(t, s.v[Mma::element_of(0, key)]) : t;
    t = Mma::across_row(t, [](float x, float y) { return fmaxf(x, y); });
    if (Mma::lane_key() == 0) lds_max[wave][row] = t;

    const T* const tile_values = kv.next_values();  // its barrier is the maxima's too
    typename Mma::KvOperand values[kOwnBlocks][kWaves / 2][2];
    GRETA_UNROLL
    for (int n = 0; n < kOwnBlocks * kWaves / 2; ++n) {
      const int c = n / (kWaves / 2), pair = n % (kWaves / 2);
      Mma::load_values(values[c][pair], tile_values, value_offset, kOwnBlocks * wave + c, pair);
    }
    t = fmaxf(fmaxf(lds_max[0][row], lds_max[1][row]), fmaxf(lds_max[2][row], lds_max[3][row]));
    const float before = m;
    m = fmaxf(before, t * shape.scale_log2);
    const float a = before == -INFINITY ? 1.0f : exp2<kExp>(before - m);
    float p[4];
    GRETA_UNROLL
    for (int key = 0; key < 4; ++key) {
      float& x = s.v[Mma::element_of(0, key)];
      x = exp2<kExp>(fmaf(x, shape.scale_log2, -m));
      x = key < visible ? x : 0.0f;
      p[key] = x;
    }
    lds_sum[wave][lane] = (p[0] + p[1]) + (p[2] + p[3]);
    Operand words;
    GRETA_UNROLL
    for (int i = 0; i < kWords; ++i) words.v[i] = hip::round_pair<T>(s.v[2 * i], s.v[2 * i + 1]);
    lds_p[wave][lane] = words;
    __syncthreads();

    l = fmaf(l, a, (lds_sum[0][lane] + lds_sum[1][lane]) + (lds_sum[2][lane] + lds_sum[3][lane]));
    typename Mma::RowOperand operand[kWaves];
    GRETA_UNROLL
    for (int b = 0; b < kWaves; ++b) {
      const Operand from = lds_p[b][lane];
      memcpy(operand[b].v, from.v, sizeof from.v);
    }
    GRETA_UNROLL
    for (int n = 0; n < kOwnBlocks * Mma::kElements; ++n) {
      float& x = o[n / Mma::kElements].v[n % Mma::kElements];
      if (Mma::slot_of(n % Mma::kElements) == 0) x = x * a;
    }
    GRETA_UNROLL
    for (int n = 0; n < kWaves * kOwnBlocks; ++n) {
      const int b = n / kOwnBlocks, c = n % kOwnBlocks;
      Mma::multiply(o[c], values[c][b / 2][b % 2], operand[b]);
    }
  }
  l = Mma::across_row(l, [](float x, float y) { return x + y; });

  if (first + row >= group) return;
  const DecodePartials<float> partials(workspace, kHeadDim, static_cast<size_t>(gridDim.y) * shape.n_heads, splits);
  const size_t at =
      (static_cast<size_t>(sequence) * shape.n_heads + head_of_slot(shape, head0 + row)) * splits + unit.split;
  if (wave == 0 && Mma::lane_key() == 0) partials.m[at] = m, partials.l[at] = l;
  constexpr int kRun = kWave == 64 ? 4 : 2;  // elements of the row that are neighbours
  GRETA_UNROLL
  for (int c = 0; c < kOwnBlocks; ++c) {
    GRETA_UNROLL
    for (int i = 0; i < Mma::kElements; i += kRun) {
      if (Mma::slot_of(i) != 0) continue;
      Pack<float, kRun> run;
      GRETA_UNROLL
      for (int j = 0; j < kRun; ++j) run.v[j] = o[c].v[i + j];
      store_pack(partials.o + at * kHeadDim + 16 * (kOwnBlocks * wave + c) + Mma::channel_of(i), run);
    }
  }
}

}  // namespace

void decode_attention_v4(hip::Stream& stream, const DecodeAttentionProblem& p, const DecodeAttentionArgs& args) {
  const int64_t splits = decode_splits(p);
  const size_t partials = decode_partials_workspace(p, splits);
  with_exp_mode("decode_attention v4", args.exp, [&](auto exp) {
    with_wave([&](auto wave) {
      with_attention_types(p.dtype, p.head_dim, [&](auto element, auto head_dim) {
        using T = decltype(element);
        constexpr int kHeadDim = decltype(head_dim)::value, kWave = decltype(wave)::value;
        constexpr ExpMode kExp = decltype(exp)::value;
        constexpr size_t kLds = sizeof(T) * Pipeline<T, kHeadDim, kWave>::kLdsElements;
        const DecodeOperands<T> x(p, args);
        const int64_t units = splits * p.n_kv_heads * decode_mma_parts(kWave, static_cast<int>(p.group()));
        const dim3 grid(static_cast<unsigned>(units), static_cast<unsigned>(p.batch));
        hip::launch(stream, {decode_name("v4_split", p, args), grid, dim3(kWaves * kWave), kLds, p.batch},
                    &decode_attention_v4_split_kernel<T, kHeadDim, kWave, kExp>, x.q, x.k, x.v, x.n_kv_of, x.page_table,
                    hip::out("workspace", args.workspace, partials), static_cast<int>(splits),
                    static_cast<int>(kAttentionSplit), decode_shape(p, args));
        launch_merge<T, kHeadDim, kExp>(stream, "v4_merge", p, args, x, static_cast<int>(kAttentionSplit), partials);
      });
    });
  });
}

}  // namespace greta
