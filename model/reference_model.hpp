// A GGUF model as the reference in double sees it: its shape, and its weights dequantised on demand.
//
//   const GgufFile file = GgufFile::open(path);
//   const LlamaConfig config = read_config(file);
//   reference::llama_logits(reference_shape(config), reference_weights(file, config), ids);
#pragma once

#include "model/config.hpp"
#include "model/gguf.hpp"
#include "reference/llama.hpp"

namespace greta::model {

reference::LlamaShape reference_shape(const LlamaConfig& config);

/// Exact weights by tensor name; "output.weight" of a tied model is token_embd.weight. Keeps the file mapped. A call
/// dequantises one tensor (8 bytes a value) and keeps nothing.
reference::WeightSource reference_weights(const GgufFile& file, const LlamaConfig& config);

}  // namespace greta::model
