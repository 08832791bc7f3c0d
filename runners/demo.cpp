// greta demo: the main job on the sample model, each step an ordinary command that is printed and can be run alone.
#include <fmt/format.h>

#include <filesystem>

#include "kernels/hip/error.hpp"
#include "runners/child_process.hpp"
#include "runners/command_line.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

struct DemoStep {
  const char* title;
  std::vector<std::string> words;
  int wanted_exit;
  double limit_s;
};

std::vector<DemoStep> demo_steps(const std::string& samples) {
  const std::string model = samples + "/sample-llama-a.q4_k_m.gguf", text = samples + "/emma_chapter_1.txt";
  const std::vector<std::string> gate = {"gate", "--model", model, "--text-file", text, "--tokens", "48"};
  const auto with = [](std::vector<std::string> words, std::initializer_list<const char*> more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  return {
      {"What runs here", {"list"}, kGreen, 60},
      {"Every rung of two operators against its references",
       {"verify", "--filter", "^(rms_norm|decode_attention)/"},
       kGreen,
       300},
      {"The gate: one prefill pass against 48 decode steps, bit for bit, and both against double precision", gate,
       kGreen, 300},
      {"The same gate with a planted defect: it must turn red (exit 1)", with(gate, {"--defect", "wrong-gqa-map"}),
       kRed, 300},
      {"The gate against itself: nothing was compared (exit 1)", with(gate, {"--b", "prefill"}), kRed, 300},
      {"Sixteen tokens of text",
       {"model", "generate", "--model", model, "--prompt", "Emma Woodhouse, handsome, clever,", "-n", "16"},
       kGreen,
       120},
      {"A short benchmark", {"bench", "--filter", "^rms_norm/", "--benchmark_min_time=0.05"}, kGreen, 300},
  };
}

int run_demo() {
  const std::string samples = std::string(GRETA_SOURCE_DIR) + "/model/samples";
  if (!std::filesystem::exists(samples))
    throw_invalid(fmt::format("demo: {} is not there; run the program from its source tree", samples));
  const std::vector<DemoStep> steps = demo_steps(samples);
  int passed = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    const DemoStep& step = steps[i];
    std::vector<std::string> shown = {"./greta"};
    shown.insert(shown.end(), step.words.begin(), step.words.end());
    fmt::print("[{}/{}] {}\n$ {}\n", i + 1, steps.size(), step.title, shell_line(shown));
    std::fflush(stdout);
    ChildCommand command;
    command.argv = {program_path()};
    command.argv.insert(command.argv.end(), step.words.begin(), step.words.end());
    command.limit_s = step.limit_s;
    const ChildResult result = run_child(command);
    fmt::print("{}{}", result.out, result.err);
    const bool good = result.exited_with(step.wanted_exit);
    fmt::print("-- {} ({}, {:.1f} s)\n\n", good ? "as it should be" : "NOT AS IT SHOULD BE", result.how_it_ended(),
               result.seconds);
    std::fflush(stdout);
    passed += good;
  }
  fmt::print("{} passed, {} failed\n", passed, static_cast<int>(steps.size()) - passed);
  return passed == static_cast<int>(steps.size()) ? kGreen : kRed;
}

}  // namespace

void register_demo(Command app, CommonFlags& flags) {
  const Command verb =
      app.subcommand("demo", "the main job on the sample model: verify, gate, a red gate, text, a short bench");
  verb.callback([&flags] { flags.exit_code = run_demo(); });
}

}  // namespace greta::runners
