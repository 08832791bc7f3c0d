// Attention of one new query a sequence against its KV cache: the problem, its cost. HIP-free.
//   O[b,h,:] = sum_{j < n_kv_b} softmax_j(scale * Q[b,h,:] . K[b,j,g,:]) V[b,j,g,:]      (g as in prefill attention)
// Shapes   Q, O [batch, n_heads, head_dim]
//          contiguous (page_size 0)  K, V [batch, kv_capacity, n_kv_heads, head_dim], rows [0, n_kv_b) valid
//          paged                     K, V [n_pages, page_size, n_kv_heads, head_dim], page table [batch, kv_capacity /
//          page_size rounded up]: key j of sequence b is row j % page_size of page table[b, j / page_size]. Pages come
//          in any order and may be shared by sequences. Entries beyond a sequence's keys are never read, nor are rows.
// The layout has no influence on the bits: the same keys in the same order.
#pragma once

#include "kernels/hip/problem.hpp"

namespace greta {

struct DecodeAttentionProblem {
  int64_t batch = 1;
  int64_t n_kv = 1;  ///< keys visible, the new token's included; the longest of the batch
  int64_t n_heads = 1;
  int64_t n_kv_heads = 1;
  int64_t head_dim = 64;
  int64_t kv_capacity = 0;  ///< rows of the cache per sequence; 0: n_kv
  int64_t head_map = 0;     ///< 0 grouped, 1 interleaved
  int64_t page_size = 0;    ///< keys a page: 0 (contiguous) or a power of two from 16
  int64_t n_pages = 0;      ///< pages of K and V in all; 0: as many as the table has entries
  DType dtype = DType::kF16;

  int64_t capacity() const { return kv_capacity ? kv_capacity : n_kv; }
  int64_t group() const { return n_heads / n_kv_heads; }
  int64_t q_elements() const { return batch * n_heads * head_dim; }
  bool paged() const { return page_size != 0; }
  /// Entries of one sequence's row of the page table; 0 when contiguous.
  int64_t table_width() const { return paged() ? (capacity() + page_size - 1) / page_size : 0; }
  int64_t pages() const { return n_pages ? n_pages : batch * table_width(); }
  int64_t kv_elements() const { return (paged() ? pages() * page_size : batch * capacity()) * n_kv_heads * head_dim; }
  double flops() const { return 4.0 * static_cast<double>(batch * n_heads * n_kv * head_dim); }
  /// Each operand once: Q, O, the n_kv rows of K and V, and the page table's entries for them.
  double bytes() const {
    const int64_t entries = paged() ? batch * ((n_kv + page_size - 1) / page_size) : 0;
    return dtype_block_bytes(dtype) * 2.0 * static_cast<double>(q_elements() + batch * n_kv * n_kv_heads * head_dim) +
           4.0 * static_cast<double>(entries);
  }
};

template <class P, class V>
requires std::is_same_v<P, DecodeAttentionProblem>
void visit_fields(P& p, V&& visit) {
  visit("batch", p.batch), visit("n_kv", p.n_kv), visit("n_heads", p.n_heads), visit("n_kv_heads", p.n_kv_heads);
  visit("head_dim", p.head_dim), visit("kv_capacity", p.kv_capacity), visit("head_map", p.head_map);
  visit("page_size", p.page_size), visit("n_pages", p.n_pages), visit("dtype", p.dtype);
}

void validate(const DecodeAttentionProblem& p);

}  // namespace greta
