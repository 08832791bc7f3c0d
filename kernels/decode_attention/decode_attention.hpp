// Decode attention on the device: launch functions and their ladder. Problem and formula: decode_attention_problem.hpp.
// One rung per arithmetic id that prefill attention offers, with the same bits for the same query
// (ids and their order of operations: kernels/prefill_attention/prefill_attention.hpp).
#pragma once

#include <span>

#include "kernels/decode_attention/decode_attention_problem.hpp"
#include "kernels/hip/ladder.hpp"
#include "kernels/hip/tensor.hpp"

namespace greta {

struct DecodeAttentionArgs {
  hip::AnyView q;  ///< [batch, n_heads, head_dim]
  hip::AnyView k;  ///< [batch, kv_capacity, n_kv_heads, head_dim], or [n_pages, page_size, n_kv_heads, head_dim]
  hip::AnyView v;
  hip::AnyView o;                          ///< as q
  hip::DeviceView<const int32_t> n_kv_of;  ///< optional, [batch]: keys each sequence has (>= 1, <= n_kv); null: n_kv
  /// At least decode_attention_workspace(problem) floats, from a multiple of 16 bytes on: m, l and O of each split
  /// before the merge, or scores.
  hip::DeviceView<float> workspace;
  float scale = 0.0f;  ///< 0: 1 / sqrt(head_dim)
  ExpMode exp = ExpMode::kPortable;
  /// Paged problems only, and required there: [batch, table_width()], entries in [0, n_pages) for the sequence's keys.
  hip::DeviceView<const int32_t> page_table = {};
};

using DecodeAttentionLaunch = void (*)(hip::Stream&, const DecodeAttentionProblem&, const DecodeAttentionArgs&);
using DecodeAttentionRung = Rung<DecodeAttentionProblem, DecodeAttentionLaunch>;

std::span<const DecodeAttentionRung> decode_attention_ladder();
/// The first rung whose arithmetic is the id; throws kInvalidArgument when there is none.
const DecodeAttentionRung& decode_attention_rung_for(std::string_view arithmetic);
/// Of the rungs of that arithmetic, the one for the problem on this device; their bits are the same.
const DecodeAttentionRung& decode_attention_rung_for(std::string_view arithmetic, const DecodeAttentionProblem&);

/// Floats of workspace that any rung may need which accepts the problem: batch * n_heads times the larger of splits *
/// (head_dim + 2), for partial results, and up to 4096 keys (v5) 68 per 64 keys, for scores. More keys may need less.
size_t decode_attention_workspace(const DecodeAttentionProblem& problem);

void decode_attention(hip::Stream& stream, const DecodeAttentionRung& rung, const DecodeAttentionProblem& problem,
                      const DecodeAttentionArgs& args);

}  // namespace greta
