// greta model: what can be done with a model file. Each verb below it is one file runners/model_<verb>.cpp and one line here.
#include <CLI/CLI.hpp>

#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

using Register = void (*)(CLI::App&, CommonFlags&);

constexpr Register kModelVerbs[] = {
    register_model_logits,
    register_model_generate,
};

}  // namespace

void register_model(CLI::App& app, CommonFlags& flags) {
  CLI::App* model = app.add_subcommand("model", "work with a model file (GGUF)");
  model->require_subcommand(1);
  for (const Register add : kModelVerbs) add(*model, flags);
}

}  // namespace greta::runners
