#include "reference/decode_attention.hpp"

#include "kernels/hip/error.hpp"

namespace greta::reference {

PrefillAttentionProblem as_prefill(const DecodeAttentionProblem& p) {
  validate(p);
  return {.batch = p.batch,
          .n_tokens = 1,
          .n_kv = p.n_kv,
          .n_heads = p.n_heads,
          .n_kv_heads = p.n_kv_heads,
          .head_dim = p.head_dim,
          .kv_capacity = p.kv_capacity,
          .head_map = p.head_map,
          .dtype = p.dtype};
}

Bounded decode_attention_oracle(const DecodeAttentionProblem& p, std::string_view arithmetic, ExpMode exp,
                                const AttentionInputs& in) {
  if (!in.n_tokens_of.empty()) throw_invalid("decode attention reference: n_tokens_of does not apply");
  return prefill_attention_oracle(as_prefill(p), arithmetic, exp, in);
}

std::vector<float> decode_attention_twin(const DecodeAttentionProblem& p, std::string_view arithmetic,
                                         const AttentionInputs& in, MatrixMachine machine) {
  if (!in.n_tokens_of.empty()) throw_invalid("decode attention reference: n_tokens_of does not apply");
  return prefill_attention_twin(as_prefill(p), arithmetic, in, machine);
}

}  // namespace greta::reference
