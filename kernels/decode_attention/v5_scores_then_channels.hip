// Decode attention v5: all scores by one launch, which cuts the keys; softmax, P V and the merge by a second one, which
// cuts the channels. For so few keys that v4's splits leave most CUs idle.
//   O[b,h,:] = sum_{j < n_kv_b} softmax_j(scale * Q[b,h,:] . K[b,j,g,:]) V[b,j,g,:]
// Shapes    Q, O [batch, n_heads, head_dim]; K, V contiguous or paged (decode_attention_problem.hpp); f16 or bf16;
//           workspace as in DecodeScores below
// Needs     head_dim 64 or 128; n_heads % n_kv_heads == 0; 1 <= n_kv_b <= n_kv <= kDecodeScoresKeys; rows aligned to
//           16 bytes
// Numerics  "online_mma": the chains of every score and every element of o are v3's, and prefill v4's. A score is one
//           chain over the channels, an element of o one over the keys of a split, so either cut leaves them whole; the
//           merge of the splits is that of split_merge.hpp
// Placement scores: a workgroup of 4 waves per (64 keys, KV head), a wave 16 keys, which wait for nobody. channels: a
//           workgroup per (32 channels on wave 64 or 16 on wave 32, KV head), with one split at a time or two, and of
//           each split a wave per tile of 64 keys. That knows all maxima, so it makes p and the factor of o of its tile
//           by itself, and V as operands of a word (2 channels) of each of a lane's 4 keys; both meet in LDS, and one
//           wave a split multiplies them, tiles ascending. LDS: scores none on wave 64, 16 KiB on wave 32 (K on its way
//           to ldmatrix); channels 52 KiB
// From v4   at batch 1 and 1024 keys of 8 KV heads, 128 workgroups and then 64 or 32 where v4 has 16: K and V arrive at
//           many CUs. No third launch: a workgroup has all splits of its channels. On sm_90a the first launch asks for
//           V in L2, where the second one finds it
// Cost      scores through memory: 4 bytes a key and head written, and read by every group of channels, each of which
//           computes p again; V in words of 4 bytes. Where v4 has a workgroup for more than a few CUs, v4 does less:
//           decode_attention_rung_for() chooses
// H200      batch 1, 1024 keys: 11.3 us where v4 takes 12.3 and v3 22.3; batch 8: 33 where v4 takes 15
// gfx942    scores 85 registers at head_dim 128 (45 at 64), channels 86, no spills; never run on one
#include <algorithm>

#include "kernels/decode_attention/split_merge.hpp"
#include "kernels/tile/mma_attention.hpp"
#include "kernels/tile/prefetch.hpp"

namespace greta {
namespace {

constexpr int kBlockKeys = hip::kTile;  ///< keys of a wave of the first launch, and of an operand of the second
constexpr int kTileBlocks = kKvTileKeys / kBlockKeys;
constexpr int kSplitBlocks = kAttentionSplit / kBlockKeys;
static_assert(kKvTileKeys == 64 && kBlockKeys == 16, "decode_scores_workspace() counts with them");

/// What the launches hand over, of one KV head of one sequence: raw scores [block of 16 keys, query head, 16], and the
/// maximum of each block's visible keys [query head, block]. Blocks fill whole tiles; of those that no key fills only
/// the maxima are written, -inf. Workspace: the scores of all [sequence, KV head], then their maxima.
template <class F>
struct DecodeScores {
  F* scores;
  F* maxima;
  int group, blocks;
  __device__ DecodeScores(F* workspace, const AttentionShape& shape, int sequence, int kv_head)
      : group(shape.n_heads / shape.n_kv_heads), blocks((shape.n_kv + kKvTileKeys - 1) / kKvTileKeys * kTileBlocks) {
    const size_t head = static_cast<size_t>(sequence) * shape.n_kv_heads + kv_head,
                 heads = static_cast<size_t>(gridDim.y) * shape.n_kv_heads,
                 floats = static_cast<size_t>(group) * blocks;
    scores = workspace + head * floats * kBlockKeys;
    maxima = workspace + heads * floats * kBlockKeys + head * floats;
  }
  __device__ F* scores_of(int block, int row) const { return scores + (block * group + row) * kBlockKeys; }
  __device__ F* maxima_of(int row) const { return maxima + row * blocks; }
};

/// K of 16 keys as operands: rows(key) is the address of a row; pairs of steps as MmaAttention::load_keys has them.
/// Wave 64 needs no LDS: an operand is 8 bytes of a row. lds, on wave 32: the wave's 16 rows.
template <class Mma, int kHeadDim, int kWave, class T>
struct BlockOfKeys {
  typename Mma::KvOperand operands[kHeadDim / 32][2];

  template <class Rows>
  __device__ __forceinline__ void send_for([[maybe_unused]] T* lds, Rows&& rows) {
    const int lane = hip::lane_id();
    if constexpr (kWave == 64) {
      const T* const from = rows(hip::tile_a_row(64, lane, 0)) + hip::tile_a_k(64, lane, 0);
      GRETA_UNROLL
      for (int c = 0; c < Mma::kChannelBlocks; ++c) {
        const Words2 words = load_pack<2>(reinterpret_cast<const uint32_t*>(from + c * hip::kTile));
        memcpy(operands[c / 2][c % 2].v, words.v, sizeof words.v);
      }
    } else {
#if !defined(__HIP__)
      constexpr int kChunks = kHeadDim / kChunkElements;
      GRETA_UNROLL
      for (int n = 0; n < kBlockKeys * kChunks / kWave; ++n) {
        const int unit = n * kWave + lane, key = unit / kChunks, chunk = unit % kChunks;
        hip::async_copy16(lds + chunk_offset(kHeadDim, key_position(kWave, key), chunk),
                          rows(key) + chunk * kChunkElements, true);
      }
      hip::async_commit();
#endif
    }
  }
  __device__ __forceinline__ void wait([[maybe_unused]] const T* lds) {
    if constexpr (kWave == 32) {
#if !defined(__HIP__)
      hip::async_wait<0>();
#endif
      hip::wave_barrier();
      const int key_offset = Mma::key_lane_offset();
      GRETA_UNROLL
      for (int pair = 0; pair < kHeadDim / 32; ++pair) Mma::load_keys(operands[pair], lds, key_offset, 0, pair);
    }
  }
};

template <class T, int kHeadDim, int kWave>
__global__ void GRETA_LAUNCH_BOUNDS(kTileBlocks* kWave, 4)
    decode_attention_v5_scores_kernel(const T* q, const T* k, const T* v, const int32_t* n_kv_of,
                                      const int32_t* page_table, float* workspace, DecodeShape shape) {
  using Mma = MmaAttention<T, kHeadDim, kWave, 1>;
  GRETA_DYNAMIC_LDS(T, lds);
  const int wave = uniform_wave_id();
  const int sequence = static_cast<int>(blockIdx.y);
  const DecodeUnit unit(shape, kWave, static_cast<int>(blockIdx.x));  // of a tile, not a split
  const int n_kv = decode_n_kv(shape, n_kv_of, sequence);
  if (unit.split * kKvTileKeys >= n_kv) return;  // the whole workgroup
  const DecodeScores<float> to(workspace, shape, sequence, unit.kv_head);
  const int block = unit.split * kTileBlocks + wave;
  const int begin = block * kBlockKeys, visible = n_kv - begin;
  const int row = unit.first + Mma::row_in_fragment(0);
  if (visible <= 0) {  // the same for the whole wave; nothing below goes beyond a wave
    if (row < to.group && Mma::lane_key() == 0) to.maxima_of(row)[block] = -INFINITY;
    return;
  }

  // 16 keys lie in one page. Rows beyond the last key are the last key's: nobody looks at their scores.
  const DecodeKeys keys = decode_keys(shape, page_table, kHeadDim, sequence, unit.kv_head);
  const size_t first_row = keys.first + keys.rows.at(begin);
  const T* const first_key = k + first_row;
  const int last = (visible < kBlockKeys ? visible : kBlockKeys) - 1;
  BlockOfKeys<Mma, kHeadDim, kWave, T> operands;
  T* const rows_in_lds = lds + wave * kBlockKeys * kHeadDim;
  operands.send_for(rows_in_lds, [&](int key) {
    return first_key + keys.rows.stride * static_cast<size_t>(key < last ? key : last);
  });
  // The second launch begins when this one is over; what V's way from memory takes can pass meanwhile.
  constexpr int kLineElements = kPrefetchBytes / static_cast<int>(sizeof(T)), kLines = kHeadDim / kLineElements;
  const int value = hip::lane_id() / kLines;
  if (value <= last)
    prefetch(v + first_row + keys.rows.stride * static_cast<size_t>(value) + hip::lane_id() % kLines * kLineElements);
  // A row beyond the KV head's query heads is the last one's: its scores are not stored. With rows of zeros, gfx942's
  // compiler loads the others through flat_load.
  typename Mma::Queries queries;
  Mma::load_queries(queries, [&](int r) {
    const int head = unit.first + r < to.group ? unit.first + r : to.group - 1;
    return q + q_row(shape, kHeadDim, sequence, 0, head_of_slot(shape, unit.kv_head * to.group + head));
  });
  operands.wait(rows_in_lds);

  hip::FragmentC s;
  Mma::clear(s);
  GRETA_UNROLL
  for (int c = 0; c < Mma::kChannelBlocks; ++c) Mma::multiply(s, operands.operands[c / 2][c % 2], queries[0][c]);
  Pack<float, 4> own;
  float t = -INFINITY;
  GRETA_UNROLL
  for (int key = 0; key < 4; ++key) {
    own.v[key] = s.v[Mma::element_of(0, key)];
    t = Mma::lane_key() + key < visible ? fmaxf(t, own.v[key]) : t;
  }
  t = Mma::across_row(t, [](float x, float y) { return fmaxf(x, y); });
  if (row >= to.group) return;
  store_pack(to.scores_of(block, row) + Mma::lane_key(), own);
  if (Mma::lane_key() == 0) to.maxima_of(row)[block] = t;
}

/// P V of a wave for the channels of its workgroup: two neighbouring channels of a row of V in each of 16 (wave 64) or
/// 8 lanes.
template <class T, int kHeadDim, int kWave>
struct ChannelsOfLane {
  using Mma = MmaAttention<T, kHeadDim, kWave, 1>;
  static constexpr int kLanes = kWave == 64 ? 16 : 8;
  static constexpr int kChannels = 2 * kLanes;             ///< of the workgroup
  static constexpr int kOwn = kChannels / 4;               ///< of o in a lane, neighbours
  static constexpr int kOutputs = kChannels / hip::kTile;  ///< accumulators
  using Output = hip::FragmentC[kOutputs];

  /// First of the lane's channels of a row of V, and of o.
  __device__ static __forceinline__ int first_of_values() {
    return 2 * (kWave == 64 ? hip::lane_id() % 16 : hip::lane_id() / 4);
  }
  __device__ static __forceinline__ int first_of_output() { return kOwn * (Mma::lane_key() / 4); }
  /// Element n of the lane's neighbours. A column of V's operands, or a row, stands for the channels of one lane.
  __device__ static __forceinline__ float& own(Output& o, int n) {
    const int lane = n / 2, half = n % 2;
    return kWave == 64 ? o[half].v[lane] : o[0].v[lane + 4 * half];
  }

  /// Operands of 16 keys, of which the lane has loaded a word of four: of the even channels, then of the odd ones.
  __device__ static __forceinline__ Words4 operands(const uint32_t (&w)[4]) {
    return {{hip::pack_low16(w[0], w[1]), hip::pack_low16(w[2], w[3]), hip::pack_high16(w[0], w[1]),
             hip::pack_high16(w[2], w[3])}};
  }
  /// o += P V for 16 keys.
  __device__ static __forceinline__ void multiply(Output& o, const Words4& values, const typename Mma::RowOperand& p) {
    typename Mma::KvOperand v;
    if constexpr (kWave == 64) {
      memcpy(v.v, values.v, 8);
      Mma::multiply(o[0], v, p);
      memcpy(v.v, values.v + 2, 8);
      Mma::multiply(o[1], v, p);
    } else {
      memcpy(v.v, values.v, 16);
      Mma::multiply(o[0], v, p);
    }
  }
};

/// What the wave of a tile of 64 keys hands to the one that multiplies: each lane's words of p and of V, the factor of
/// its row's o, and its sum of p.
template <int kWave>
struct TileOperands {
  Words2 p[kTileBlocks][kWave];
  Words4 v[kTileBlocks][kWave];
  float a[kWave], u[kWave];
};

constexpr int kSplitTiles = kAttentionSplit / kKvTileKeys;  ///< waves of a split
/// Splits that a workgroup has at a time: as many as its LDS holds the operands of on gfx942.
GRETA_HOST_DEVICE constexpr int splits_at_once(int wave) { return wave == 64 ? 1 : 2; }

template <class T, int kHeadDim, int kWave, ExpMode kExp>
__global__ void GRETA_LAUNCH_BOUNDS(splits_at_once(kWave) * kSplitTiles * kWave, kWave == 64 ? 2 : 4)
    decode_attention_v5_channels_kernel(const float* workspace, const T* v, const int32_t* n_kv_of,
                                        const int32_t* page_table, T* o, DecodeShape shape) {
  using Mma = MmaAttention<T, kHeadDim, kWave, 1>;
  using Channels = ChannelsOfLane<T, kHeadDim, kWave>;
  constexpr int kOwn = Channels::kOwn, kAtOnce = splits_at_once(kWave);
  GRETA_DYNAMIC_LDS(TileOperands<kWave>, lds);
  GRETA_LDS(float, lds_m, [kAtOnce][kWave]);
  GRETA_LDS(float, lds_l, [kAtOnce][kWave]);
  GRETA_LDS(float, lds_o, [kAtOnce][kOwn][kWave]);
  const int wave = uniform_wave_id(), lane = hip::lane_id();
  const int turn = wave / kSplitTiles, tile = wave % kSplitTiles;  // which of the splits at once, and tile of it
  const int sequence = static_cast<int>(blockIdx.y);
  const DecodeUnit unit(shape, kWave, static_cast<int>(blockIdx.x));  // of a group of channels, not a split
  const int first_channel = unit.split * Channels::kChannels;
  const int n_kv = decode_n_kv(shape, n_kv_of, sequence);
  const DecodeScores<const float> from(workspace, shape, sequence, unit.kv_head);
  const DecodeKeys source = decode_keys(shape, page_table, kHeadDim, sequence, unit.kv_head);
  const T* const values = v + source.first + first_channel + Channels::first_of_values();
  const int row = unit.first + Mma::row_in_fragment(0);
  // A row beyond the KV head's query heads is the last one's: what becomes of it is not stored.
  const int stored_row = row < from.group ? row : from.group - 1;

  OnlineState<kOwn> total = {};
  for (int first = 0; first * kAttentionSplit < n_kv; first += kAtOnce) {
    if (first > 0) __syncthreads();  // what the splits before handed over is used up
    const int split = first + turn, begin = split * kAttentionSplit;
    const int keys = n_kv - begin < kAttentionSplit ? n_kv - begin : kAttentionSplit;
    const int last_tile = (keys - 1) / kKvTileKeys;
    if (tile * kKvTileKeys < keys) {  // the same for the whole wave
      const int last_block = (keys - 1) / kBlockKeys;
      uint32_t words[kTileBlocks][4];
      GRETA_UNROLL
      for (int b = 0; b < kTileBlocks; ++b) {
        // Keys beyond the last are the last one: their p is 0.
        const int block = tile * kTileBlocks + b < last_block ? tile * kTileBlocks + b : last_block;
        const T* const rows = values + source.rows.at(begin + kBlockKeys * block);
        const int last = block == last_block ? (keys - 1) % kBlockKeys : kBlockKeys - 1;
        GRETA_UNROLL
        for (int i = 0; i < 4; ++i) {
          const int key = Mma::lane_key() + i < last ? Mma::lane_key() + i : last;
          words[b][i] = *reinterpret_cast<const uint32_t*>(rows + source.rows.stride * static_cast<size_t>(key));
        }
      }
      // The four lanes of a row have two tiles' maxima each, none of a tile behind this one.
      const float* const maxima = from.maxima_of(stored_row) + split * kSplitBlocks;
      Pack<float, 4> of_blocks[kSplitTiles / 4], scores[kTileBlocks];
      GRETA_UNROLL
      for (int n = 0; n < kSplitTiles / 4; ++n) {
        const int of = Mma::lane_key() / 4 + 4 * n;
        of_blocks[n] = load_pack<4>(maxima + kTileBlocks * (of < tile ? of : tile));
      }
      GRETA_UNROLL
      for (int b = 0; b < kTileBlocks; ++b)
        scores[b] =
            load_pack<4>(from.scores_of(split * kSplitBlocks + tile * kTileBlocks + b, stored_row) + Mma::lane_key());
      hip::schedule_fence();

      float before = -INFINITY, m = -INFINITY;
      GRETA_UNROLL
      for (int n = 0; n < kSplitTiles / 4; ++n) {
        const float t = fmaxf(fmaxf(of_blocks[n].v[0], of_blocks[n].v[1]), fmaxf(of_blocks[n].v[2], of_blocks[n].v[3]));
        const float scaled = t * shape.scale_log2;
        m = fmaxf(m, scaled);
        before = Mma::lane_key() / 4 + 4 * n < tile ? fmaxf(before, scaled) : before;
      }
      m = Mma::across_row(m, [](float x, float y) { return fmaxf(x, y); });
      before = Mma::across_row(before, [](float x, float y) { return fmaxf(x, y); });
      TileOperands<kWave>& to = lds[wave];
      to.a[lane] = before == -INFINITY ? 1.0f : exp2<kExp>(before - m);
      if (tile == last_tile) lds_m[turn][lane] = m;
      const int visible = keys - tile * kKvTileKeys - Mma::lane_key();  // of the lane's four keys of block 0
      float u[kTileBlocks];
      GRETA_UNROLL
      for (int b = 0; b < kTileBlocks; ++b) {
        float x[4];
        GRETA_UNROLL
        for (int key = 0; key < 4; ++key) {
          const bool seen = kBlockKeys * b + key < visible;
          x[key] = exp2<kExp>(fmaf(scores[b].v[key], shape.scale_log2, -m));
          x[key] = seen ? x[key] : 0.0f;
          words[b][key] = seen ? words[b][key] : 0u;
        }
        u[b] = (x[0] + x[1]) + (x[2] + x[3]);
        store_pack(to.p[b][lane].v, Words2{{hip::round_pair<T>(x[0], x[1]), hip::round_pair<T>(x[2], x[3])}});
        store_pack(to.v[b][lane].v, Channels::operands(words[b]));
      }
      to.u[lane] = (u[0] + u[1]) + (u[2] + u[3]);
    }
    __syncthreads();

    OnlineState<kOwn> own = {};
    if (tile == 0 && keys > 0) {
      typename Channels::Output sum;
      GRETA_UNROLL
      for (int n = 0; n < Channels::kOutputs; ++n) Mma::clear(sum[n]);
      for (int t = 0; t <= last_tile; ++t) {
        const TileOperands<kWave>& of = lds[turn * kSplitTiles + t];
        Words2 p[kTileBlocks];
        Words4 w[kTileBlocks];
        GRETA_UNROLL
        for (int b = 0; b < kTileBlocks; ++b)
          p[b] = load_pack<2>(of.p[b][lane].v), w[b] = load_pack<4>(of.v[b][lane].v);
        const float a = of.a[lane];
        own.l = fmaf(own.l, a, of.u[lane]);
        GRETA_UNROLL
        for (int n = 0; n < kOwn; ++n) Channels::own(sum, n) = Channels::own(sum, n) * a;
        GRETA_UNROLL
        for (int b = 0; b < kTileBlocks; ++b) {
          // Of a wave of 32 the words between are rows that decode does not use.
          uint32_t of_p[Mma::kElements / 2] = {};
          of_p[0] = p[b].v[0], of_p[kWave == 64 ? 1 : 2] = p[b].v[1];
          typename Mma::RowOperand operand;
          memcpy(operand.v, of_p, sizeof of_p);
          Channels::multiply(sum, w[b], operand);
        }
      }
      own.m = lds_m[turn][lane], own.l = Mma::across_row(own.l, [](float x, float y) { return x + y; });
      GRETA_UNROLL
      for (int n = 0; n < kOwn; ++n) own.o[n] = Channels::own(sum, n);
      if (turn > 0) {
        lds_l[turn][lane] = own.l;
        GRETA_UNROLL
        for (int n = 0; n < kOwn; ++n) lds_o[turn][n][lane] = own.o[n];
      }
    }
    if (kAtOnce > 1) __syncthreads();

    // A lane of the first wave has the rows and channels of the same lane of the others.
    if (wave > 0) continue;
    if (first == 0)
      total = own;
    else
      merge_split<kExp>(total, own);
    GRETA_UNROLL
    for (int next = 1; next < kAtOnce; ++next) {
      if ((first + next) * kAttentionSplit >= n_kv) break;
      own.m = lds_m[next][lane], own.l = lds_l[next][lane];
      GRETA_UNROLL
      for (int n = 0; n < kOwn; ++n) own.o[n] = lds_o[next][n][lane];
      merge_split<kExp>(total, own);
    }
  }

  if (wave > 0 || row >= from.group) return;
  Pack<T, kOwn> rounded;
  GRETA_UNROLL
  for (int n = 0; n < kOwn; ++n) rounded.v[n] = hip::from_float<T>(total.o[n] / total.l);
  store_pack(o + q_row(shape, kHeadDim, sequence, 0, head_of_slot(shape, unit.kv_head * from.group + row)) +
                 first_channel + Channels::first_of_output(),
             rounded);
}

}  // namespace

void decode_attention_v5(hip::Stream& stream, const DecodeAttentionProblem& p, const DecodeAttentionArgs& args) {
  const int64_t splits = decode_splits(p), tiles = ceil_div(p.n_kv, kKvTileKeys);
  with_exp_mode("decode_attention v5", args.exp, [&](auto exp) {
    with_wave([&](auto wave) {
      with_attention_types(p.dtype, p.head_dim, [&](auto element, auto head_dim) {
        using T = decltype(element);
        constexpr int kHeadDim = decltype(head_dim)::value, kWave = decltype(wave)::value;
        constexpr ExpMode kExp = decltype(exp)::value;
        constexpr size_t kLds = kWave == 64 ? 0 : sizeof(T) * kKvTileKeys * kHeadDim;
        constexpr int kGroups = kHeadDim / ChannelsOfLane<T, kHeadDim, kWave>::kChannels;
        const DecodeOperands<T> x(p, args);
        const int64_t units = p.n_kv_heads * decode_mma_parts(kWave, static_cast<int>(p.group()));
        const auto batch = static_cast<unsigned>(p.batch);
        const size_t floats = decode_scores_workspace(p);
        const auto waves = static_cast<size_t>(kSplitTiles * std::min<int64_t>(splits, splits_at_once(kWave)));
        hip::launch(stream,
                    {decode_name("v5_scores", p, args), dim3(static_cast<unsigned>(tiles * units), batch),
                     dim3(kTileBlocks * kWave), kLds, p.batch},
                    &decode_attention_v5_scores_kernel<T, kHeadDim, kWave>, x.q, x.k, x.v, x.n_kv_of, x.page_table,
                    hip::out("workspace", args.workspace, floats), decode_shape(p, args));
        hip::launch(stream,
                    {decode_name("v5_channels", p, args), dim3(static_cast<unsigned>(kGroups * units), batch),
                     dim3(static_cast<unsigned>(waves * kWave)), waves * sizeof(TileOperands<kWave>), p.batch},
                    &decode_attention_v5_channels_kernel<T, kHeadDim, kWave, kExp>,
                    hip::in("workspace", hip::DeviceView<const float>(args.workspace), floats), x.v, x.n_kv_of,
                    x.page_table, x.o, decode_shape(p, args));
      });
    });
  });
}

}  // namespace greta
