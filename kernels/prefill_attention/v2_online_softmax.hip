// Prefill attention v2: one pass over the keys with a running maximum; one wave per output row.
//   O[b,t,h,:] = sum_j softmax_j(scale * Q[b,t,h,:] . K[b,j,g,:]) V[b,j,g,:],   j <= n_kv - n_tokens + t
// Shapes    Q, O [batch, n_tokens, n_heads, head_dim]; K, V [batch, kv_capacity, n_kv_heads, head_dim]; f16 or bf16
// Needs     head_dim 64 or 128; n_heads % n_kv_heads == 0; n_kv >= n_tokens >= 1; rows aligned to 16 bytes.
//           Sequences may be shorter (n_tokens_of, n_kv_of); their rows beyond are not written
// Numerics  "online_f32": m, l and o in f32, rescaled once a tile of 64 keys; splits of 512 keys merged in ascending
//           order where decode merges them; whole and masked tiles on one path (tile/online_attention.hpp). A query's
//           bits depend on no other query: any chunking and any batch gives the same
// Placement 4 waves on consecutive tokens of one head, each on its own row: their K and V rows meet in L1. LDS 4 KiB at
//           head_dim 128: a wave's query in f32 and two rows of p. Workgroups with the longest rows start first
// From v1   scores computed once, by 64 lanes side by side; o rescaled as the maximum grows
// Cost      of the splits' exactness: per 512 keys one merge, a fused multiply-add and a product per channel
#include "kernels/prefill_attention/launch_prefill.hpp"
#include "kernels/tile/online_attention.hpp"

namespace greta {

static_assert(kOnlineTile == kAttentionTile && kOnlineSplit == kAttentionSplit);

inline constexpr int kPrefillV2Waves = 4;

template <class T, int kHeadDim, int kSlots, ExpMode kExp>
__global__ void GRETA_LAUNCH_BOUNDS(kPrefillV2Waves* kLogicalWave / kSlots, 4)
    prefill_attention_v2_kernel(const T* q, const T* k, const T* v, T* o, const int32_t* n_tokens_of,
                                const int32_t* n_kv_of, AttentionShape shape) {
  constexpr int kOwn = kOwnChannels<kHeadDim, kSlots>;
  GRETA_LDS(float, lds, [kPrefillV2Waves][kOnlineLds<kHeadDim>]);
  const int wave = hip::wave_id();
  const int token = static_cast<int>(gridDim.x - 1 - blockIdx.x) * kPrefillV2Waves + wave;
  const PrefillRow row = prefill_row(shape, kHeadDim, n_tokens_of, n_kv_of, static_cast<int>(blockIdx.z), token,
                                     static_cast<int>(blockIdx.y));
  if (row.n_visible > 0) {  // the same for the whole wave; nothing below goes beyond a wave
    stage_query<kHeadDim, kSlots>(q + row.q_row, lds[wave]);
    const OnlineRow<T> keys = {k + row.kv_row, v + row.kv_row, kv_stride(shape, kHeadDim), row.n_visible,
                               shape.scale_log2};
    OnlineState<kOwn> total = online_split<kHeadDim, kSlots, kExp>(keys, 0, lds[wave]);
    for (int begin = kOnlineSplit; begin < row.n_visible; begin += kOnlineSplit)
      merge_split<kExp>(total, online_split<kHeadDim, kSlots, kExp>(keys, begin, lds[wave]));
    Pack<T, kOwn> out;
    GRETA_UNROLL
    for (int c = 0; c < kOwn; ++c) out.v[c] = hip::from_float<T>(total.o[c] / total.l);
    store_pack(o + row.q_row + hip::lane_id() * kOwn, out);
  }
}

void prefill_attention_v2(hip::Stream& stream, const PrefillAttentionProblem& p, const PrefillAttentionArgs& args) {
  with_exp_mode("prefill_attention v2", args.exp, [&](auto exp) {
    with_logical_slots([&](auto slots) {
      with_attention_types(p.dtype, p.head_dim, [&](auto element, auto head_dim) {
        using T = decltype(element);
        constexpr int kSlots = decltype(slots)::value;
        const PrefillKernel<T> kernel =
            &prefill_attention_v2_kernel<T, decltype(head_dim)::value, kSlots, decltype(exp)::value>;
        launch_prefill<T>(stream, "v2", kernel, {kPrefillV2Waves, kPrefillV2Waves * kLogicalWave / kSlots}, p, args);
      });
    });
  });
}

}  // namespace greta
