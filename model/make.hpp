// Synthetic models: any shape, any weight types, from a seed. Random weights of sensible size, written block by block
// straight to the file (about 1 GB/s), and a tokenizer that works, so that every path of the engine runs at the size of
// a model whose weights are not at hand. What such a model says is noise; tolerances do not come from it.
//
// Weights  matrices of mean 0 and sigma 1/sqrt(row length), attn_output and ffn_down smaller by sqrt(2 n_layers), so
//          that activations and logits stay near 1 at any depth; norms 1 +- 0.1.
// Bits     the same for the same shape, mix and seed on every machine.
// Errors   kInvalidArgument naming the field for a shape that is no model; kIo when the file cannot be written.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.hpp"
#include "model/weight_mix.hpp"

namespace greta::model {

/// Shapes by name: "tiny" (2 layers of 256, vocabulary 512), "llama3-8b", "llama3-70b", "llama3.2-1b" (tied output and
/// frequency factors). kInvalidArgument listing the names there are.
LlamaConfig shape_preset(std::string_view name);
/// The frequency factors that Llama 3.1 and 3.2 files carry, by their published rule: wave lengths up to
/// context / high_freq keep theirs, those from context / low_freq are slowed by `factor`, between them a blend.
std::vector<float> llama31_rope_freqs(double freq_base, int64_t rope_dim, double factor, double low_freq,
                                      double high_freq, double context);

struct MadeModel {
  LlamaConfig config;
  int64_t n_parameters = 0;
  uint64_t n_bytes = 0;
  std::vector<std::string> notes;  ///< types that fell back because of a row length
};
/// Writes the model to `path`. config.name is used as general.name.
MadeModel make_model(const std::string& path, const LlamaConfig& config, WeightMix mix, uint64_t seed);

/// A byte-level BPE table of exactly n_tokens: 256 bytes, merges of letters, control tokens at the end under the names
/// of Llama 3 (10 to 256 of them). n_tokens from 266 to 900 000.
struct SyntheticVocabulary {
  std::vector<std::string> tokens, merges;
  std::vector<int32_t> types;
  uint32_t bos_id = 0, eos_id = 0, eot_id = 0;
};
SyntheticVocabulary make_vocabulary(int64_t n_tokens);

}  // namespace greta::model
