// The launch that all rungs of prefill attention share: their kernels have one signature. For .hip files.
#pragma once

#include <source_location>

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

/// One workgroup for `rows_per_block` tokens of one head: grid (tokens, heads, sequences).
template <class T>
void launch_prefill(hip::Stream& stream, const char* rung, PrefillKernel<T> kernel, int rows_per_block, int threads,
                    const PrefillAttentionProblem& p, const PrefillAttentionArgs& args,
                    std::source_location where = std::source_location::current()) {
  const AttentionShape shape = {static_cast<int>(p.n_tokens),
                                static_cast<int>(p.n_kv),
                                static_cast<int>(p.n_heads),
                                static_cast<int>(p.n_kv_heads),
                                static_cast<int>(p.capacity()),
                                static_cast<int>(p.head_map),
                                attention_scale_log2(args.scale, p.head_dim)};
  const std::string name =
      concat("prefill_attention_", rung, "<", dtype_name(p.dtype), ",", p.head_dim, exp_mode_suffix(args.exp), ">");
  const dim3 grid(static_cast<unsigned>((p.n_tokens + rows_per_block - 1) / rows_per_block),
                  static_cast<unsigned>(p.n_heads), static_cast<unsigned>(p.batch));
  const auto q = static_cast<size_t>(p.q_elements()), kv = static_cast<size_t>(p.kv_elements()),
             lengths = static_cast<size_t>(p.batch);
  hip::launch(stream, {name, grid, dim3(static_cast<unsigned>(threads)), 0, p.batch * p.n_tokens, where}, kernel,
              hip::in("q", args.q.as<const T>("prefill_attention: q"), q),
              hip::in("k", args.k.as<const T>("prefill_attention: k"), kv),
              hip::in("v", args.v.as<const T>("prefill_attention: v"), kv),
              hip::out("o", args.o.as<T>("prefill_attention: o"), q),
              hip::in("n_tokens_of", args.n_tokens_of, args.n_tokens_of ? lengths : 0),
              hip::in("n_kv_of", args.n_kv_of, args.n_kv_of ? lengths : 0), shape);
}

}  // namespace greta
