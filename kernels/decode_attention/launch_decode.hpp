// What the launches of decode attention's rungs share. For .hip files.
#pragma once

#include <string>

#include "kernels/decode_attention/rungs.hpp"
#include "kernels/hip/launch.hpp"
#include "kernels/prefill_attention/prefill_attention.hpp"
#include "kernels/tile/attention_shape.hpp"
#include "kernels/tile/exp2.hpp"

namespace greta {

/// Kernel argument: the shape, and how the page table is read.
struct DecodeShape : AttentionShape {
  int page_shift;   ///< of paged K and V; below 0: contiguous
  int table_width;  ///< entries of a sequence's row of the table
};

/// The rows of a KV head of a sequence: `first` is where they count from in K and V.
struct DecodeKeys {
  size_t first;
  KvRows rows;
};
__device__ __forceinline__ DecodeKeys decode_keys(const DecodeShape& shape, const int32_t* page_table, int head_dim,
                                                  int sequence, int kv_head) {
  // One path to the table, null or not (table_width is 0 then): of a pointer that comes from two branches gfx942's
  // compiler no longer knows that it is global, and loads through flat_load.
  const KvRows rows(kv_stride(shape, head_dim), page_table + static_cast<size_t>(sequence) * shape.table_width,
                    shape.page_shift);
  return {rows.paged() ? static_cast<size_t>(kv_head) * head_dim : kv_row(shape, head_dim, sequence, kv_head), rows};
}

/// Keys of a sequence.
__device__ __forceinline__ int decode_n_kv(const AttentionShape& shape, const int32_t* n_kv_of, int sequence) {
  return n_kv_of ? n_kv_of[sequence] : shape.n_kv;
}

inline DecodeShape decode_shape(const DecodeAttentionProblem& p, const DecodeAttentionArgs& args) {
  int page_shift = p.paged() ? 0 : -1;
  while (p.paged() && (int64_t{1} << page_shift) < p.page_size) ++page_shift;
  return {{1, static_cast<int>(p.n_kv), static_cast<int>(p.n_heads), static_cast<int>(p.n_kv_heads),
           static_cast<int>(p.capacity()), static_cast<int>(p.head_map), attention_scale_log2(args.scale, p.head_dim)},
          page_shift,
          static_cast<int>(p.table_width())};
}

/// "decode_attention_v2_split<f16,128>"
inline std::string decode_name(const char* kernel, const DecodeAttentionProblem& p, const DecodeAttentionArgs& args) {
  return concat("decode_attention_", kernel, "<", dtype_name(p.dtype), ",", p.head_dim, exp_mode_suffix(args.exp), ">");
}

/// The tensors as launch arguments, with the extents that the problem implies.
template <class T>
struct DecodeOperands {
  hip::Argument<const T> q, k, v;
  hip::Argument<T> o;
  hip::Argument<const int32_t> n_kv_of, page_table;

  DecodeOperands(const DecodeAttentionProblem& p, const DecodeAttentionArgs& args)
      : q(hip::in("q", args.q.as<const T>("decode_attention: q"), static_cast<size_t>(p.q_elements()))),
        k(hip::in("k", args.k.as<const T>("decode_attention: k"), static_cast<size_t>(p.kv_elements()))),
        v(hip::in("v", args.v.as<const T>("decode_attention: v"), static_cast<size_t>(p.kv_elements()))),
        o(hip::out("o", args.o.as<T>("decode_attention: o"), static_cast<size_t>(p.q_elements()))),
        n_kv_of(hip::in("n_kv_of", args.n_kv_of, args.n_kv_of ? static_cast<size_t>(p.batch) : 0)),
        page_table(hip::in("page_table", args.page_table, static_cast<size_t>(p.batch * p.table_width()))) {}
};

}  // namespace greta
