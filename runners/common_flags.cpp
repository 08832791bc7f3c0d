#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "kernels/hip/error.hpp"
#include "runners/command_line.hpp"
#include "runners/verbs.hpp"
#include "verify/matrix_calibration.hpp"

namespace greta::runners {
namespace {

constexpr int kMaxLayer = 1 << 20;

int parse_layer(std::string_view text, std::string_view list) {
  int value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0 || value > kMaxLayer)
    throw_invalid(fmt::format("--layers '{}': '{}' is not a layer number; wanted e.g. 0,3,5-7", list, text));
  return value;
}

uint64_t parse_seed(const std::string& text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw_invalid(fmt::format("--seed '{}': wanted a whole number from 0 to 2^64-1", text));
  return value;
}

void add_rung(CommonFlags& flags, const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
    throw_invalid(fmt::format("--rung '{}': wanted OPERATOR=NAME, e.g. prefill_attention=v2", text));
  const std::string op = text.substr(0, equals);
  if (!flags.rungs.emplace(op, text.substr(equals + 1)).second)
    throw_invalid(fmt::format("--rung '{}': a rung of {} was given already ({})", text, op, flags.rungs[op]));
}

}  // namespace

std::vector<int> parse_layers(std::string_view list) {
  std::vector<int> layers;
  size_t begin = 0;
  while (begin <= list.size()) {
    const size_t end = std::min(list.find(',', begin), list.size());
    const std::string_view item = list.substr(begin, end - begin);
    const size_t dash = item.find('-');
    const int first = parse_layer(item.substr(0, dash), list);
    const int last = dash == std::string_view::npos ? first : parse_layer(item.substr(dash + 1), list);
    if (last < first) throw_invalid(fmt::format("--layers '{}': range '{}' runs backwards", list, item));
    for (int layer = first; layer <= last; ++layer) layers.push_back(layer);
    begin = end + 1;
  }
  std::sort(layers.begin(), layers.end());
  layers.erase(std::unique(layers.begin(), layers.end()), layers.end());
  return layers;
}

void apply(const CommonFlags& flags) {
  if (hip::platform_name() != "host" && (flags.wave || flags.matrix_model || flags.workers))
    throw_invalid(
        fmt::format("--wave, --matrix-model and --workers are for the host platform; this program is built for {}",
                    hip::platform_name()));
  if (!flags.layers.empty() && !flags.layers_are_used)
    throw_invalid(
        "--layers: only greta trace and greta bisect look at single layers; leave it out (their number in a model that "
        "is made: model make --n-layers N)");
  hip::ExecConfig config = hip::exec_config();
  config.workers = flags.workers;
  if (flags.wave) config.wave = *flags.wave;
  if (flags.matrix_model) config.matrix_model = *flags.matrix_model;
  hip::set_exec_config(config);
}

results::Environment environment_here() {
  const hip::DeviceInfo& device = hip::device_info();
  results::Environment environment = results::build_environment(
      device.architecture.empty() ? device.name : fmt::format("{} ({})", device.name, device.architecture));
  environment.matrix_model = verify::calibration_state_name(verify::matrix_calibration_here().state);
  return environment;
}

void add_common_flags(Command app, CommonFlags& flags) {
  const char* group = "Common flags (before or after the verb)";
  app.option("--json", flags.json, "append one JSON line to FILE when a case starts and one when it ends")
      .type_name("FILE")
      .group(group);
  app.option("--report", flags.report, "write the close-out report of the run to FILE, made from its records")
      .type_name("FILE.md")
      .group(group);
  app.option("--lang", flags.lang, "language of the report").one_of({"en", "es"}).type_name("en|es").group(group);
  app.option("--workers", flags.workers, "host threads that run workgroups (0: one per core)")
      .range(0, 1024)
      .type_name("N")
      .group(group);
  app.on_int(
         "--wave", [&flags](const int& wave) { flags.wave = wave; }, "lanes of a wave on host (default 64)")
      .one_of({32, 64})
      .type_name("32|64")
      .group(group);
  app.on_texts(
         "--rung",
         [&flags](const std::vector<std::string>& rungs) {
           for (const std::string& rung : rungs) add_rung(flags, rung);
         },
         "run OPERATOR on rung NAME of its ladder; may be given several times")
      .type_name("OPERATOR=NAME")
      .repeatable()
      .group(group);
  app.on_text(
         "--exp",
         [&flags](const std::string& name) { flags.exp = name == "hw" ? ExpMode::kHardware : ExpMode::kPortable; },
         "exp2 of the hardware, or the portable one whose bits agree on all platforms")
      .one_of({"hw", "portable"})
      .type_name("hw|portable")
      .group(group);
  app.on_text(
         "--matrix-model", [&flags](const std::string& name) { flags.matrix_model = matrix_model_from_name(name); },
         "bits of matrix tiles on host (default cdna3)")
      .one_of({"cdna3", "hopper", "fmaf"})
      .type_name("cdna3|hopper|fmaf")
      .group(group);
  app.on_text(
         "--expect-matrix-model",
         [](const std::string& name) { verify::expect_matrix_model(matrix_model_from_name(name)); },
         "what predicts the bits of matrix tiles (default: the device's own model)")
      .one_of({"cdna3", "hopper", "fmaf"})
      .type_name("cdna3|hopper|fmaf")
      .group(group);
  app.on_text(
         "--seed", [&flags](const std::string& text) { flags.seed = parse_seed(text), flags.seed_given = true; },
         "seed of random inputs (default 1)")
      .type_name("N")
      .group(group);
  app.on_text(
         "--layers", [&flags](const std::string& list) { flags.layers = parse_layers(list); },
         "layers to look at, e.g. 0,3,5-7; verbs that look at no single layers refuse it")
      .type_name("LIST")
      .group(group);
}

}  // namespace greta::runners
