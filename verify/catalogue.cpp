#include "verify/catalogue.hpp"

#include "verify/quant_matmul_group.hpp"

namespace greta::verify {

std::span<const Operator* const> operators() {
  static const Operator* const all[] = {
      &embedding_operator(),
      &rms_norm_operator(),
      &add_rms_norm_operator(),
      &quantize_activations_operator(),
      &quant_matmul_operator(),
      &quant_matmul_group_operator(),
      &rope_operator(),
      &kv_store_operator(),
      &rope_kv_store_operator(),
      &prefill_attention_operator(),
      &decode_attention_operator(),
      &residual_add_operator(),
      &swiglu_operator(),
      &swiglu_quantize_operator(),
      &argmax_operator(),
  };
  return all;
}

}  // namespace greta::verify
