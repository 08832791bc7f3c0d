// greta model generate: greedy text generation, streamed.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "model/config.hpp"
#include "model/llama.hpp"
#include "model/tokenizer.hpp"
#include "runners/command_line.hpp"
#include "runners/model_input.hpp"

namespace greta::runners {
namespace {

struct GenerateFlags {
  std::string model;
  IdsInput input;
  EngineFlags engine;
  int64_t new_tokens = 64;
  bool ignore_end = false;
};

int run_generate(const GenerateFlags& f, const CommonFlags& flags) {
  const model::GgufFile file = model::GgufFile::open(f.model);
  const model::LlamaConfig config = model::read_config(file);
  const std::vector<int32_t> ids = f.input.read(file, config.vocab_size);
  const auto prompt = static_cast<int64_t>(ids.size());
  if (prompt + f.new_tokens > config.context_length)
    throw_invalid(
        fmt::format("{} prompt tokens and {} new ones are more than the model's context of {}; shorten the prompt or "
                    "lower -n",
                    prompt, f.new_tokens, config.context_length));
  const model::Tokenizer tokenizer(file);
  model::EngineOptions options = f.engine.options(flags);
  options.context = prompt + f.new_tokens;
  hip::Stream stream("upload");
  model::Llama engine(model::load_weights(file, stream), options);

  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  int32_t next = engine.prefill_argmax(0, ids);
  const auto first = Clock::now();
  int64_t made = 0;
  const auto& ends = tokenizer.end_ids();
  while (made < f.new_tokens) {
    if (!f.ignore_end && std::find(ends.begin(), ends.end(), next) != ends.end()) break;
    fmt::print("{}", tokenizer.piece(next));
    std::fflush(stdout);
    if (++made == f.new_tokens) break;
    const int32_t fed[] = {next};
    next = engine.decode_argmax(fed).front();
  }
  const double prefill = std::chrono::duration<double>(first - start).count();
  const double decode = std::chrono::duration<double>(Clock::now() - first).count();
  fmt::print("\n");
  std::fflush(stdout);
  fmt::print(stderr, "prompt {} tokens in {:.3f} s; {} new tokens, {:.1f} tokens/s after the first\n", prompt, prefill,
             made, made > 1 ? static_cast<double>(made - 1) / decode : 0.0);
  return kGreen;
}

}  // namespace

void register_model_generate(Command app, CommonFlags& flags) {
  const Command verb = app.subcommand("generate", "greedy continuation of a prompt, streamed to standard output");
  auto f = std::make_shared<GenerateFlags>();
  verb.option("--model", f->model, "GGUF file").required();
  f->input.add(verb);
  f->engine.add(verb);
  verb.option("-n,--new-tokens", f->new_tokens, "most tokens to make").positive().show_default();
  verb.flag("--ignore-end", f->ignore_end, "go on after an end-of-text token");
  verb.callback([f, &flags] { flags.exit_code = run_generate(*f, flags); });
}

}  // namespace greta::runners
