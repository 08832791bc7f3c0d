// The launch functions of decode attention's rungs. The way in is decode_attention(), which checks the arguments first.
#pragma once

#include "kernels/decode_attention/decode_attention.hpp"
#include "kernels/prefill_attention/prefill_attention.hpp"
#include "kernels/tile/extents.hpp"

namespace greta {

void decode_attention_v1(hip::Stream&, const DecodeAttentionProblem&, const DecodeAttentionArgs&);
void decode_attention_v2(hip::Stream&, const DecodeAttentionProblem&, const DecodeAttentionArgs&);
void decode_attention_v3(hip::Stream&, const DecodeAttentionProblem&, const DecodeAttentionArgs&);
void decode_attention_v4(hip::Stream&, const DecodeAttentionProblem&, const DecodeAttentionArgs&);
void decode_attention_v5(hip::Stream&, const DecodeAttentionProblem&, const DecodeAttentionArgs&);

/// Splits of the longest sequence, and floats of workspace for the partial results of so many (v2 to v4).
inline int64_t decode_splits(const DecodeAttentionProblem& p) { return ceil_div(p.n_kv, kAttentionSplit); }
inline size_t decode_partials_workspace(const DecodeAttentionProblem& p, int64_t splits) {
  return static_cast<size_t>(p.batch * p.n_heads * splits * (p.head_dim + 2));
}

/// Keys that v5 takes: of more its scores would take more workspace than partial results do, and v4 is faster.
inline constexpr int kDecodeScoresKeys = 4096;
/// Floats of workspace of v5: the scores of whole tiles of 64 keys, and a maximum every 16 keys.
inline size_t decode_scores_workspace(const DecodeAttentionProblem& p) {
  return static_cast<size_t>(p.batch * p.n_heads * ceil_div(p.n_kv, 64) * (64 + 64 / 16));
}

/// v3 with splits of another size: other bits. The benchmark's measure of what the fixed size costs.
void decode_attention_v3_with_splits(hip::Stream&, const DecodeAttentionProblem&, const DecodeAttentionArgs&,
                                     int64_t split_keys);

}  // namespace greta
