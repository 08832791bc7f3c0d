// Inputs of prefill and decode attention.
//
// Sequences of a batch of more than one are ragged: the first has the problem's lengths, the others shorter ones
// (tensors n_tokens_of and n_kv_of; a batch of one has neither), the fourth has no query at all. What lies beyond a
// sequence's lengths, and cache rows
// beyond n_kv, is NaN in random inputs: read it, and the answer is NaN. In whole-number inputs it is as good a key as
// the true ones: read it, and the answer is another number.
#pragma once

#include "reference/prefill_attention.hpp"
#include "verify/operator.hpp"

namespace greta::verify {

/// q and o [batch, n_tokens, n_heads, head_dim] (without b or t where there is one for certain, see `decode`).
Tensor attention_rows(const char* name, const PrefillAttentionProblem& p, bool decode);
Tensor attention_cache(const char* name, const PrefillAttentionProblem& p);

/// Queries of three temperatures, so that softmax is flat in some heads and peaked in others.
Data random_attention(const PrefillAttentionProblem& p, bool decode, uint64_t seed);

/// Saturated scores. A key carries a code of +-16 a channel; a query carries the code of the keys it is to find. With
/// the default scale a key of another code is at least 65 binary orders below and vanishes in every sum, and 1, 2 or 4
/// visible keys share the query's code, so p is exactly 1 or 0 and O their mean of whole numbers: exact in any order.
Data whole_attention(const PrefillAttentionProblem& p, bool decode, uint64_t seed);

/// The same tensors as the reference takes them. `kept` holds the values the spans point to.
struct AttentionValues {
  std::vector<float> q, k, v;
  std::vector<int32_t> n_tokens_of, n_kv_of;
  float scale = 0.0f;
  reference::AttentionInputs inputs() const {
    return {.q = q, .k = k, .v = v, .n_tokens_of = n_tokens_of, .n_kv_of = n_kv_of, .scale = scale};
  }
};
AttentionValues attention_values(const Data& data);
bool is_ragged(const Data& data);
/// What the launch gets as its scale; 0 is the default of 1 / sqrt(head_dim).
float scale_of(const Data& data);

/// Keys and queries that sequence b has.
int64_t tokens_of(const PrefillAttentionProblem& p, const Data& data, int64_t b);
int64_t keys_of(const PrefillAttentionProblem& p, const Data& data, int64_t b);

/// Relations of both: sequence b of the batch alone (its own lengths), or a batch of one put at place `at` among NaN.
Data one_sequence(const PrefillAttentionProblem& p, const Data& data, bool decode, int64_t b);
Data among_nan(const PrefillAttentionProblem& p, const Data& data, bool decode, int64_t batch, int64_t at);
inline constexpr int64_t kBatchSizes[] = {2, 3, 5};
/// The data of a batch of one with a cache of the capacity of `p`, NaN in the rows that were not there.
Data with_more_capacity(const PrefillAttentionProblem& p, const Data& data);
inline constexpr int64_t kPaddingRows = 13;

/// Rungs on matrix tiles: their bits are a machine's, and the rows of a tile share its V.
inline bool on_matrix_tiles(const std::string& arithmetic) { return arithmetic == "online_mma"; }
/// NaN in a row of V that some query of its sequence does not see becomes 0. On matrix tiles a weight of zero times NaN
/// is NaN: there V of a sequence has to be finite as far as its cache is filled.
void keep_hidden_values_finite(const PrefillAttentionProblem& p, Data& data);

}  // namespace greta::verify
