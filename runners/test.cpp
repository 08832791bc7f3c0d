// greta test: everything that can be checked on this machine, as a planned list of steps.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "runners/test_steps.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLintFilter = "RawCalls*:Includes*:Length*:QuietKernels*:Formatting*";

struct Room {
  const char* binary;
  double limit_s;
};
// Each must exist: a room without its tests is a failure, not a gap.
constexpr Room kRooms[] = {
    {"hip_test", 300},    {"tile_test", 600},  {"reference_test", 600}, {"results_test", 120},
    {"verify_test", 600}, {"bench_test", 600}, {"model_test", 600},
};

std::vector<Step> planned_steps() {
  const fs::path bin = fs::path(program_path()).parent_path();
  std::vector<Step> steps;
  const auto google_test = [&](const std::string& name, const std::string& binary, const std::string& filter,
                               double limit) {
    std::vector<std::string> argv = {(bin / binary).string()};
    if (!filter.empty()) argv.push_back("--gtest_filter=" + filter);
    steps.push_back({.name = name, .argv = argv, .limit_s = limit, .judge = judge_google_test, .skip_reason = {}});
  };
  google_test("lints", "runners_test", kLintFilter, 300);
  google_test("launcher, program, test runner", "runners_test", fmt::format("-{}", kLintFilter), 300);
  for (const Room& room : kRooms) google_test(room.binary, room.binary, "", room.limit_s);
  return steps;
}

}  // namespace

void register_test(CLI::App& app, CommonFlags& flags) {
  CLI::App* verb = app.add_subcommand("test", "everything that can be checked on this machine, one line a step");
  auto tier = std::make_shared<std::string>("quick");
  verb->add_option("--tier", *tier, "quick: minutes; full: for the night")->check(CLI::IsMember({"quick", "full"}));
  verb->callback([&flags, tier] {
    results::Store store(flags.json, environment_here(), flags.invocation);
    flags.exit_code = run_steps(planned_steps(), store, stdout);
  });
}

}  // namespace greta::runners
