// Decode attention v2: split-KV; one wave per (512-key split, query head), then a merge of the splits in order.
//   O[b,h,:] = sum_{j < n_kv_b} softmax_j(scale * Q[b,h,:] . K[b,j,g,:]) V[b,j,g,:]
// Shapes    Q, O [batch, n_heads, head_dim]; K, V contiguous or paged (decode_attention_problem.hpp); f16 or bf16;
//           workspace as in split_merge.hpp, splits = ceil(n_kv / 512)
// Needs     head_dim 64 or 128; n_heads % n_kv_heads == 0; n_kv_b >= 1; rows aligned to 16 bytes
// Numerics  "online_f32", the routines of prefill v2 on the same splits, merged in the same order
//           (tile/online_attention.hpp): the same bits for the same query. A split's size is fixed, not their number
// Placement split: grid (splits, heads / 4, batch), 4 waves on heads of one KV head where the group allows, whose K and
//           V rows meet in L1; LDS 4 KiB at head_dim 128. merge: one workgroup a row, splits ascending
// From v1   keys in parallel over splits and lanes, scores computed once
// Cost      a second launch; partial results through memory, (head_dim + 2) floats written and read per 512 keys and
//           head: 1.6 % of the K and V bytes at group 4. Splits beyond a short sequence's end are idle workgroups
#include "kernels/decode_attention/split_merge.hpp"

namespace greta {

inline constexpr int kDecodeV2Waves = 4;

template <class T, int kHeadDim, int kSlots, ExpMode kExp>
__global__ void GRETA_LAUNCH_BOUNDS(kDecodeV2Waves* kLogicalWave / kSlots, 4)
    decode_attention_v2_split_kernel(const T* q, const T* k, const T* v, const int32_t* n_kv_of,
                                     const int32_t* page_table, float* workspace, DecodeShape shape) {
  constexpr int kOwn = kOwnChannels<kHeadDim, kSlots>;
  GRETA_LDS(float, lds, [kDecodeV2Waves][kOnlineLds<kHeadDim>]);
  const int wave = hip::wave_id();
  const int sequence = static_cast<int>(blockIdx.z);
  const int slot = static_cast<int>(blockIdx.y) * kDecodeV2Waves + wave;
  const int begin = static_cast<int>(blockIdx.x) * kOnlineSplit;
  const int n_kv = decode_n_kv(shape, n_kv_of, sequence);
  if (slot < shape.n_heads && begin < n_kv) {  // the same for the whole wave; nothing below goes beyond a wave
    const int head = head_of_slot(shape, slot);
    const DecodeKeys at_head = decode_keys(shape, page_table, kHeadDim, sequence, kv_head_of(shape, head));
    stage_query<kHeadDim, kSlots>(q + q_row(shape, kHeadDim, sequence, 0, head), lds[wave]);
    const OnlineRow<T> keys = {k + at_head.first, v + at_head.first, at_head.rows, n_kv, shape.scale_log2};
    const OnlineState<kOwn> split = online_split<kHeadDim, kSlots, kExp>(keys, begin, lds[wave]);

    const DecodePartials<float> partials(workspace, kHeadDim, static_cast<size_t>(gridDim.z) * shape.n_heads,
                                         gridDim.x);
    const size_t at = (static_cast<size_t>(sequence) * shape.n_heads + head) * gridDim.x + blockIdx.x;
    if (hip::lane_id() == 0) partials.m[at] = split.m, partials.l[at] = split.l;
    GRETA_UNROLL
    for (int c = 0; c < kOwn; ++c) partials.o[at * kHeadDim + hip::lane_id() * kOwn + c] = split.o[c];
  }
}

void decode_attention_v2(hip::Stream& stream, const DecodeAttentionProblem& p, const DecodeAttentionArgs& args) {
  const int64_t splits = decode_splits(p);
  const size_t partials = decode_partials_workspace(p, splits);
  const DecodeShape shape = decode_shape(p, args);
  with_exp_mode("decode_attention v2", args.exp, [&](auto exp) {
    with_logical_slots([&](auto slots) {
      with_attention_types(p.dtype, p.head_dim, [&](auto element, auto head_dim) {
        using T = decltype(element);
        constexpr int kHeadDim = decltype(head_dim)::value, kSlots = decltype(slots)::value;
        constexpr ExpMode kExp = decltype(exp)::value;
        const DecodeOperands<T> x(p, args);
        const dim3 grid(static_cast<unsigned>(splits),
                        static_cast<unsigned>((p.n_heads + kDecodeV2Waves - 1) / kDecodeV2Waves),
                        static_cast<unsigned>(p.batch));
        hip::launch(stream,
                    {decode_name("v2_split", p, args), grid, dim3(kDecodeV2Waves * kLogicalWave / kSlots), 0, p.batch},
                    &decode_attention_v2_split_kernel<T, kHeadDim, kSlots, kExp>, x.q, x.k, x.v, x.n_kv_of,
                    x.page_table, hip::out("workspace", args.workspace, partials), shape);
        launch_merge<T, kHeadDim, kExp>(stream, "v2_merge", p, args, x, kOnlineSplit, partials);
      });
    });
  });
}

}  // namespace greta
