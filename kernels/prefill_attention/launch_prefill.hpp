// The launch that all rungs of prefill attention share: their kernels have one signature. For .hip files.
#pragma once

#include "kernels/hip/launch.hpp"
#include "kernels/prefill_attention/rungs.hpp"
#include "kernels/tile/attention_shape.hpp"
#include "kernels/tile/exp2.hpp"

namespace greta {

template <class T>
using PrefillKernel = void (*)(const T* q, const T* k, const T* v, T* o, const int32_t* n_tokens_of,
                               const int32_t* n_kv_of, AttentionShape shape);

/// The query and the keys of one output row. n_visible < 1: no such row, nothing to write.
struct PrefillRow {
  size_t q_row;   ///< first element in Q and O
  size_t kv_row;  ///< first element of key 0
  int n_visible;
};
__device__ __forceinline__ PrefillRow prefill_row(const AttentionShape& shape, int head_dim, const int32_t* n_tokens_of,
                                                  const int32_t* n_kv_of, int sequence, int token, int head) {
  const int n_tokens = n_tokens_of ? n_tokens_of[sequence] : shape.n_tokens;
  const int n_kv = n_kv_of ? n_kv_of[sequence] : shape.n_kv;
  return {q_row(shape, head_dim, sequence, token, head), kv_row(shape, head_dim, sequence, kv_head_of(shape, head)),
          token < n_tokens ? n_kv - n_tokens + token + 1 : 0};
}

/// What a rung launches: tokens of one head and threads of a workgroup, dynamic LDS, and which way the grid lies.
struct PrefillBlock {
  int rows;
  int threads;
  size_t lds_bytes = 0;
  /// false: grid (token tiles, heads, sequences). true: grid (heads in the order of prefill_head(), token tiles,
  /// sequences), so that all heads' workgroups of one token tile start together.
  bool heads_first = false;
};

/// Head of a workgroup in a grid of heads first. Neighbours have different KV heads: workgroup i runs on chiplet i
/// mod 8 of an MI300X, so with 8 KV heads each chiplet's L2 holds the K and V of one.
__device__ __forceinline__ int prefill_head(const AttentionShape& shape, int index) {
  const int group = shape.n_heads / shape.n_kv_heads;
  return shape.head_map == 0 ? index % shape.n_kv_heads * group + index / shape.n_kv_heads : index;
}

/// more: arguments between n_kv_of and the shape.
template <class T, class Kernel, class... More>
void launch_prefill(hip::Stream& stream, const char* rung, Kernel kernel, const PrefillBlock& block,
                    const PrefillAttentionProblem& p, const PrefillAttentionArgs& args, const More&... more) {
  const AttentionShape shape = {static_cast<int>(p.n_tokens),
                                static_cast<int>(p.n_kv),
                                static_cast<int>(p.n_heads),
                                static_cast<int>(p.n_kv_heads),
                                static_cast<int>(p.capacity()),
                                static_cast<int>(p.head_map),
                                attention_scale_log2(args.scale, p.head_dim)};
  const std::string name =
      concat("prefill_attention_", rung, "<", dtype_name(p.dtype), ",", p.head_dim, exp_mode_suffix(args.exp), ">");
  const auto tiles = static_cast<unsigned>((p.n_tokens + block.rows - 1) / block.rows),
             heads = static_cast<unsigned>(p.n_heads), sequences = static_cast<unsigned>(p.batch);
  const dim3 grid = block.heads_first ? dim3(heads, tiles, sequences) : dim3(tiles, heads, sequences);
  const auto q = static_cast<size_t>(p.q_elements()), kv = static_cast<size_t>(p.kv_elements()),
             lengths = static_cast<size_t>(p.batch);
  hip::launch(stream, {name, grid, dim3(static_cast<unsigned>(block.threads)), block.lds_bytes, p.batch * p.n_tokens},
              kernel, hip::in("q", args.q.as<const T>("prefill_attention: q"), q),
              hip::in("k", args.k.as<const T>("prefill_attention: k"), kv),
              hip::in("v", args.v.as<const T>("prefill_attention: v"), kv),
              hip::out("o", args.o.as<T>("prefill_attention: o"), q),
              hip::in("n_tokens_of", args.n_tokens_of, args.n_tokens_of ? lengths : 0),
              hip::in("n_kv_of", args.n_kv_of, args.n_kv_of ? lengths : 0), more..., shape);
}

}  // namespace greta
