// greta test: everything that can be checked on this machine, as a planned list of steps.
#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <sstream>
#include <utility>

#include "kernels/hip/error.hpp"

#include "model/weight_damage.hpp"
#include "runners/command_line.hpp"
#include "runners/isa/code_object.hpp"
#include "runners/test_steps.hpp"
#include "runners/test_tiers.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

namespace fs = std::filesystem;

struct Room {
  const char* binary;
  double limit_s;
};
// Each must exist: a room without its tests is a failure, not a gap.
constexpr Room kRooms[] = {
    {"hip_test", 300},    {"tile_test", 600},  {"reference_test", 600}, {"results_test", 120},
    {"verify_test", 600}, {"bench_test", 600}, {"model_test", 600},
};

/// A folder for the children's records, gone with the run.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = (fs::temp_directory_path() / "greta_test_XXXXXX").string();
    if (!::mkdtemp(pattern.data()))
      throw Error(ErrorKind::kIo,
                  fmt::format("no folder like {} for the steps' records: {}", pattern, std::strerror(errno)));
    path_ = pattern;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

/// Common flags that steer kernels, for the verbs that run them.
std::vector<std::string> handed_on(const CommonFlags& flags) {
  std::vector<std::string> words;
  for (size_t i = 0; i < flags.invocation.size(); ++i) {
    const std::string& word = flags.invocation[i];
    for (const std::string name :
         {"--workers", "--wave", "--exp", "--matrix-model", "--expect-matrix-model", "--seed", "--rung"}) {
      if (word == name && i + 1 < flags.invocation.size()) words.insert(words.end(), {word, flags.invocation[i + 1]});
      if (word.rfind(name + "=", 0) == 0) words.push_back(word);
    }
  }
  return words;
}

class Plan {
 public:
  Plan(const CommonFlags& flags, bool full, const ScratchFolder& scratch)
      : bin_(fs::path(program_path()).parent_path()), words_(handed_on(flags)), full_(full), scratch_(scratch) {}

  std::vector<Step> steps() {
    const std::string lints = filter_of(kLintTests), slow = filter_of(kSlowTests);
    google_test("lints", "runners_test", lints, 300);
    google_test("runners_test", "runners_test", fmt::format("-{}:{}", lints, slow), 600);
    google_test("runners_test, slow tests", "runners_test", slow, 1800);
    if (!full_)
      steps_.back().skip_reason = fmt::format("{} groups of tests are left to the full tier: {}", std::size(kSlowTests),
                                              fmt::join(kSlowTests, ", "));
    for (const Room& room : kRooms) google_test(room.binary, room.binary, "", room.limit_s);
    green("verify", {"verify", "--tier", full_ ? "full" : "quick"}, full_ ? 7200 : 900);
    gates();
    audits();
    forensics();
    isa();
    // Not to know how fast: that what the ladders list can be timed, and that timed launches gave right answers.
    green("bench", {"bench", "--filter", "^(rms_norm|rope)/", "--benchmark_min_time=0.02"}, 600);
    return std::move(steps_);
  }

 private:
  void google_test(const std::string& name, const std::string& binary, const std::string& filter, double limit) {
    std::vector<std::string> argv = {(bin_ / binary).string()};
    if (!filter.empty()) argv.push_back("--gtest_filter=" + filter);
    steps_.push_back({.name = name, .argv = argv, .limit_s = limit, .judge = judge_google_test, .skip_reason = {}});
  }

  /// A verb of the program, with flags handed on and records of its own; returns their file.
  std::string verb(const std::string& name, std::vector<std::string> arguments, double limit) {
    const std::string records = scratch_.file(fmt::format("{}.jsonl", steps_.size()));
    arguments.insert(arguments.begin(), program_path());
    arguments.insert(arguments.end(), words_.begin(), words_.end());
    arguments.insert(arguments.end(), {"--json", records});
    steps_.push_back({.name = name, .argv = arguments, .limit_s = limit, .judge = {}, .skip_reason = {}});
    return records;
  }
  void green(const std::string& name, const std::vector<std::string>& arguments, double limit) {
    const std::string records = verb(name, arguments, limit);
    steps_.back().judge = expect_green_records(records);
  }
  void red(const std::string& name, const std::vector<std::string>& arguments, results::Verdict verdict,
           const std::string& text, double limit) {
    const std::string records = verb(name, arguments, limit);
    steps_.back().judge = expect_red_record(records, verdict, text);
  }

  /// The gfx942 code of the kernels; the host build makes it where there is a compiler for it.
  void isa() {
    if (hip::platform_name() != "host") return;
    green("isa", {"isa"}, 900);
    steps_.back().skip_reason = isa::read_toolchain().missing;
  }

  std::vector<std::string> gate(std::vector<std::string> more) const {
    const std::string samples = std::string(GRETA_SOURCE_DIR) + "/model/samples";
    more.insert(more.begin(), {"gate", "--model", samples + "/sample-llama-a.q4_k_m.gguf", "--text-file",
                               samples + "/emma_chapter_1.txt"});
    return more;
  }

  /// Traces, readout and bisection on the sample model. What each planted mistake looks like is in runners_test; the
  /// full tier plants one at every stage of every layer.
  void forensics() {
    const std::string samples = std::string(GRETA_SOURCE_DIR) + "/model/samples";
    const std::vector<std::string> model = {"--model", samples + "/sample-llama-a.q4_k_m.gguf"};
    const auto words = [&](std::vector<std::string> all, bool text) {
      all.insert(all.end(), model.begin(), model.end());
      if (text) all.insert(all.end(), {"--text-file", samples + "/emma_chapter_1.txt"});
      return all;
    };
    const std::string tokens = full_ ? "64" : "16";
    green("trace", words({"trace", "--side", "decode", "--tokens", tokens, "--out", scratch_.file("trace")}, true),
          300);
    green("readout", words({"trace", "--readout", "--prompts", samples + "/prompts.txt"}, false), 300);
    green("bisect", words({"bisect", "--tokens", tokens}, true), 300);
    green("bisect against the reference", words({"bisect", "--tokens", tokens, "--a", "reference"}, true), 300);
    if (full_) green("bisect sweep", words({"bisect", "--tokens", "5", "--sweep"}, true), 1800);
  }

  /// Quick: one seeded defect of every gate and audit, and the sound program by the same command. Full: every audit on
  /// the sample, and every seeded defect through every gate that takes it.
  void audits() {
    const std::string samples = std::string(GRETA_SOURCE_DIR) + "/model/samples";
    const std::vector<std::string> model = {"--model", samples + "/sample-llama-a.q4_k_m.gguf"};
    const std::vector<std::string> input = {"--text-file", samples + "/emma_chapter_1.txt", "--tokens"};
    const auto audit = [&](const char* name, const char* tokens, std::vector<std::string> more = {}) {
      std::vector<std::string> words = {"audit", name};
      words.insert(words.end(), model.begin(), model.end());
      if (tokens) words.insert(words.end(), input.begin(), input.end()), words.push_back(tokens);
      words.insert(words.end(), more.begin(), more.end());
      green(fmt::format("audit {}", name), words, 1800);
    };
    if (!full_) {
      audit("defects", "8", {"--one-each"});
      audit("kv-aligned", "4");  // no defect has it for its gate
      return;
    }
    audit("layout", nullptr);
    for (const char* name :
         {"output", "dtype", "batch", "kv-aligned", "seed", "attention", "contradictions", "instruments"})
      audit(name, "12");
    audit("drift", "512");
    audit("defects", "12", {"--every-gate"});
  }

  /// Path against path and both against the reference; then every defect, which must be red, and the control.
  void gates() {
    using results::Verdict;
    struct Row {
      const char* name;
      std::vector<std::string> words;
      bool full;
    };
    const Row rows[] = {
        {"fp16", {}, false},
        {"bf16", {"--kv", "bf16"}, false},
        {"kv-aligned", {"--kv-aligned", "1"}, false},
        {"bf16 kv-aligned", {"--kv", "bf16", "--kv-aligned", "1"}, true},
        {"chunk:7", {"--b", "chunk:7"}, false},
        {"batch:3", {"--b", "batch:3"}, false},
        {"chunk:7 bf16", {"--b", "chunk:7", "--kv", "bf16"}, true},
        {"batch:3 bf16", {"--b", "batch:3", "--kv", "bf16"}, true},
        {"chunk:1 against batch:5", {"--a", "chunk:1", "--b", "batch:5"}, true},
    };
    const std::string tokens = full_ ? "256" : "64";
    for (const Row& row : rows) {
      if (row.full && !full_) continue;
      std::vector<std::string> words = gate(row.words);
      words.insert(words.end(), {"--tokens", tokens});
      green(fmt::format("gate {}", row.name), words, full_ ? 1200 : 300);
    }
    red("gate against itself", gate({"--tokens", "16", "--b", "prefill"}), Verdict::kVacuous, "same", 300);
    for (const model::DefectInfo& defect : model::defect_table())
      for (const char* side : {"b", "both", "a"}) {
        if (defect.caught_by != "gate") continue;
        const bool loader = model::load_fault_of(defect.defect).damage != model::WeightDamage::kNone;
        const bool needs_paths = defect.gate_words.find("--b ") != std::string_view::npos;
        if (loader && !full_ && defect.defect != model::Defect::kSubBlockScaleSwapped)
          continue;  // those: audit defects, full tier
        if (side == std::string_view("both") && needs_paths) continue;
        if (side == std::string_view("a") && (!full_ || defect.decode_only || needs_paths)) continue;
        std::vector<std::string> words = gate({"--tokens", "16"});
        words.insert(words.end(), {"--defect", std::string(defect.name), "--defect-side", side});
        std::istringstream more{std::string(defect.gate_words)};
        for (std::string word; more >> word;) words.push_back(word);
        const Verdict verdict = results::verdict_from_name(defect.expected);
        red(fmt::format("defect {} on {}", defect.name, side), words, verdict,
            verdict == Verdict::kFail ? "at position" : "", 300);
      }
  }

  fs::path bin_;
  std::vector<std::string> words_;
  bool full_;
  const ScratchFolder& scratch_;
  std::vector<Step> steps_;
};

}  // namespace

void register_test(Command app, CommonFlags& flags) {
  const Command verb = app.subcommand("test", "everything that can be checked on this machine, one line a step");
  auto tier = std::make_shared<std::string>("quick");
  verb.option("--tier", *tier, "quick: minutes; full: for the night").one_of({"quick", "full"});
  verb.callback([&flags, tier] {
    results::Store store(flags.json, environment_here(), flags.invocation);
    const ScratchFolder scratch;
    flags.exit_code = run_steps(Plan(flags, *tier == "full", scratch).steps(), store, stdout);
  });
}

}  // namespace greta::runners
