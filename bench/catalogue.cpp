#include "bench/catalogue.hpp"

namespace greta::bench {

std::vector<BenchCase> all_cases() {
  std::vector<BenchCase> cases;
  for (const auto add : {add_embedding, add_rms_norm, add_add_rms_norm, add_quantize_activations, add_quant_matmul,
                         add_quant_matmul_group, add_rope, add_kv_store, add_rope_kv_store, add_prefill_attention,
                         add_decode_attention, add_swiglu, add_swiglu_quantize, add_residual_add, add_argmax})
    add(cases);
  return cases;
}

}  // namespace greta::bench
