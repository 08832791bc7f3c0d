// Partial results of split-KV decode attention in the workspace, and the kernel that merges them in order: what the
// split rungs share. For .hip files.
#pragma once

#include "kernels/decode_attention/launch_decode.hpp"
#include "kernels/tile/online_attention.hpp"

namespace greta {

static_assert(kOnlineTile == kAttentionTile && kOnlineSplit == kAttentionSplit);

inline constexpr int kMergeThreads = 128;
inline constexpr int kMergeSplits = 64;  ///< splits whose weights lie in LDS at a time

/// Matrix rungs: query heads of a KV head that are the rows of one fragment: those that each lane has in its first
/// slot.
GRETA_HOST_DEVICE constexpr int decode_mma_rows(int wave) { return wave == 64 ? 16 : 8; }
/// Fragments of a KV head's query heads.
GRETA_HOST_DEVICE constexpr int decode_mma_parts(int wave, int group) {
  return (group + decode_mma_rows(wave) - 1) / decode_mma_rows(wave);
}
/// What a unit of the matrix rungs' grid computes: a split of the keys for some query heads of one KV head. Units of a
/// split are neighbours, KV heads first.
struct DecodeUnit {
  int split;
  int kv_head;
  int first;  ///< of the KV head's query heads
  __device__ DecodeUnit(const AttentionShape& shape, int wave, int unit) {
    const int parts = decode_mma_parts(wave, shape.n_heads / shape.n_kv_heads), units = shape.n_kv_heads * parts;
    split = unit / units, kv_head = unit % units / parts, first = unit % parts * decode_mma_rows(wave);
  }
};

/// Workspace: o [rows, splits, head_dim], m [rows, splits], l [rows, splits], row = sequence * n_heads + head. The
/// partial results of split s of row r are m[r * splits + s], and so on. o comes first: it is stored 16 bytes at a
/// time.
template <class F>
struct DecodePartials {
  F* o;
  F* m;
  F* l;
  __device__ DecodePartials(F* workspace, int head_dim, size_t rows, size_t splits)
      : o(workspace), m(workspace + rows * splits * head_dim), l(m + rows * splits) {}
};

/// One workgroup a row, one thread a channel. The splits merge in ascending order by the formula of merge_split
/// (tile/online_attention.hpp): its factors a and b depend on the maxima alone, so the threads of the workgroup compute
/// them side by side, and the loads of o wait for nothing.
template <class T, int kHeadDim, ExpMode kExp>
__global__ void GRETA_LAUNCH_BOUNDS(kMergeThreads, 4)
    decode_attention_merge_kernel(const float* workspace, const int32_t* n_kv_of, T* o, int splits, int split_keys,
                                  DecodeShape shape) {
  static_assert(kHeadDim <= kMergeThreads && kMergeSplits <= kMergeThreads);
  GRETA_LDS(float, lds_m, [kMergeSplits + 1]);  // [0]: of all splits before these
  GRETA_LDS(float, lds_l, [kMergeSplits]);
  GRETA_LDS(float, lds_a, [kMergeSplits]);
  GRETA_LDS(float, lds_b, [kMergeSplits]);
  const int row = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
  const int n_kv = decode_n_kv(shape, n_kv_of, row / shape.n_heads);
  const int used = (n_kv + split_keys - 1) / split_keys;
  const DecodePartials<const float> partials(workspace, kHeadDim, gridDim.x, splits);
  const size_t first = static_cast<size_t>(row) * splits;
  const int channel = thread < kHeadDim ? thread : 0;

  float total_l = 0.0f, total_o = 0.0f;
  for (int begin = 0; begin < used; begin += kMergeSplits) {
    const int count = used - begin < kMergeSplits ? used - begin : kMergeSplits;
    if (begin > 0) {
      __syncthreads();
      if (thread == 0) lds_m[0] = lds_m[kMergeSplits];  // now a maximum of all before
      __syncthreads();
    }
    if (thread < count)
      lds_m[1 + thread] = partials.m[first + begin + thread], lds_l[thread] = partials.l[first + begin + thread];
    __syncthreads();
    float before = 0.0f, m = 0.0f;
    if (thread < count) {
      before = begin > 0 ? lds_m[0] : lds_m[1];
      for (int s = 0; s < thread; ++s) before = fmaxf(before, lds_m[1 + s]);
      m = fmaxf(before, lds_m[1 + thread]);
      lds_a[thread] = exp2<kExp>(before - m), lds_b[thread] = exp2<kExp>(lds_m[1 + thread] - m);
    }
    __syncthreads();
    if (thread == count - 1) lds_m[kMergeSplits] = m;  // read by the next round only, when count is kMergeSplits
    const float* from = partials.o + (first + begin) * kHeadDim + channel;
    int s = 0;
    if (begin == 0) total_l = lds_l[0], total_o = from[0], s = 1;
    constexpr int kLoads = 8;
    for (; s < count; s += kLoads) {
      float next[kLoads];
      GRETA_UNROLL
      for (int i = 0; i < kLoads; ++i) next[i] = s + i < count ? from[static_cast<size_t>(s + i) * kHeadDim] : 0.0f;
      GRETA_UNROLL
      for (int i = 0; i < kLoads; ++i)
        if (s + i < count) {
          total_l = fmaf(total_l, lds_a[s + i], lds_l[s + i] * lds_b[s + i]);
          total_o = fmaf(total_o, lds_a[s + i], next[i] * lds_b[s + i]);
        }
    }
  }
  if (thread < kHeadDim) o[static_cast<size_t>(row) * kHeadDim + thread] = hip::from_float<T>(total_o / total_l);
}

/// The merge as a launch. x: DecodeOperands of the element type.
template <class T, int kHeadDim, ExpMode kExp>
void launch_merge(hip::Stream& stream, const char* name, const DecodeAttentionProblem& p,
                  const DecodeAttentionArgs& args, const DecodeOperands<T>& x, int split_keys, size_t partials) {
  const int64_t rows = p.batch * p.n_heads, splits = (p.n_kv + split_keys - 1) / split_keys;
  hip::launch(stream, {decode_name(name, p, args), dim3(static_cast<unsigned>(rows)), dim3(kMergeThreads), 0, p.batch},
              &decode_attention_merge_kernel<T, kHeadDim, kExp>,
              hip::in("workspace", hip::DeviceView<const float>(args.workspace), partials), x.n_kv_of, x.o,
              static_cast<int>(splits), split_keys, decode_shape(p, args));
}

}  // namespace greta
