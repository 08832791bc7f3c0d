// Attention of one new query a sequence: oracle and twins. Formula and shapes: kernels/decode_attention/
// decode_attention_problem.hpp. It is prefill attention of one query by definition: same arithmetic ids, same bits,
// same bound (reference/prefill_attention.hpp).
#pragma once

#include "kernels/decode_attention/decode_attention_problem.hpp"
#include "reference/prefill_attention.hpp"

namespace greta::reference {

/// The prefill problem with n_tokens = 1.
PrefillAttentionProblem as_prefill(const DecodeAttentionProblem& problem);

/// inputs.n_tokens_of must be empty: every sequence has its one query.
Bounded decode_attention_oracle(const DecodeAttentionProblem& problem, std::string_view arithmetic, ExpMode exp,
                                const AttentionInputs& inputs);
std::vector<float> decode_attention_twin(const DecodeAttentionProblem& problem, std::string_view arithmetic,
                                         const AttentionInputs& inputs, MatrixMachine machine = {});

}  // namespace greta::reference
