#include "model/config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/hip/error.hpp"

namespace greta::model {
namespace {

// Bounds of single numbers: far above any model, and low enough that no product of two of them overflows.
constexpr int64_t kMaxDim = 1 << 24;
constexpr int64_t kMaxHeads = 1 << 16;
constexpr int64_t kMaxContext = (int64_t{1} << 31) - 1;

void read_rope(const GgufFile& file, LlamaConfig& c) {
  c.rope_dim = file.maybe_integer("llama.rope.dimension_count", 2, kMaxDim).value_or(c.head_dim);
  c.rope_freq_base = file.maybe_real("llama.rope.freq_base").value_or(10000);
  const std::string_view type = file.maybe_string("llama.rope.scaling.type").value_or("linear");
  if (type != "none" && type != "linear")
    file.fail_key("llama.rope.scaling.type", fmt::format("got {}, wanted 'none' or 'linear'", quoted(type)));
  const auto factor = file.maybe_real("llama.rope.scaling.factor");
  const auto old_factor = file.maybe_real("llama.rope.scale_linear");
  if (type == "linear") c.rope_scale = factor ? *factor : old_factor.value_or(1);
  if (c.rope_scale == 0) c.rope_scale = 1;  // some converters write 0 for "not scaled"
  if (const auto attention = file.maybe_real("llama.rope.scaling.attn_factor"); attention && *attention != 1)
    file.fail_key("llama.rope.scaling.attn_factor", fmt::format("got {}, only 1 is supported", *attention));
  if (const GgufTensor* freqs = file.find_tensor("rope_freqs.weight")) {
    if (freqs->type != DType::kF32 || freqs->n_dims != 1 || freqs->row_length() != c.rope_dim / 2)
      file.fail(fmt::format("tensor 'rope_freqs.weight': got {} {}, wanted f32 [{}] (rope.dimension_count / 2)",
                            dtype_name(freqs->type), freqs->shape(), c.rope_dim / 2));
    c.rope_freqs.resize(static_cast<size_t>(freqs->row_length()));
    std::memcpy(c.rope_freqs.data(), freqs->data.data(), freqs->data.size());
    for (size_t i = 0; i < c.rope_freqs.size(); ++i)
      if (!(c.rope_freqs[i] > 0) || !std::isfinite(c.rope_freqs[i]))
        file.fail(fmt::format("tensor 'rope_freqs.weight': value {} is {}, wanted a finite number above 0", i,
                              c.rope_freqs[i]));
  }
}

int64_t read_vocab_size(const GgufFile& file) {
  if (const auto size = file.maybe_integer("llama.vocab_size", 1, kMaxVocab)) return *size;
  if (const GgufValue* tokens = file.find("tokenizer.ggml.tokens"); tokens && tokens->type == GgufType::kArray)
    return static_cast<int64_t>(tokens->count);
  const GgufTensor* embedding = file.find_tensor("token_embd.weight");
  return embedding != nullptr ? embedding->n_rows() : 0;
}

void check_tensors(const GgufFile& file, const LlamaConfig& c) {
  // Before llama_tensors() allocates by a number of the file.
  const auto n_tensors = static_cast<int64_t>(file.tensors().size());
  if (c.n_layers > n_tensors / 9)
    file.fail_key("llama.block_count", fmt::format("got {}, but the {} tensors of the file are fewer than 9 a layer",
                                                   c.n_layers, n_tensors));
  int64_t n_found = 0;
  for (const TensorSpec& spec : llama_tensors(c)) {
    const GgufTensor* tensor = file.find_tensor(spec.name);
    if (tensor == nullptr) file.fail(fmt::format("tensor '{}' is missing", spec.name));
    ++n_found;
    bool same = static_cast<size_t>(tensor->n_dims) == spec.dims.size();
    for (size_t i = 0; same && i < spec.dims.size(); ++i) same = tensor->dims[i] == spec.dims[i];
    if (!same)
      file.fail(fmt::format("tensor '{}': dims: got {}, wanted [{}] by the metadata", spec.name, tensor->shape(),
                            fmt::join(spec.dims, ", ")));
    if (spec.role == TensorSpec::Role::kNorm && tensor->type != DType::kF32)
      file.fail(fmt::format("tensor '{}': type: got {}, wanted f32", spec.name, dtype_name(tensor->type)));
  }
  if (n_found == n_tensors) return;
  std::vector<std::string> known;
  for (TensorSpec& spec : llama_tensors(c)) known.push_back(std::move(spec.name));
  std::sort(known.begin(), known.end());
  for (const GgufTensor& tensor : file.tensors())
    if (!std::binary_search(known.begin(), known.end(), tensor.name))
      file.fail(fmt::format("tensor {} is not part of a llama of {} layers; results without it would be wrong",
                            quoted(tensor.name), c.n_layers));
}

}  // namespace

reference::RopeAngles LlamaConfig::rope_angles() const {
  return {.head_dim = head_dim,
          .rope_dim = rope_dim,
          .freq_base = rope_freq_base,
          .position_scale = 1.0 / rope_scale,
          .freq_factors = rope_freqs};
}

void LlamaConfig::check(const std::string& where) const {
  const auto refuse = [&](const char* field, const auto& got, const std::string& wanted) {
    throw_invalid(fmt::format("{}: llama.{}: got {}, wanted {}", where, field, got, wanted));
  };
  const auto in_range = [&](const char* field, int64_t got, int64_t max) {
    if (got < 1 || got > max) refuse(field, got, fmt::format("1 to {}", max));
  };
  in_range("block_count", n_layers, kMaxDim);
  in_range("context_length", context_length, kMaxContext);
  in_range("embedding_length", dim, kMaxDim);
  in_range("feed_forward_length", ffn_dim, kMaxDim);
  in_range("attention.head_count", n_heads, kMaxHeads);
  in_range("attention.head_count_kv", n_kv_heads, kMaxHeads);
  in_range("attention.key_length", head_dim, kMaxDim);
  in_range("vocab_size", vocab_size, kMaxVocab);
  if (n_heads % n_kv_heads != 0)
    refuse("attention.head_count_kv", n_kv_heads, fmt::format("a divisor of head_count {}", n_heads));
  if (head_dim % 2 != 0) refuse("attention.key_length", head_dim, "an even number");
  if (rope_dim % 2 != 0 || rope_dim < 2 || rope_dim > head_dim)
    refuse("rope.dimension_count", rope_dim, fmt::format("an even number from 2 to key_length {}", head_dim));
  if (!(rms_eps > 0 && rms_eps < 1)) refuse("attention.layer_norm_rms_epsilon", rms_eps, "a number between 0 and 1");
  if (!(rope_freq_base > 0) || !std::isfinite(rope_freq_base)) refuse("rope.freq_base", rope_freq_base, "above 0");
  if (!(rope_scale > 0) || !std::isfinite(rope_scale)) refuse("rope.scaling.factor", rope_scale, "above 0");
}

std::vector<TensorSpec> llama_tensors(const LlamaConfig& c) {
  using Role = TensorSpec::Role;
  std::vector<TensorSpec> out;
  out.push_back({"token_embd.weight", Role::kTokenEmbd, -1, {c.dim, c.vocab_size}});
  if (!c.rope_freqs.empty()) out.push_back({"rope_freqs.weight", Role::kRopeFreqs, -1, {c.rope_dim / 2}});
  for (int64_t l = 0; l < c.n_layers; ++l) {
    const auto add = [&](const char* name, Role role, std::vector<int64_t> dims) {
      out.push_back({fmt::format("blk.{}.{}.weight", l, name), role, l, std::move(dims)});
    };
    add("attn_norm", Role::kNorm, {c.dim});
    add("attn_q", Role::kAttnQ, {c.dim, c.q_dim()});
    add("attn_k", Role::kAttnK, {c.dim, c.kv_dim()});
    add("attn_v", Role::kAttnV, {c.dim, c.kv_dim()});
    add("attn_output", Role::kAttnOutput, {c.q_dim(), c.dim});
    add("ffn_norm", Role::kNorm, {c.dim});
    add("ffn_gate", Role::kGate, {c.dim, c.ffn_dim});
    add("ffn_up", Role::kUp, {c.dim, c.ffn_dim});
    add("ffn_down", Role::kDown, {c.ffn_dim, c.dim});
  }
  out.push_back({"output_norm.weight", Role::kNorm, -1, {c.dim}});
  if (!c.tied_output) out.push_back({"output.weight", Role::kOutput, -1, {c.dim, c.vocab_size}});
  return out;
}

int64_t n_parameters(const LlamaConfig& c) {
  const int64_t layer = 2 * c.dim + c.dim * (2 * c.q_dim() + 2 * c.kv_dim() + 3 * c.ffn_dim);
  return c.n_layers * layer + c.dim + c.dim * c.vocab_size * (c.tied_output ? 1 : 2);
}

LlamaConfig read_config(const GgufFile& file) {
  const std::string_view architecture = file.string("general.architecture");
  if (architecture != "llama")
    file.fail_key("general.architecture", fmt::format("got {}, wanted 'llama'", quoted(architecture)));
  if (const auto splits = file.maybe_integer("split.count", 0, 65535); splits && *splits > 1)
    file.fail_key("split.count", fmt::format("got {}; merge the split model into one file first", *splits));
  if (const auto experts = file.maybe_integer("llama.expert_count", 0, kMaxHeads); experts && *experts > 0)
    file.fail_key("llama.expert_count", fmt::format("got {}, mixtures of experts are not supported", *experts));
  if (const auto version = file.maybe_integer("general.quantization_version", 0, 1 << 16); version && *version != 2)
    file.fail_key("general.quantization_version", fmt::format("got {}, wanted 2", *version));

  LlamaConfig c;
  c.name = file.maybe_string("general.name").value_or("");
  c.n_layers = file.integer("llama.block_count", 1, kMaxDim);
  c.context_length = file.integer("llama.context_length", 1, kMaxContext);
  c.dim = file.integer("llama.embedding_length", 1, kMaxDim);
  c.ffn_dim = file.integer("llama.feed_forward_length", 1, kMaxDim);
  c.n_heads = file.integer("llama.attention.head_count", 1, kMaxHeads);
  c.n_kv_heads = file.maybe_integer("llama.attention.head_count_kv", 1, kMaxHeads).value_or(c.n_heads);
  const auto key_length = file.maybe_integer("llama.attention.key_length", 2, kMaxDim);
  if (!key_length && c.dim % c.n_heads != 0)
    file.fail_key(
        "llama.attention.head_count",
        fmt::format("{} does not divide embedding_length {}, and attention.key_length is missing", c.n_heads, c.dim));
  c.head_dim = key_length.value_or(c.dim / c.n_heads);
  if (const auto value_length = file.maybe_integer("llama.attention.value_length", 1, kMaxDim);
      value_length && *value_length != c.head_dim)
    file.fail_key("llama.attention.value_length",
                  fmt::format("got {}, wanted key_length {}", *value_length, c.head_dim));
  c.rms_eps = file.real("llama.attention.layer_norm_rms_epsilon");
  c.vocab_size = read_vocab_size(file);
  c.tied_output = file.find_tensor("output.weight") == nullptr;
  read_rope(file, c);
  c.check(file.path());
  check_tensors(file, c);
  if (const GgufValue* tokens = file.find("tokenizer.ggml.tokens");
      tokens && tokens->type == GgufType::kArray && tokens->count != static_cast<uint64_t>(c.vocab_size))
    file.fail_key("tokenizer.ggml.tokens",
                  fmt::format("got {} tokens, wanted one for each of the vocab_size {}", tokens->count, c.vocab_size));
  return c;
}

}  // namespace greta::model
