// Wrong kernels as exported cases: what an executor gets, and, where the environment variable GRETA_GFX942_EXECUTOR
// names one (a command that takes the folder and exits 0 when every case agrees, 1 when one differs), what it says.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "results/record.hpp"
#include "runners/child_process.hpp"
#include "runners/isa/code_object.hpp"
#include "runners/verbs.hpp"

namespace greta::runners::isa {
namespace {

using results::Json;
constexpr const char* kMistakes[] = {"no_barrier", "swapped_fragments", "mask_one_late", "unmasked_tile",
                                     "merge_without_rescale"};

class PlantedExport : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = read_toolchain().missing; !missing.empty()) GTEST_SKIP() << missing;
    folder_ = testing::TempDir() + "greta_planted_" + testing::UnitTest::GetInstance()->current_test_info()->name();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Json manifest(const std::string& filter, int seed) {
    const ChildResult run = child(
        {program_path(), "isa", "--export", folder_, "--planted", "--filter", filter, "--seed", std::to_string(seed)});
    EXPECT_TRUE(run.exited_with(0)) << run.err;
    std::ifstream in(folder_ + "/manifest.json");
    return Json::parse(in);
  }
  static ChildResult child(std::vector<std::string> argv) {
    ChildCommand command;
    command.argv = std::move(argv), command.limit_s = 600;
    return run_child(command);
  }
  std::string bytes_of(const Json& file) {
    std::ifstream in(folder_ + "/" + file.get<std::string>(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::string folder_;
};

TEST_F(PlantedExport, EveryMistakeHasTheInputsAndAnswersOfTheSoundKernel) {
  const Json cases = manifest("", 1);
  ASSERT_EQ(cases.size(), 1 + std::size(kMistakes));
  ASSERT_EQ(cases[0]["case"], "planted/sound");
  std::set<std::string> symbols;
  for (const Json& one : cases) {
    symbols.insert(one["symbol"].get<std::string>());
    ASSERT_EQ(one["args"].size(), cases[0]["args"].size()) << one["case"];
    for (size_t i = 0; i < one["args"].size(); ++i) {
      const Json &arg = one["args"][i], &sound = cases[0]["args"][i];
      if (!arg.contains("file")) {
        EXPECT_EQ(arg, sound) << one["case"];
        continue;
      }
      EXPECT_EQ(bytes_of(arg["file"]), bytes_of(sound["file"])) << one["case"] << " " << arg["name"];
      if (!arg.contains("expected")) continue;
      EXPECT_EQ(bytes_of(arg["expected"]), bytes_of(sound["expected"])) << one["case"];
      EXPECT_NE(bytes_of(arg["expected"]), bytes_of(arg["file"])) << "the expected output is still poison";
      EXPECT_EQ(arg["compare"], "bits");
    }
  }
  EXPECT_EQ(symbols.size(), cases.size()) << "each case must run another kernel";
}

TEST_F(PlantedExport, AnExecutorTellsThemApart) {
  const char* const executor = std::getenv("GRETA_GFX942_EXECUTOR");
  if (executor == nullptr) GTEST_SKIP() << "GRETA_GFX942_EXECUTOR names no executor of gfx942 code";
  const auto run = [&](const std::string& name) {
    manifest("^planted/" + name + "$", 2);
    return child({"/bin/sh", "-c", std::string(executor) + " " + shell_quoted(folder_)});
  };
  const ChildResult sound = run("sound");
  EXPECT_TRUE(sound.exited_with(0)) << sound.how_it_ended() << "\n" << sound.out << sound.err;
  for (const char* mistake : kMistakes) {
    const ChildResult wrong = run(mistake);
    EXPECT_TRUE(wrong.exited_with(1)) << mistake << ": " << wrong.how_it_ended() << "\n" << wrong.out << wrong.err;
  }
}

}  // namespace
}  // namespace greta::runners::isa
