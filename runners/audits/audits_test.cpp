// The audits as a user runs them: green on the sample, red on what is planted, and red for the right reason.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "results/store.hpp"
#include "runners/audits/scratch_folder.hpp"
#include "runners/child_process.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

const std::string kModel = GRETA_SOURCE_DIR "/model/samples/sample-llama-a.q4_k_m.gguf";
const std::string kText = GRETA_SOURCE_DIR "/model/samples/emma_chapter_1.txt";

class Audits : public testing::Test {
 protected:
  struct Run {
    ChildResult child;
    std::vector<results::StoredCase> cases;
    std::vector<results::Outcome> outcomes;  ///< with one INCOMPLETE for each planned case that did not run
    const results::Record& of(size_t i) const { return cases.at(i).record; }
  };
  Run run(std::vector<std::string> words) {
    const std::string json = scratch_.file("records.jsonl");
    std::filesystem::remove(json);
    words.insert(words.begin(), {program_path(), "--json", json, "audit"});
    Run r;
    r.child = run_child({.argv = words, .limit_s = 300, .folder = "", .environment = {}, .file_size_limit = {}});
    if (std::filesystem::exists(json)) {
      const results::StoredFile file = results::read_records(json);
      EXPECT_TRUE(file.bad_lines.empty());
      if (!file.runs.empty()) r.cases = file.runs.back().cases, r.outcomes = file.runs.back().outcomes();
    }
    return r;
  }
  Run of_model(const std::string& audit, std::vector<std::string> more) {
    std::vector<std::string> words = {audit, "--model", kModel, "--text-file", kText, "--tokens", "3"};
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  }
  /// audit fault on a planted program: exit code, attribution, and pieces the reason must hold.
  void expect_blame(const char* plant, const char* attribution, const std::vector<std::string>& says,
                    std::vector<std::string> flags = {}) {
    std::vector<std::string> words = {"fault"};
    words.insert(words.end(), flags.begin(), flags.end());
    words.insert(words.end(), {"--", "audit", "planted", plant});
    const Run r = run(words);
    EXPECT_TRUE(r.child.exited_with(kRed)) << plant << "\n" << r.child.out << r.child.err;
    ASSERT_EQ(r.cases.size(), 2u) << plant << "\n" << r.child.out << r.child.err;
    EXPECT_EQ(r.of(0).measured["attribution"], attribution) << r.child.out;
    for (const std::string& part : says)
      EXPECT_NE(r.of(0).outcome.reason.find(part), std::string::npos) << plant << ": no " << part << " in\n"
                                                                      << r.of(0).outcome.reason;
    EXPECT_EQ(r.of(1).outcome.verdict, results::Verdict::kPass) << "the process that follows";
  }
  ScratchFolder scratch_{"greta_audits_test"};
};

TEST_F(Audits, FaultsAreNamed) {
  expect_blame("out-of-bounds", "named",
               {"launch #137", "kernel plant_shift", "argument 'y' (out)", "buffer 'planted.5'", "offset 4096"});
  expect_blame("use-after-free", "named",
               {"refused", "kernel plant_scale", "argument 'x' (in)", "buffer 'planted.freed'", "freed"});
  expect_blame("wrong-dtype", "named",
               {"refused", "kernel plant_scale", "argument 'x'", "buffer 'planted.ids'", "f32"});
  if (hip::platform_name() == "host")
    expect_blame("stale-pointer", "named", {"launch #137", "kernel plant_stale", "buffer 'planted.freed'", "freed"});
}

TEST_F(Audits, AMissingWaitIsCalledAsynchronousAndTheLaunchToWaitForIsNamed) {
  if (hip::platform_name() != "host") GTEST_SKIP() << "whether two streams overtake each other is the device's choice";
  expect_blame("missing-sync", "asynchronous",
               {"reproduces only asynchronously", "launch #101", "plant_rows", "plant_gather"});
}

TEST_F(Audits, CrashesKillsAndHangsAreToldApart) {
  expect_blame("crash", "between launches", {"signal 6", "plant_scale"});
  expect_blame("killed", "between launches", {"signal 9"});
  expect_blame("hang", "hang", {"launch #137", "plant_spin", "no end within"}, {"--limit", "2"});
}

TEST_F(Audits, NoFaultIsGreen) {
  const Run r = run({"fault", "--", "audit", "planted", "none"});
  EXPECT_TRUE(r.child.exited_with(kGreen)) << r.child.out << r.child.err;
  EXPECT_TRUE(run({"fault", "--", "audit", "fault"}).child.exited_with(kUsage));
  const Run refused = run({"fault", "--", "audit", "planted", "no-such-program"});  // it never ran: not green
  EXPECT_TRUE(refused.child.exited_with(kUsage)) << refused.child.out << refused.child.err;
  EXPECT_NE(refused.child.err.find("no such program"), std::string::npos) << refused.child.err;
  EXPECT_TRUE(run({"fault"}).child.exited_with(kUsage));
}

TEST_F(Audits, DeterminismIsGreenAndEachPlantMeetsItsCase) {
  const std::vector<std::string> few = {"--runs", "2", "--processes", "1"};
  EXPECT_TRUE(of_model("determinism", few).child.exited_with(kGreen));
  struct Row {
    const char* plant;
    size_t red;  ///< the case that must see it
    results::Verdict verdict;
  };
  const bool host = hip::platform_name() == "host";
  std::vector<Row> rows = {{"drifting-launch", 0, results::Verdict::kFail},
                           {"stale-state", 1, results::Verdict::kFail},
                           {"process-dependent", host ? 3u : 2u, results::Verdict::kFail},
                           {"blind-hash", host ? 4u : 3u, results::Verdict::kVacuous}};
  if (host) rows.push_back({"order-dependent", 2, results::Verdict::kFail});
  for (const Row& row : rows) {
    std::vector<std::string> words = few;
    words.insert(words.end(), {"--plant", row.plant});
    const Run r = of_model("determinism", words);
    EXPECT_TRUE(r.child.exited_with(kRed)) << row.plant << r.child.out << r.child.err;
    ASSERT_GT(r.cases.size(), row.red);
    EXPECT_EQ(r.of(row.red).outcome.verdict, row.verdict) << row.plant;
    for (size_t i = 0; i < row.red; ++i) EXPECT_EQ(r.of(i).outcome.verdict, results::Verdict::kPass) << row.plant;
  }
}

TEST_F(Audits, CopiesAreRightAndEachWrongOneIsNamed) {
  const std::string log = scratch_.file("copies.jsonl");
  const Run green = of_model("copies", {"--steps", "2", "--log", log});
  EXPECT_TRUE(green.child.exited_with(kGreen)) << green.child.out << green.child.err;
  const auto transfers = green.of(1).measured["transfers"].get<size_t>();
  std::ifstream in(log);
  size_t lines = 0;
  for (std::string line; std::getline(in, line); ++lines) {
    const auto json = nlohmann::json::parse(line);
    for (const char* key :
         {"id", "seconds", "stream", "tensor", "layer", "step", "bytes", "from_address", "to_address"})
      EXPECT_TRUE(json.contains(key)) << key;
    EXPECT_EQ(json["id"], lines + 1);
  }
  EXPECT_EQ(lines, transfers);
  for (const char* plant : {"short", "shifted", "lost"})
    for (const size_t at : {size_t{5}, transfers}) {  // a weight, a step's logits
      const Run r = of_model("copies", {"--steps", "2", "--plant", plant, "--plant-at", std::to_string(at)});
      EXPECT_TRUE(r.child.exited_with(kRed)) << plant << at << r.child.out;
      EXPECT_EQ(r.of(1).outcome.verdict, results::Verdict::kFail);
      EXPECT_NE(r.of(1).outcome.reason.find("transfer #" + std::to_string(at) + ":"), std::string::npos)
          << r.of(1).outcome.reason;
    }
  EXPECT_TRUE(of_model("copies", {"--steps", "2", "--plant", "lost", "--plant-at", "99999"}).child.exited_with(kRed));
}

TEST_F(Audits, MemoryIsAsPredictedAndEachPlantIsRed) {
  const Run green = of_model("memory", {});
  EXPECT_TRUE(green.child.exited_with(kGreen)) << green.child.out << green.child.err;
  const auto red = [&](const char* plant, size_t at, const char* says) {
    const Run r = of_model("memory", {"--plant", plant});
    EXPECT_TRUE(r.child.exited_with(kRed)) << plant << r.child.out << r.child.err;
    ASSERT_GT(r.cases.size(), at);
    EXPECT_EQ(r.of(at).outcome.verdict, results::Verdict::kFail) << plant;
    EXPECT_NE(r.of(at).outcome.reason.find(says), std::string::npos) << r.of(at).outcome.reason;
  };
  red("blind-prediction", 1, "were predicted");
  red("hidden-buffer", 2, "were predicted");
  red("leak", 4, "'planted.leak'");
  EXPECT_TRUE(of_model("memory", {"--slots", "1000000"}).child.exited_with(kInfrastructure));
}

TEST_F(Audits, ACellThatDiesCostsItselfAndTheRestIsMeasured) {
  const Run green =
      run({"matrix", "--model", kModel, "--text-file", kText, "--tokens", "4", "--span", "2", "--kv", "fp16"});
  EXPECT_TRUE(green.child.exited_with(kGreen)) << green.child.out << green.child.err;
  EXPECT_EQ(green.cases.size(), 3u);
  std::vector<std::string> words = {"matrix",
                                    "--model",
                                    kModel,
                                    "--text-file",
                                    kText,
                                    "--text-file",
                                    GRETA_SOURCE_DIR "/model/samples/README.md",
                                    "--tokens",
                                    "4",
                                    "--span",
                                    "2",
                                    "--limit",
                                    "10"};
  for (const char* plant : {"2=crash", "3=hang", "5=killed"}) words.insert(words.end(), {"--plant", plant});
  const Run r = run(words);
  EXPECT_TRUE(r.child.exited_with(kUnfinished)) << r.child.out << r.child.err;
  ASSERT_EQ(r.cases.size(), 9u);
  const char* ended[] = {nullptr, "signal 6", "no end within 10 s", nullptr, "signal 9", nullptr, nullptr, nullptr};
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(r.of(i).outcome.verdict, ended[i] ? results::Verdict::kIncomplete : results::Verdict::kPass) << i;
    if (ended[i]) {
      EXPECT_NE(r.of(i).outcome.reason.find(ended[i]), std::string::npos) << r.of(i).outcome.reason;
    }
  }
}

TEST_F(Audits, NoCellRunsOnADeviceThatDoesNotAnswer) {
  const Run r = run({"matrix", "--model", kModel, "--text-file", kText, "--tokens", "4", "--span", "2", "--kv", "fp16",
                     "--plant", "2=dead-device"});
  EXPECT_TRUE(r.child.exited_with(kInfrastructure)) << r.child.out << r.child.err;
  ASSERT_EQ(r.cases.size(), 1u);
  EXPECT_EQ(r.of(0).outcome.verdict, results::Verdict::kPass);
  EXPECT_EQ(results::exit_code(r.outcomes), kUnfinished) << "cells that were planned and did not run";
}

TEST_F(Audits, ARedCellIsRedAndAnIdleKnobIsVacuous) {
  const Run fault = run({"matrix", "--model", kModel, "--text-file", kText, "--tokens", "8", "--span", "4", "--kv",
                         "fp16", "--attribute", "--plant", "1=out-of-bounds"});
  EXPECT_TRUE(fault.child.exited_with(kRed)) << fault.child.out;
  EXPECT_NE(fault.of(0).outcome.reason.find("launch #137 kernel plant_shift"), std::string::npos)
      << fault.of(0).outcome.reason;
  // One text given twice under two names: another prompt that is no other prompt.
  const std::string twin = scratch_.file("twin.txt");
  std::filesystem::copy_file(kText, twin);
  const Run idle = run({"matrix", "--model", kModel, "--text-file", kText, "--text-file", twin, "--tokens", "8",
                        "--span", "4", "--kv", "fp16", "--kv-aligned", "0"});
  EXPECT_TRUE(idle.child.exited_with(kRed)) << idle.child.out;
  EXPECT_EQ(idle.of(2).outcome.verdict, results::Verdict::kVacuous);
}

}  // namespace
}  // namespace greta::runners
