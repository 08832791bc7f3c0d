// The operators of this room, one function a file; operators() lists them.
#pragma once

#include "verify/operator.hpp"

namespace greta::verify {

const Operator& embedding_operator();
const Operator& rms_norm_operator();
const Operator& add_rms_norm_operator();
const Operator& quantize_activations_operator();
const Operator& quant_matmul_operator();
const Operator& rope_operator();
const Operator& kv_store_operator();
const Operator& rope_kv_store_operator();
const Operator& prefill_attention_operator();
const Operator& decode_attention_operator();
const Operator& residual_add_operator();
const Operator& swiglu_operator();
const Operator& swiglu_quantize_operator();
const Operator& argmax_operator();

}  // namespace greta::verify
