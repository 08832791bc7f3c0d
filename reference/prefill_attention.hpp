// Causal attention of many queries: oracle and twins. Formula and shapes: kernels/prefill_attention/
// prefill_attention_problem.hpp; arithmetic ids "two_pass_f32", "online_f32" and "online_mma": prefill_attention.hpp
// there.
//
// Bound, of one element O_c = sum_j p_j v_jc / l with p_j = exp2(x_j - m), n visible keys, D = head_dim:
//   x_j     D links of fma, the product with scale_log2 and the two roundings inside that constant:
//             eps_j = gamma(D + 3) scale_log2 sum_c |q_c k_jc|
//   p_j     x_j - m rounds; an absolute error d of the exponent is the factor 2^d. m itself is common to all terms and
//           drops out. With a running maximum the exponents of p_j and of the rescales that follow add up to m - x_j,
//           so their roundings do: d_j = eps_j + u (m - x_j + 2 max eps). Each exp2 adds eps_exp; there is one, plus
//           with a running maximum at most one for each later tile of the split and one for each split:
//             rho_j = 2^d_j (1 + eps_exp)^(1 + rescales) - 1;  and 2^-126 absolute, the end of exp2's range
//           The same p_j and rescales multiply numerator and denominator.
//   sums    paths of at most N_o and N_l roundings:  two_pass  N_o = N_l = n
//             online  N_o = min(n, 512) + 8 + splits + 1 (the keys of a split, its rescales, the merge)
//                     N_l = 6 + min(tiles, 8) + splits + 1 (the tree, the tiles of a split, the merge)
//   so      num = sum_j p_j |v_jc| ((1+rho_j)(1+gamma(N_o)) - 1),  den = sum_j p_j ((1+rho_j)(1+gamma(N_l)) - 1)
//             mma     (matrix tiles; r is the largest coefficient of the models in hip/matrix_model.hpp for a sum of
//                     n terms: CDNA3 8 + 2.01 ceil(n/8), Hopper 10.5 ceil(n/16), a chain of fma n)
//                     eps_j with r(D) + 2 for D + 3;  N_o = r(min(n, 512)) + 8 + splits + 1, N_l = as online
//                     p is rounded to T before the second product: p_j (1 + u_T), and half a subnormal of T absolute
//             |O^ - O| <= (num + |O| den) / (l - den)  (1 + u) + u |O|,  and the rounding to O's type
#pragma once

#include <string_view>

#include "kernels/prefill_attention/prefill_attention_problem.hpp"
#include "reference/exp2_error.hpp"
#include "reference/matrix_machine.hpp"

namespace greta::reference {

inline constexpr int kTwinTile = 64;    ///< keys per tile of online softmax
inline constexpr int kTwinSplit = 512;  ///< keys per split

struct AttentionInputs {
  std::span<const float> q;  ///< [batch, n_tokens, n_heads, head_dim]
  std::span<const float>
      k;  ///< [batch, kv_capacity, n_kv_heads, head_dim]; only rows [0, n_kv of the sequence) are read
  std::span<const float> v;
  std::span<const int32_t> n_tokens_of = {};  ///< [batch] queries of each sequence; empty: the problem's
  std::span<const int32_t> n_kv_of = {};      ///< [batch] keys of each sequence; empty: the problem's
  float scale = 0.0f;                         ///< 0: 1 / sqrt(head_dim)
};

/// scale * log2(e) as the kernels use it: scale (or 1/sqrt(head_dim) rounded to f32) times log2(e) in double, rounded.
float attention_scale_log2(float scale, int64_t head_dim);

/// 1 for elements of O that the call writes, 0 for queries beyond a sequence's n_tokens_of. In results of the functions
/// below those elements are 0 with bound 0.
std::vector<uint8_t> prefill_attention_written(const PrefillAttentionProblem& problem, const AttentionInputs& inputs);

/// Throw kInvalidArgument for an unknown arithmetic id or lengths outside the problem's.
Bounded prefill_attention_oracle(const PrefillAttentionProblem& problem, std::string_view arithmetic, ExpMode exp,
                                 const AttentionInputs& inputs);
/// The bits of the portable exp2; `machine` is for "online_mma".
std::vector<float> prefill_attention_twin(const PrefillAttentionProblem& problem, std::string_view arithmetic,
                                          const AttentionInputs& inputs, MatrixMachine machine = {});

}  // namespace greta::reference
