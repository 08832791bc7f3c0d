#include "model/make.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/hip/error.hpp"
#include "model/gguf_writer.hpp"
#include "reference/quant_blocks.hpp"
#include "reference/random.hpp"

namespace greta::model {
namespace {

constexpr size_t kChunkBytes = 4 << 20;  // of rows made at a time: stays in the cache, and is one large write

struct Preset {
  std::string_view name;
  int64_t n_layers, context, dim, ffn_dim, n_heads, n_kv_heads, head_dim, vocab;
  bool tied;
};
// The Llama 3 family: Meta's published configurations.
constexpr Preset kPresets[] = {
    {"tiny", 2, 512, 256, 512, 4, 2, 64, 512, false},
    {"llama3-8b", 32, 8192, 4096, 14336, 32, 8, 128, 128256, false},
    {"llama3-70b", 80, 8192, 8192, 28672, 64, 8, 128, 128256, false},
    {"llama3.2-1b", 16, 131072, 2048, 8192, 32, 8, 64, 128256, true},
};

/// Standard deviation of a matrix's values.
float sigma_of(const TensorSpec& tensor, const LlamaConfig& config) {
  using Role = TensorSpec::Role;
  double sigma = 1 / std::sqrt(static_cast<double>(tensor.dims[0]));
  if (tensor.role == Role::kAttnOutput || tensor.role == Role::kDown)
    sigma /= std::sqrt(2.0 * static_cast<double>(config.n_layers));
  return static_cast<float>(sigma);
}

std::vector<float> norm_weights(int64_t n, uint64_t seed) {
  reference::Random random(seed);
  std::vector<float> w(static_cast<size_t>(n));
  for (float& v : w) v = 1.0f + 0.1f * random.normal();
  return w;
}

void write_matrix(GgufWriter& out, DType type, int64_t row_length, int64_t n_rows, float sigma, uint64_t seed) {
  const size_t row_bytes = reference::row_bytes(type, row_length);
  const int64_t rows_a_chunk = std::max<int64_t>(1, static_cast<int64_t>(kChunkBytes / row_bytes));
  std::vector<std::byte> chunk;
  for (int64_t r = 0; r < n_rows; r += rows_a_chunk) {
    const int64_t n = std::min(rows_a_chunk, n_rows - r);
    chunk.resize(static_cast<size_t>(n) * row_bytes);
    reference::random_row(type, reference::RandomBlocks::kWeights, sigma,
                          reference::substream(seed, static_cast<uint64_t>(r)), n * row_length, chunk.data());
    out.write(chunk);
  }
}

void add_metadata(GgufWriter& out, const LlamaConfig& c, WeightMix mix) {
  const auto number = [&](const char* key, int64_t value) {
    out.add(fmt::format("llama.{}", key), static_cast<uint32_t>(value));
  };
  const auto real = [&](const char* key, double value) {
    out.add(fmt::format("llama.{}", key), static_cast<float>(value));
  };
  out.add("general.architecture", "llama");
  out.add("general.name", c.name);
  out.add("general.description", "Synthetic model with random weights, for tests and measurements of speed");
  out.add("general.file_type", weight_mix_file_type(mix));
  out.add("general.quantization_version", 2u);
  number("vocab_size", c.vocab_size);
  number("context_length", c.context_length);
  number("embedding_length", c.dim);
  number("block_count", c.n_layers);
  number("feed_forward_length", c.ffn_dim);
  number("attention.head_count", c.n_heads);
  number("attention.head_count_kv", c.n_kv_heads);
  number("attention.key_length", c.head_dim);
  number("attention.value_length", c.head_dim);
  number("rope.dimension_count", c.rope_dim);
  real("rope.freq_base", c.rope_freq_base);
  real("attention.layer_norm_rms_epsilon", c.rms_eps);
  if (c.rope_scale != 1) {
    out.add("llama.rope.scaling.type", "linear");
    real("rope.scaling.factor", c.rope_scale);
  }
  const SyntheticVocabulary v = make_vocabulary(c.vocab_size);
  out.add("tokenizer.ggml.model", "gpt2");
  out.add("tokenizer.ggml.pre", "llama-bpe");
  out.add("tokenizer.ggml.tokens", v.tokens);
  out.add("tokenizer.ggml.token_type", v.types);
  out.add("tokenizer.ggml.merges", v.merges);
  out.add("tokenizer.ggml.bos_token_id", v.bos_id);
  out.add("tokenizer.ggml.eos_token_id", v.eos_id);
  out.add("tokenizer.ggml.eot_token_id", v.eot_id);
  out.add("tokenizer.ggml.add_bos_token", true);
}

}  // namespace

LlamaConfig shape_preset(std::string_view name) {
  std::string known;
  for (const Preset& p : kPresets) {
    known += known.empty() ? "" : ", ";
    known += p.name;
    if (p.name != name) continue;
    LlamaConfig c;
    c.name = fmt::format("synthetic-{}", p.name);
    c.n_layers = p.n_layers;
    c.context_length = p.context;
    c.dim = p.dim;
    c.ffn_dim = p.ffn_dim;
    c.n_heads = p.n_heads;
    c.n_kv_heads = p.n_kv_heads;
    c.head_dim = c.rope_dim = p.head_dim;
    c.vocab_size = p.vocab;
    c.rms_eps = 1e-5f;
    c.rope_freq_base = 500000;
    c.tied_output = p.tied;
    if (p.name == "llama3.2-1b") c.rope_freqs = llama31_rope_freqs(c.rope_freq_base, c.rope_dim, 32, 1, 4, 8192);
    return c;
  }
  throw_invalid(fmt::format("unknown shape {}; wanted one of {}", quoted(name), known));
}

std::vector<float> llama31_rope_freqs(double freq_base, int64_t rope_dim, double factor, double low_freq,
                                      double high_freq, double context) {
  std::vector<float> factors;
  for (int64_t i = 0; i < rope_dim / 2; ++i) {
    const double frequency = std::pow(freq_base, -2.0 * static_cast<double>(i) / static_cast<double>(rope_dim));
    const double turns = context * frequency / (2 * std::numbers::pi);  // within the original context
    double slowdown = 1;
    if (turns < low_freq) {
      slowdown = factor;
    } else if (turns < high_freq) {
      const double blend = (turns - low_freq) / (high_freq - low_freq);
      slowdown = 1 / ((1 - blend) / factor + blend);
    }
    factors.push_back(static_cast<float>(slowdown));
  }
  return factors;
}

MadeModel make_model(const std::string& path, const LlamaConfig& config, WeightMix mix, uint64_t seed) {
  config.check("synthetic model");
  MadeModel made;
  made.config = config;
  made.n_parameters = n_parameters(config);
  GgufWriter out(path);
  add_metadata(out, config, mix);
  const std::vector<TensorSpec> tensors = llama_tensors(config);
  std::vector<DType> types;
  for (const TensorSpec& tensor : tensors) {
    const ChosenType chosen = choose_type(mix, tensor, config);
    types.push_back(chosen.type);
    if (chosen.wanted)
      made.notes.push_back(fmt::format("{}: {} instead of {}, as rows of {} are no multiple of {}", tensor.name,
                                       dtype_name(chosen.type), dtype_name(*chosen.wanted), tensor.dims[0],
                                       dtype_block_values(*chosen.wanted)));
    out.add_tensor(tensor.name, chosen.type, tensor.dims);
  }
  out.begin_data();
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorSpec& tensor = tensors[i];
    const uint64_t tensor_seed = reference::substream(seed, i);
    if (tensor.role == TensorSpec::Role::kNorm) {
      const std::vector<float> w = norm_weights(tensor.dims[0], tensor_seed);
      out.write(w.data(), w.size() * sizeof(float));
    } else if (tensor.role == TensorSpec::Role::kRopeFreqs) {
      out.write(config.rope_freqs.data(), config.rope_freqs.size() * sizeof(float));
    } else {
      write_matrix(out, types[i], tensor.dims[0], tensor.dims[1], sigma_of(tensor, config), tensor_seed);
    }
  }
  out.finish();
  made.n_bytes = out.n_bytes();
  return made;
}

}  // namespace greta::model
