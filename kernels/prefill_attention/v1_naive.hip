// Prefill attention v1: one thread per output row, two passes over its keys.
//   O[b,t,h,:] = sum_j softmax_j(scale * Q[b,t,h,:] . K[b,j,g,:]) V[b,j,g,:],   j <= n_kv - n_tokens + t
// Shapes    Q, O [batch, n_tokens, n_heads, head_dim]; K, V [batch, kv_capacity, n_kv_heads, head_dim]; f16 or bf16
// Needs     head_dim 64 or 128; n_heads % n_kv_heads == 0; n_kv >= n_tokens >= 1; rows aligned to 16 bytes.
//           Sequences may be shorter (n_tokens_of, n_kv_of); their rows beyond are not written
// Numerics  "two_pass_f32": the maximum first, then p, l and o in f32, keys ascending (tile/two_pass_attention.hpp)
// Placement 128 threads on consecutive tokens of one head, which read the same row of K or V at the same time; no LDS,
//           no collective; o in f32 in registers (160 at head_dim 128)
// Cost      scores are computed twice; every query reads its K and V for itself. The yardstick of the ladder
#include "kernels/prefill_attention/launch_prefill.hpp"
#include "kernels/tile/two_pass_attention.hpp"

namespace greta {

inline constexpr int kPrefillV1Threads = 128;

template <class T, int kHeadDim, ExpMode kExp>
__global__ void GRETA_LAUNCH_BOUNDS(kPrefillV1Threads, 2)
    prefill_attention_v1_kernel(const T* q, const T* k, const T* v, T* o, const int32_t* n_tokens_of,
                                const int32_t* n_kv_of, AttentionShape shape) {
  const int token = static_cast<int>(blockIdx.x * kPrefillV1Threads + threadIdx.x);
  const PrefillRow row = prefill_row(shape, kHeadDim, n_tokens_of, n_kv_of, static_cast<int>(blockIdx.z), token,
                                     static_cast<int>(blockIdx.y));
  if (row.n_visible < 1) return;  // no collective follows
  two_pass_attention_row<T, kHeadDim, kExp>(q + row.q_row, k + row.kv_row, v + row.kv_row, kv_stride(shape, kHeadDim),
                                            row.n_visible, shape.scale_log2, o + row.q_row);
}

void prefill_attention_v1(hip::Stream& stream, const PrefillAttentionProblem& p, const PrefillAttentionArgs& args) {
  with_exp_mode("prefill_attention v1", args.exp, [&](auto exp) {
    with_attention_types(p.dtype, p.head_dim, [&](auto element, auto head_dim) {
      using T = decltype(element);
      const PrefillKernel<T> kernel = &prefill_attention_v1_kernel<T, decltype(head_dim)::value, decltype(exp)::value>;
      launch_prefill<T>(stream, "v1", kernel, {kPrefillV1Threads, kPrefillV1Threads}, p, args);
    });
  });
}

}  // namespace greta
