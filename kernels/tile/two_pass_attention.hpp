// One row of attention by one thread, arithmetic "two_pass_f32" (kernels/prefill_attention/prefill_attention.hpp):
//   x_j = (q . k_j) * scale_log2, the dot one fmaf chain over channels ascending;  m = max_j x_j;  then, keys
//   ascending, p_j = exp2(x_j - m), l = l + p_j, o_c = fmaf(p_j, v_jc, o_c);  result o_c / l
// Prefill v1 and decode v1 are this routine, so that their bits agree.
// Registers  o in f32 (head_dim registers); scores are computed twice, not kept, and q is read again for each key.
#pragma once

#include <cmath>

#include "kernels/tile/attention_shape.hpp"
#include "kernels/tile/exp2.hpp"
#include "kernels/tile/pack.hpp"

namespace greta {

template <class T, int kHeadDim>
__device__ __forceinline__ float dot_row(const T* q, const T* k) {
  float sum = 0.0f;
  GRETA_UNROLL
  for (int c = 0; c < kHeadDim; c += 8) {
    float q8[8], k8[8];
    to_floats(load_pack<8>(q + c), q8);
    to_floats(load_pack<8>(k + c), k8);
    GRETA_UNROLL
    for (int i = 0; i < 8; ++i) sum = fmaf(q8[i], k8[i], sum);
  }
  return sum;
}

/// q, o: one row of head_dim. k, v: the head's first row, from where `rows` counts; n_visible >= 1 keys count.
template <class T, int kHeadDim, ExpMode kExp>
__device__ __forceinline__ void two_pass_attention_row(const T* q, const T* k, const T* v, KvRows rows, int n_visible,
                                                       float scale_log2, T* o) {
  float m = -INFINITY;
  for (int j = 0; j < n_visible; ++j) m = fmaxf(m, dot_row<T, kHeadDim>(q, k + rows.at(j)) * scale_log2);

  float l = 0.0f;
  float sum[kHeadDim];
  GRETA_UNROLL
  for (int c = 0; c < kHeadDim; ++c) sum[c] = 0.0f;
  for (int j = 0; j < n_visible; ++j) {
    // Keeps the loads of q inside the loop: moved out, q beside o takes more registers than a thread has.
    asm volatile("" ::: "memory");
    // Opaque, or the compiler makes a loop for pages and one for none, with an o for each.
    const size_t row = KvRows(rows.stride, rows.pages, hip::opaque(rows.page_shift)).at(j);
    const float p = exp2<kExp>(dot_row<T, kHeadDim>(q, k + row) * scale_log2 - m);
    l = l + p;
    GRETA_UNROLL
    for (int c = 0; c < kHeadDim; c += 8) {
      float v8[8];
      to_floats(load_pack<8>(v + row + c), v8);
      GRETA_UNROLL
      for (int i = 0; i < 8; ++i) sum[c + i] = fmaf(p, v8[i], sum[c + i]);
    }
  }

  GRETA_UNROLL
  for (int c = 0; c < kHeadDim; c += 8) {
    Pack<T, 8> out;
    GRETA_UNROLL
    for (int i = 0; i < 8; ++i) out.v[i] = hip::from_float<T>(sum[c + i] / l);
    store_pack(o + c, out);
  }
}

}  // namespace greta
