// Prefill attention v3: Q, K and V tiles in LDS for 64 queries; a register tile of both products in every thread.
//   O[b,t,h,:] = sum_j softmax_j(scale * Q[b,t,h,:] . K[b,j,g,:]) V[b,j,g,:],   j <= n_kv - n_tokens + t
// Shapes    Q, O [batch, n_tokens, n_heads, head_dim]; K, V [batch, kv_capacity, n_kv_heads, head_dim]; f16 or bf16
// Needs     head_dim 64 or 128; n_heads % n_kv_heads == 0; n_kv >= n_tokens >= 1; rows aligned to 16 bytes.
//           Sequences may be shorter (n_tokens_of, n_kv_of); their rows beyond are not written
// Numerics  "online_f32", the bits of v2: a score is one fma chain over channels ascending, a channel of o one over
//           keys ascending; a tile's p are summed by the same tree, four keys in a thread, then lanes 1, 2, 4, 8 apart
// Placement 256 threads for 64 tokens of one head: thread (ty, tx) has rows 4 ty .. + 3, keys 4 tx .. + 3 of the scores
//           and channels tx * head_dim / 16 .. of o. LDS 48 KiB at head_dim 128: Q, K (later p in f32), V; chunks of 16
//           bytes swizzled (tile/kv_layout.hpp). Longest workgroups start first
// From v2   a row of K or V is read from memory once for 64 queries instead of once for each, from LDS once for 4 and
//           widened to f32 once for 4: per multiply-add an eighth of v2's loads, and no shuffles but for the sums
// Cost      four barriers a tile; finished splits wait in registers (32 at head_dim 128)
#include "kernels/prefill_attention/launch_prefill.hpp"
#include "kernels/tile/kv_layout.hpp"
#include "kernels/tile/online_attention.hpp"

namespace greta {

static_assert(kOnlineTile == kKvTileKeys);

inline constexpr int kPrefillV3Rows = 64;
inline constexpr int kPrefillV3Threads = 256;
inline constexpr int kPrefillV3Own = 4;  ///< rows of a thread, and keys
inline constexpr int kPrefillV3Across = kPrefillV3Rows / kPrefillV3Own;
static_assert(kPrefillV3Across * kPrefillV3Across == kPrefillV3Threads);

/// Over the 16 threads that share rows. After distances 1 and 2 the lanes of a quad agree, so lane xor 7 brings what
/// lane xor 4 would.
template <class Op>
__device__ __forceinline__ float across_16(float v, Op op) {
  v = op(v, hip::wave_exchange<1>(v));
  v = op(v, hip::wave_exchange<2>(v));
  v = op(v, hip::wave_exchange<7>(v));
  return op(v, hip::wave_exchange<8>(v));
}

/// 64 rows of head_dim elements between memory and LDS: chunks of 16 bytes, a thread's in registers on the way.
template <class T, int kHeadDim>
struct RowTile {
  static constexpr int kChunks = kHeadDim / kChunkElements;
  static constexpr int kOwn = kPrefillV3Rows * kChunks / kPrefillV3Threads;
  Words4 chunks[kOwn];

  static __device__ __forceinline__ int unit(int n) {
    return n * kPrefillV3Threads + hip::opaque(static_cast<int>(threadIdx.x));
  }
  /// row(r): element of `base` where row r of 64 begins, for r below n_rows; zeros from there on. (Not an address or
  /// null: where such a pointer comes from two branches, gfx942's compiler loads through flat_load.)
  template <class Row>
  __device__ __forceinline__ void load(const T* base, int n_rows, Row&& row) {
    GRETA_UNROLL
    for (int n = 0; n < kOwn; ++n) {
      const int r = unit(n) / kChunks;
      chunks[n] = {};
      if (r < n_rows)
        chunks[n] = load_pack<4>(reinterpret_cast<const uint32_t*>(base + row(r) + unit(n) % kChunks * kChunkElements));
    }
  }
  __device__ __forceinline__ void store(T* lds) const {
    GRETA_UNROLL
    for (int n = 0; n < kOwn; ++n)
      store_pack(reinterpret_cast<uint32_t*>(lds + chunk_offset(kHeadDim, unit(n) / kChunks, unit(n) % kChunks)),
                 chunks[n]);
  }
};

/// A thread's rows: what v2's OnlineState is for one.
template <int kChannels>
struct RowsState {
  OnlineState<kChannels> row[kPrefillV3Own];
};

template <class T, int kHeadDim, ExpMode kExp>
__global__ void GRETA_LAUNCH_BOUNDS(kPrefillV3Threads, 2)
    prefill_attention_v3_kernel(const T* q, const T* k, const T* v, T* o, const int32_t* n_tokens_of,
                                const int32_t* n_kv_of, AttentionShape shape) {
  constexpr int kOwn = kPrefillV3Own, kChannels = kHeadDim / kPrefillV3Across;
  constexpr int kTileElements = kv_tile_elements(kHeadDim);
  GRETA_DYNAMIC_LDS(T, lds);
  T* const queries = lds;
  T* const values = lds + kTileElements;
  T* const keys = lds + 2 * kTileElements;  // p, 16 KiB, lies here too
  auto* const weights = reinterpret_cast<float*>(keys);

  const int sequence = static_cast<int>(blockIdx.z), head = prefill_head(shape, static_cast<int>(blockIdx.x));
  const int first = static_cast<int>(gridDim.y - 1 - blockIdx.y) * kPrefillV3Rows;
  const int n_tokens = n_tokens_of ? n_tokens_of[sequence] : shape.n_tokens;
  const int before = (n_kv_of ? n_kv_of[sequence] : shape.n_kv) - n_tokens;
  if (first >= n_tokens) return;  // the whole workgroup
  const auto keys_of = [&](int token) { return before + (token < n_tokens ? token : n_tokens - 1) + 1; };
  const int n_keys = keys_of(first + kPrefillV3Rows - 1), unmasked = keys_of(first);
  const int tx = static_cast<int>(threadIdx.x) % kPrefillV3Across,
            ty = static_cast<int>(threadIdx.x) / kPrefillV3Across;

  const size_t first_key = kv_row(shape, kHeadDim, sequence, kv_head_of(shape, head));
  const size_t stride = kv_stride(shape, kHeadDim);
  RowTile<T, kHeadDim> next;
  const auto prefetch = [&](const T* base, int begin) {
    next.load(base, n_keys - begin, [&](int r) { return first_key + stride * static_cast<size_t>(begin + r); });
    hip::schedule_fence();
  };
  {
    RowTile<T, kHeadDim> tile;
    tile.load(q, n_tokens - first, [&](int r) { return q_row(shape, kHeadDim, sequence, first + r, head); });
    tile.store(queries);
  }
  prefetch(k, 0);

  RowsState<kChannels> state, total;
  for (int begin = 0; begin < n_keys; begin += kOnlineTile) {
    if (begin % kOnlineSplit == 0) {
      GRETA_UNROLL
      for (int i = 0; i < kOwn; ++i) {
        state.row[i].m = -INFINITY, state.row[i].l = 0.0f;
        GRETA_UNROLL
        for (int c = 0; c < kChannels; ++c) state.row[i].o[c] = 0.0f;
      }
    }
    __syncthreads();
    next.store(keys);
    prefetch(v, begin);
    __syncthreads();

    // Scores: 4 rows by 4 keys.
    float x[kOwn][kOwn];
    GRETA_UNROLL
    for (int n = 0; n < kOwn * kOwn; ++n) x[n / kOwn][n % kOwn] = 0.0f;
    GRETA_UNROLL_BY(1)
    for (int chunk = 0; chunk < kHeadDim / kChunkElements; ++chunk) {
      float k8[kOwn][8];
      GRETA_UNROLL
      for (int j = 0; j < kOwn; ++j)
        to_floats(load_pack<8>(keys + chunk_offset(kHeadDim, kOwn * tx + j, chunk)), k8[j]);
      GRETA_UNROLL
      for (int i = 0; i < kOwn; ++i) {
        float q8[8];
        to_floats(load_pack<8>(queries + chunk_offset(kHeadDim, kOwn * ty + i, chunk)), q8);
        GRETA_UNROLL
        for (int n = 0; n < 8 * kOwn; ++n) x[i][n % kOwn] = fmaf(q8[n / kOwn], k8[n % kOwn][n / kOwn], x[i][n % kOwn]);
      }
    }

    const bool masked = begin + kOnlineTile > unmasked;
    float a[kOwn];
    GRETA_UNROLL
    for (int i = 0; i < kOwn; ++i) {
      OnlineState<kChannels>& row = state.row[i];
      const int visible = masked ? keys_of(first + kOwn * ty + i) - begin - kOwn * tx : kOnlineTile;
      float top = -INFINITY;
      GRETA_UNROLL
      for (int j = 0; j < kOwn; ++j) {
        x[i][j] = x[i][j] * shape.scale_log2;
        top = j < visible ? fmaxf(top, x[i][j]) : top;
      }
      const float m = fmaxf(row.m, across_16(top, [](float y, float z) { return fmaxf(y, z); }));
      a[i] = row.m == -INFINITY ? 1.0f : exp2<kExp>(row.m - m);
      row.m = m;
      GRETA_UNROLL
      for (int j = 0; j < kOwn; ++j) x[i][j] = j < visible ? exp2<kExp>(x[i][j] - m) : 0.0f;
      const float sum = across_16((x[i][0] + x[i][1]) + (x[i][2] + x[i][3]), [](float y, float z) { return y + z; });
      row.l = fmaf(row.l, a[i], sum);
    }

    __syncthreads();  // K has been read
    GRETA_UNROLL
    for (int i = 0; i < kOwn; ++i) {
      Pack<float, kOwn> p;
      GRETA_UNROLL
      for (int j = 0; j < kOwn; ++j) p.v[j] = x[i][j];
      store_pack(weights + (kOwn * ty + i) * kOnlineTile + kOwn * tx, p);
    }
    next.store(values);
    if (begin + kOnlineTile < n_keys) prefetch(k, begin + kOnlineTile);
    __syncthreads();

    // P V: 4 rows by head_dim / 16 channels, four keys at a time.
    GRETA_UNROLL
    for (int i = 0; i < kOwn; ++i) {
      if (masked && begin >= keys_of(first + kOwn * ty + i)) a[i] = 1.0f;
      GRETA_UNROLL
      for (int c = 0; c < kChannels; ++c) state.row[i].o[c] = state.row[i].o[c] * a[i];
    }
    const auto add_keys = [&](int j, bool is_masked) {
      Pack<float, kOwn> p[kOwn];
      GRETA_UNROLL
      for (int i = 0; i < kOwn; ++i) p[i] = load_pack<kOwn>(weights + (kOwn * ty + i) * kOnlineTile + j);
      GRETA_UNROLL
      for (int n = 0; n < kOwn; ++n) {
        float value[kChannels];
        const int channel = tx * kChannels;
        to_floats(load_pack<kChannels>(values + chunk_offset(kHeadDim, j + n, channel / kChunkElements) +
                                       channel % kChunkElements),
                  value);
        GRETA_UNROLL
        for (int i = 0; i < kOwn; ++i) {
          const int sees = is_masked ? keys_of(first + kOwn * ty + i) - begin : kOnlineTile;
          if (sees <= 0) continue;  // the tile does not exist for this row
          GRETA_UNROLL
          for (int c = 0; c < kChannels; ++c)
            state.row[i].o[c] = fmaf(p[i].v[n], j + n < sees ? value[c] : 0.0f, state.row[i].o[c]);
        }
      }
    };
    if (masked) {
      GRETA_UNROLL_BY(1)
      for (int j = 0; j < kOnlineTile; j += kOwn) add_keys(j, true);
    } else {
      GRETA_UNROLL_BY(1)
      for (int j = 0; j < kOnlineTile; j += kOwn) add_keys(j, false);
    }

    if ((begin + kOnlineTile) % kOnlineSplit == 0 || begin + kOnlineTile >= n_keys) {
      const int split = begin / kOnlineSplit * kOnlineSplit;
      GRETA_UNROLL
      for (int i = 0; i < kOwn; ++i) {
        if (split == 0)
          total.row[i] = state.row[i];
        else if (split < keys_of(first + kOwn * ty + i))
          merge_split<kExp>(total.row[i], state.row[i]);
      }
    }
  }

  GRETA_UNROLL
  for (int i = 0; i < kOwn; ++i) {
    const int token = first + kOwn * ty + i;
    if (token >= n_tokens) continue;
    Pack<T, kChannels> out;
    GRETA_UNROLL
    for (int c = 0; c < kChannels; ++c) out.v[c] = hip::from_float<T>(total.row[i].o[c] / total.row[i].l);
    store_pack(o + q_row(shape, kHeadDim, sequence, token, head) + tx * kChannels, out);
  }
}

void prefill_attention_v3(hip::Stream& stream, const PrefillAttentionProblem& p, const PrefillAttentionArgs& args) {
  with_exp_mode("prefill_attention v3", args.exp, [&](auto exp) {
    with_attention_types(p.dtype, p.head_dim, [&](auto element, auto head_dim) {
      using T = decltype(element);
      constexpr int kHeadDim = decltype(head_dim)::value;
      const PrefillKernel<T> kernel = &prefill_attention_v3_kernel<T, kHeadDim, decltype(exp)::value>;
      // Q and V tiles, and the larger of K and p.
      constexpr size_t kTile = sizeof(T) * kv_tile_elements(kHeadDim),
                       kWeights = sizeof(float) * kPrefillV3Rows * kOnlineTile;
      launch_prefill<T>(stream, "v3", kernel,
                        {kPrefillV3Rows, kPrefillV3Threads, 2 * kTile + (kTile > kWeights ? kTile : kWeights), true}, p,
                        args);
    });
  });
}

}  // namespace greta
