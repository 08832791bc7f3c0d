// greta model: what can be done with a model file. Each verb below it is one file runners/model_<verb>.cpp and one line
// here.
#include <fmt/format.h>

#include "kernels/hip/error.hpp"
#include "runners/command_line.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

using Register = void (*)(Command, CommonFlags&);

constexpr Register kModelVerbs[] = {
    register_model_info,     register_model_make,   register_model_quantize,
    register_model_tokenize, register_model_logits, register_model_generate,
};

}  // namespace

void register_model(Command app, CommonFlags& flags) {
  const Command model = app.subcommand("model", "look at, make, quantise and run models (GGUF files)");
  model.require_subcommand();
  for (const Register add : kModelVerbs) add(model, flags);
}

void refuse_records(const CommonFlags& flags, std::string_view verb) {
  if (!flags.json.empty())
    throw_invalid(fmt::format("{} measures nothing and writes no records; leave out {}", verb,
                              flags.report.empty() ? "--json " + flags.json : "--report " + flags.report));
}

}  // namespace greta::runners
