// What every attention kernel is told of its problem, the rows of Q, K and V that follow from it, and the choice of a
// kernel's instance by dtype and head_dim.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/hip/dtype.hpp"
#include "kernels/hip/error.hpp"
#include "kernels/hip/hip.hpp"
#include "kernels/hip/text.hpp"

namespace greta {

/// Kernel argument. Q and O [batch, n_tokens, n_heads, head_dim]; K and V [batch, kv_capacity, n_kv_heads, head_dim].
struct AttentionShape {
  int n_tokens;
  int n_kv;
  int n_heads;
  int n_kv_heads;
  int kv_capacity;
  int head_map;      ///< 0: kv_head = head / group; 1: kv_head = head % n_kv_heads
  float scale_log2;  ///< scale * log2(e)
};

__device__ __forceinline__ int kv_head_of(const AttentionShape& shape, int head) {
  return shape.head_map == 0 ? head / (shape.n_heads / shape.n_kv_heads) : head % shape.n_kv_heads;
}
/// Heads in an order that puts those of one KV head next to each other: slot 0, 1, ... -> head.
__device__ __forceinline__ int head_of_slot(const AttentionShape& shape, int slot) {
  const int group = shape.n_heads / shape.n_kv_heads;
  return shape.head_map == 0 ? slot : slot / group + slot % group * shape.n_kv_heads;
}
/// First element of a query's row in Q and O.
__device__ __forceinline__ size_t q_row(const AttentionShape& shape, int head_dim, int sequence, int token, int head) {
  return ((static_cast<size_t>(sequence) * shape.n_tokens + token) * shape.n_heads + head) * head_dim;
}
/// First element of key 0 of a sequence in K and V; key j lies kv_stride * j further.
__device__ __forceinline__ size_t kv_row(const AttentionShape& shape, int head_dim, int sequence, int kv_head) {
  return (static_cast<size_t>(sequence) * shape.kv_capacity * shape.n_kv_heads + kv_head) * head_dim;
}
__device__ __forceinline__ size_t kv_stride(const AttentionShape& shape, int head_dim) {
  return static_cast<size_t>(shape.n_kv_heads) * head_dim;
}

/// Where the rows of one KV head of one sequence lie, counted in elements from that head's first row (contiguous), or
/// from that head's row 0 of page 0 (paged). The only place that knows of pages.
struct KvRows {
  size_t stride;         ///< between rows of one head
  const int32_t* pages;  ///< page of keys [i << page_shift, (i + 1) << page_shift) of the sequence
  int page_shift;        ///< below 0: contiguous, there are no pages

  // Implicit on purpose: a plain stride is the contiguous layout.
  __device__ __forceinline__ KvRows(size_t row_stride) : stride(row_stride), pages(nullptr), page_shift(-1) {}
  __device__ __forceinline__ KvRows(size_t row_stride, const int32_t* table, int shift)
      : stride(row_stride), pages(table), page_shift(shift) {}

  __device__ __forceinline__ bool paged() const { return page_shift >= 0; }
  /// Row of key j, which must be visible: a page table holds nothing of use beyond a sequence's keys.
  __device__ __forceinline__ int row(int j) const {
    if (!paged()) return j;
    return (pages[j >> page_shift] << page_shift) + (j & ((1 << page_shift) - 1));
  }
  __device__ __forceinline__ size_t at(int j) const { return stride * static_cast<size_t>(row(j)); }
};

// ------------------------------------------------------------------------------------------------ launch functions

/// f(T{}, std::integral_constant<int, head_dim>{}) for f16 or bf16 and 64 or 128; the rung has accepted the problem.
template <class F>
void with_attention_types(DType dtype, int64_t head_dim, F&& f) {
  const auto with_type = [&](auto element) {
    if (head_dim == 64) return f(element, std::integral_constant<int, 64>{});
    if (head_dim == 128) return f(element, std::integral_constant<int, 128>{});
    throw_invalid(concat("attention kernel launched with head_dim ", head_dim, "; it has 64 and 128"));
  };
  if (dtype == DType::kF16) return with_type(half_t{});
  if (dtype == DType::kBF16) return with_type(bf16_t{});
  throw_invalid(concat("attention kernel launched with dtype ", dtype_name(dtype), "; it has f16 and bf16"));
}

}  // namespace greta
