// greta model make: a synthetic model of any shape from a seed.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>

#include "kernels/hip/error.hpp"
#include "model/make.hpp"
#include "runners/command_line.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

struct MakeFlags {
  std::string out, shape = "tiny", type = "q4_k_m", name;
  std::optional<int64_t> n_layers, dim, ffn_dim, n_heads, n_kv_heads, head_dim, rope_dim, vocab, context;
  std::optional<double> rope_base, rope_scale, rms_eps;
  bool tied = false, untied = false;
};

model::LlamaConfig shape_of(const MakeFlags& f) {
  model::LlamaConfig c = model::shape_preset(f.shape);
  const auto set = [](auto& field, const auto& given) {
    if (given) field = *given;
  };
  set(c.n_layers, f.n_layers);
  set(c.dim, f.dim);
  set(c.ffn_dim, f.ffn_dim);
  set(c.n_heads, f.n_heads);
  set(c.n_kv_heads, f.n_kv_heads);
  set(c.head_dim, f.head_dim);
  if (f.head_dim) c.rope_dim = c.head_dim;
  set(c.rope_dim, f.rope_dim);
  set(c.vocab_size, f.vocab);
  set(c.context_length, f.context);
  set(c.rope_freq_base, f.rope_base);
  set(c.rope_scale, f.rope_scale);
  set(c.rms_eps, f.rms_eps);
  if (f.tied) c.tied_output = true;
  if (f.untied) c.tied_output = false;
  if (!c.rope_freqs.empty() && static_cast<int64_t>(c.rope_freqs.size()) != c.rope_dim / 2)
    throw_invalid(
        fmt::format("model make: the shape {} has frequency factors for {} rotated values, not for {}; take "
                    "another --shape",
                    f.shape, 2 * c.rope_freqs.size(), c.rope_dim));
  if (!f.name.empty()) c.name = f.name;
  return c;
}

void make(const MakeFlags& f, const CommonFlags& flags) {
  refuse_records(flags, "model make");
  const auto start = std::chrono::steady_clock::now();
  const model::MadeModel made = model::make_model(f.out, shape_of(f), model::weight_mix_from_name(f.type), flags.seed);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  for (const std::string& note : made.notes) fmt::print("note: {}\n", note);
  fmt::print("{}: {:.2f} million parameters as {}, {} bytes in {:.1f} s ({:.2f} GB/s)\n", f.out,
             static_cast<double>(made.n_parameters) / 1e6, f.type, made.n_bytes, took.count(),
             static_cast<double>(made.n_bytes) / 1e9 / took.count());
}

}  // namespace

void register_model_make(Command model, CommonFlags& flags) {
  auto f = std::make_shared<MakeFlags>();
  const Command verb = model.subcommand("make", "write a model with random weights and a working tokenizer");
  verb.option("out,--out", f->out, "GGUF file to write").required().type_name("FILE");
  verb.option("--shape", f->shape, "tiny, llama3-8b, llama3-70b or llama3.2-1b; single numbers below")
      .show_default()
      .type_name("NAME");
  verb.option("--type", f->type, "f32, f16, bf16, q8_0, q4_k, q6_k or q4_k_m").show_default().type_name("TYPE");
  verb.option("--name", f->name, "general.name").type_name("S");
  const auto number = [&](const char* flag, auto& value, const char* what) {
    verb.option(flag, value, what).type_name("N");
  };
  number("--n-layers", f->n_layers, "layers");
  number("--dim", f->dim, "embedding length");
  number("--ffn-dim", f->ffn_dim, "feed-forward length");
  number("--n-heads", f->n_heads, "query heads");
  number("--n-kv-heads", f->n_kv_heads, "key and value heads");
  number("--head-dim", f->head_dim, "values of a head");
  number("--rope-dim", f->rope_dim, "values of a head that RoPE rotates (default all)");
  number("--vocab", f->vocab, "tokens");
  number("--context", f->context, "context length");
  number("--rope-base", f->rope_base, "RoPE frequency base");
  number("--rope-scale", f->rope_scale, "linear scaling: positions are divided by it");
  number("--rms-eps", f->rms_eps, "epsilon of RMSNorm");
  const Option tied = verb.flag("--tied", f->tied, "token_embd serves as output");
  verb.flag("--untied", f->untied, "an output matrix of its own").excludes(tied);
  verb.callback([f, &flags] { make(*f, flags); });
}

}  // namespace greta::runners
