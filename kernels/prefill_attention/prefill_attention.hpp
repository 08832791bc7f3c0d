// Causal prefill attention on the device: launch functions and their ladder. The problem and its formula are in
// prefill_attention_problem.hpp.
//
// Arithmetic ids (all sums f32, all products through fmaf; x_j = (q . k_j) * scale_log2 with scale_log2 = scale *
// log2(e) rounded once):
//   "two_pass_f32"  dot over channels ascending, one fmaf chain; m = max x_j; then, keys ascending, p_j = exp2(x_j -
//   m),
//                   l = l + p_j, o_c = fmaf(p_j, v_jc, o_c); result o_c / l.
//   "online_f32"    keys in tiles of 64 anchored at key 0, splits of 512 keys anchored at key 0.
//                   Within a split, from m = -inf, l = 0, o = 0, for each tile that holds a visible key:
//                     x_j as above for visible keys (masked keys take no part in m and give p = 0 by select)
//                     m' = max(m, max_j x_j); a = exp2(m - m') (1 where m is still -inf: nothing to rescale); p_j =
//                     exp2(x_j - m') l = fmaf(l, a, tree sum of p over key distances 1, 2, ..., 32) o_c = o_c * a, then
//                     fmaf(p_j, v_jc, o_c) for the tile's keys ascending
//                   Splits are merged in ascending order into (M, L, O), which starts as the first split's (m, l, o):
//                     M' = max(M, m); A = exp2(M - M'); b = exp2(m - M'); L = fmaf(L, A, l * b); O_c = fmaf(O_c, A, o_c
//                     * b)
//                   Result O_c / L. Tiles and splits without a visible key do not occur for a query, so the same query
//                   gives the same bits alone, in any chunk and in any batch.
//   "online_mma"    tiles and splits as online_f32, both products on matrix tiles of 16x16x16 (hip/fragment.hpp) in
//                   the arithmetic of the platform's matrix units (kernels/hip/matrix_model.hpp).
//                     s_j = q . k_j, channels ascending by 16 from 0; m' = max(m, max_j s_j * scale_log2), one product;
//                     a = exp2(m - m') (1 where m is still -inf); p_j = exp2(fmaf(s_j, scale_log2, -m')), 0 by select
//                     where masked
//                     l in four parts, g = j % 16 / 4: for each 16 keys u_b = (p+p)+(p+p) of the four of group g;
//                     l_g = fmaf(l_g, a, (u_0+u_1)+(u_2+u_3)); at the end of a split l = (l_0+l_1)+(l_2+l_3)
//                     o_c = o_c * a; then o += P V with p rounded to the tensors' type, keys ascending by 16
//                   Splits as online_f32. V of a sequence must be finite as far as its cache is filled: a masked weight
//                   is 0, and 0 times NaN is not.
#pragma once

#include <span>

#include "kernels/hip/ladder.hpp"
#include "kernels/hip/tensor.hpp"
#include "kernels/prefill_attention/prefill_attention_problem.hpp"

namespace greta {

inline constexpr int kAttentionTile = 64;    ///< keys per tile of online softmax
inline constexpr int kAttentionSplit = 512;  ///< keys per split; prefill and decode merge at the same boundaries

struct PrefillAttentionArgs {
  hip::AnyView q;  ///< [batch, n_tokens, n_heads, head_dim] of problem.dtype
  hip::AnyView k;  ///< [batch, kv_capacity, n_kv_heads, head_dim]
  hip::AnyView v;  ///< as k
  hip::AnyView o;  ///< as q
  /// Optional, one int32 a sequence: how many queries and keys it really has (<= problem's). Null: all of them.
  hip::DeviceView<const int32_t> n_tokens_of;
  hip::DeviceView<const int32_t> n_kv_of;
  float scale = 0.0f;  ///< 0: 1 / sqrt(head_dim), rounded from double
  ExpMode exp = ExpMode::kPortable;
  /// At least prefill_attention_workspace(problem) floats, for rungs of "online_mma"; others do not look at it.
  hip::DeviceView<float> workspace = {};
};

using PrefillAttentionLaunch = void (*)(hip::Stream&, const PrefillAttentionProblem&, const PrefillAttentionArgs&);
using PrefillAttentionRung = Rung<PrefillAttentionProblem, PrefillAttentionLaunch>;

/// Every rung, slowest first.
std::span<const PrefillAttentionRung> prefill_attention_ladder();

/// Outside the ladder, for benchmarks: v4 without splits, so that its speed beside v4's is what their merges cost. No
/// decode rung has its bits, and it has no twin.
extern const PrefillAttentionRung kPrefillFree;

/// Validates the problem, asks the rung whether it accepts it (throws kInvalidArgument with its reason), checks dtypes,
/// launches.
void prefill_attention(hip::Stream& stream, const PrefillAttentionRung& rung, const PrefillAttentionProblem& problem,
                       const PrefillAttentionArgs& args);

/// Floats of workspace that any rung may need: 0 when no query sees more than one split, else head_dim for every query
/// (n_tokens rounded up to 128) and head.
size_t prefill_attention_workspace(const PrefillAttentionProblem& problem);

/// scale * log2(e) as the kernels use it: product in double, rounded once to f32.
float attention_scale_log2(float scale, int64_t head_dim);

}  // namespace greta
