// Decode attention v1: one thread per query head, two passes over the keys.
//   O[b,h,:] = sum_{j < n_kv_b} softmax_j(scale * Q[b,h,:] . K[b,j,g,:]) V[b,j,g,:]
// Shapes    Q, O [batch, n_heads, head_dim]; K, V contiguous or paged (decode_attention_problem.hpp); f16 or bf16
// Needs     head_dim 64 or 128; n_heads % n_kv_heads == 0; n_kv_b >= 1; rows aligned to 16 bytes
// Numerics  "two_pass_f32", the routine of prefill v1 (tile/two_pass_attention.hpp): the same bits for the same query
// Placement 64 threads on consecutive heads of a sequence; no LDS, no collective, no workspace
// Cost      batch * n_heads threads in all, each reading its K twice: for checking, not for use
#include "kernels/decode_attention/launch_decode.hpp"
#include "kernels/tile/two_pass_attention.hpp"

namespace greta {

inline constexpr int kDecodeV1Threads = 64;

template <class T, int kHeadDim, ExpMode kExp>
__global__ void GRETA_LAUNCH_BOUNDS(kDecodeV1Threads, 2)
    decode_attention_v1_kernel(const T* q, const T* k, const T* v, T* o, const int32_t* n_kv_of,
                               const int32_t* page_table, DecodeShape shape) {
  const int head = static_cast<int>(blockIdx.x * kDecodeV1Threads + threadIdx.x);
  const int sequence = static_cast<int>(blockIdx.y);
  const int n_kv = decode_n_kv(shape, n_kv_of, sequence);
  if (head >= shape.n_heads || n_kv < 1) return;  // no collective follows
  const size_t row = q_row(shape, kHeadDim, sequence, 0, head);
  const DecodeKeys keys = decode_keys(shape, page_table, kHeadDim, sequence, kv_head_of(shape, head));
  two_pass_attention_row<T, kHeadDim, kExp>(q + row, k + keys.first, v + keys.first, keys.rows, n_kv, shape.scale_log2,
                                            o + row);
}

void decode_attention_v1(hip::Stream& stream, const DecodeAttentionProblem& p, const DecodeAttentionArgs& args) {
  with_exp_mode("decode_attention v1", args.exp, [&](auto exp) {
    with_attention_types(p.dtype, p.head_dim, [&](auto element, auto head_dim) {
      using T = decltype(element);
      const dim3 grid(static_cast<unsigned>((p.n_heads + kDecodeV1Threads - 1) / kDecodeV1Threads),
                      static_cast<unsigned>(p.batch));
      const DecodeOperands<T> x(p, args);
      hip::launch(stream, {decode_name("v1", p, args), grid, dim3(kDecodeV1Threads), 0, p.batch},
                  &decode_attention_v1_kernel<T, decltype(head_dim)::value, decltype(exp)::value>, x.q, x.k, x.v, x.o,
                  x.n_kv_of, x.page_table, decode_shape(p, args));
    });
  });
}

}  // namespace greta
