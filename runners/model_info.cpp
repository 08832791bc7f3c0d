// greta model info M: what a model file holds, after everything in it was checked.
#include <fmt/format.h>

#include <cstdio>
#include <map>
#include <memory>

#include "model/config.hpp"
#include "model/gguf.hpp"
#include "model/tokenizer.hpp"
#include "runners/command_line.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

struct InfoFlags {
  std::string path;
  bool keys = false, tensors = false;
};

void print_rope(const model::LlamaConfig& c) {
  fmt::print("rope        base {}, {} of {} values of a head", c.rope_freq_base, c.rope_dim, c.head_dim);
  if (c.rope_scale != 1) fmt::print(", positions divided by {}", c.rope_scale);
  if (!c.rope_freqs.empty()) fmt::print(", frequency factors {} to {}", c.rope_freqs.front(), c.rope_freqs.back());
  fmt::print("\n");
}

void print_types(const model::GgufFile& file) {
  struct Sum {
    int64_t tensors = 0, values = 0;
    uint64_t bytes = 0;
  };
  std::map<DType, Sum> sums;
  for (const model::GgufTensor& t : file.tensors()) {
    Sum& sum = sums[t.type];
    ++sum.tensors;
    sum.values += t.n_values();
    sum.bytes += t.data.size();
  }
  for (const auto& [type, sum] : sums)
    fmt::print("weights     {:<5} {:5} tensors {:>14} values {:>14} bytes\n", dtype_name(type), sum.tensors, sum.values,
               sum.bytes);
}

void print_info(const InfoFlags& flags) {
  const model::GgufFile file = model::GgufFile::open(flags.path);
  const model::LlamaConfig c = model::read_config(file);
  const model::Tokenizer tokenizer(file);
  const auto id = [](const std::optional<int32_t>& v) { return v ? std::to_string(*v) : std::string("none"); };
  fmt::print("file        {}: GGUF version {}, {} bytes, {} keys, {} tensors\n", file.path(), file.version(),
             file.size_bytes(), file.keys().size(), file.tensors().size());
  fmt::print("model       {}: llama, {:.2f} million parameters\n", model::quoted(c.name),
             static_cast<double>(model::n_parameters(c)) / 1e6);
  fmt::print("shape       n_layers={} dim={} ffn_dim={} n_heads={} n_kv_heads={} head_dim={} vocab={} context={}\n",
             c.n_layers, c.dim, c.ffn_dim, c.n_heads, c.n_kv_heads, c.head_dim, c.vocab_size, c.context_length);
  fmt::print("norm        RMSNorm, epsilon {:g}; output {}\n", c.rms_eps,
             c.tied_output ? "tied to token_embd" : "of its own");
  print_rope(c);
  print_types(file);
  fmt::print("tokenizer   byte-level BPE: {} tokens, {} merges, bos {}{}, eos {}\n", tokenizer.n_tokens(),
             tokenizer.n_merges(), id(tokenizer.bos_id()), tokenizer.adds_bos() ? " (put first)" : "",
             id(tokenizer.eos_id()));
  if (flags.keys)
    for (const model::GgufKey& key : file.keys())
      fmt::print("key         {:<44} {:<7} {}\n", key.name, model::gguf_type_name(key.value.type), key.value.summary());
  if (flags.tensors)
    for (const model::GgufTensor& t : file.tensors())
      fmt::print("tensor      {:<32} {:<5} {}\n", t.name, dtype_name(t.type), t.shape());
}

}  // namespace

void register_model_info(Command model, CommonFlags& flags) {
  auto own = std::make_shared<InfoFlags>();
  const Command verb = model.subcommand("info", "check a model file and say what it holds");
  verb.option("model,--model", own->path, "GGUF file").required().type_name("M");
  verb.flag("--keys", own->keys, "list the metadata");
  verb.flag("--tensors", own->tensors, "list the tensors");
  verb.callback([own, &flags] {
    refuse_records(flags, "model info");
    print_info(*own);
  });
}

}  // namespace greta::runners
