// greta verify from outside: exit codes, output, records, and that a repeat line repeats.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "results/store.hpp"
#include "runners/child_process.hpp"
#include "runners/verbs.hpp"
#include "runners/verify_session.hpp"
#include "verify/defects/defects.hpp"

namespace greta::runners {
namespace {

ChildResult verify(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {program_path(), "verify"});
  return run_child({.argv = arguments, .limit_s = 300, .folder = {}, .environment = {}, .file_size_limit = {}});
}

/// The words between the quotes of the first repeat line.
std::string repeat_words(const std::string& out) {
  static const std::regex line("repeat: \\./greta verify.* --repeat '([^']*)'");
  std::smatch m;
  return std::regex_search(out, m, line) ? m[1].str() : "";
}

std::string temporary(const char* name) {
  const auto path = std::filesystem::temp_directory_path() / (std::string(name) + "_" + std::to_string(getpid()));
  std::filesystem::remove(path);
  return path.string();
}

TEST(Verify, AGreenRunExits0AndRecordsEveryCheck) {
  const std::string file = temporary("verify_green.jsonl");
  const ChildResult r = verify({"--filter", "rms_norm/v1 odd_width", "--json", file});
  EXPECT_TRUE(r.exited_with(0)) << r.how_it_ended() << r.out << r.err;
  EXPECT_NE(r.out.find("ok    rms_norm/v1"), std::string::npos) << r.out;
  const results::StoredFile stored = results::read_records(file);
  ASSERT_EQ(stored.runs.size(), 1u);
  EXPECT_TRUE(stored.bad_lines.empty());
  EXPECT_EQ(stored.runs[0].planned, 40);
  ASSERT_EQ(stored.runs[0].cases.size(), 40u);
  for (const results::StoredCase& c : stored.runs[0].cases) {
    EXPECT_EQ(c.record.outcome.verdict, results::Verdict::kPass);
    EXPECT_EQ(c.record.kind, "verify");
    if (c.record.kernel == kNewProcess) continue;  // launches nothing here
    EXPECT_EQ(c.record.kernel, "rms_norm");
    EXPECT_FALSE(c.record.arithmetic.empty());
    EXPECT_FALSE(c.record.repeat.empty());
    EXPECT_NE(c.record.config.dump().find("rms_norm_v1<"), std::string::npos) << "kernels as launched";
  }
  std::filesystem::remove(file);
}

TEST(Verify, ADefectIsRedAndItsRepeatLineRepeatsIt) {
  const ChildResult r = verify({"--defect", "swapped_heads"});
  EXPECT_TRUE(r.exited_with(1)) << r.how_it_ended() << r.out;
  EXPECT_NE(r.out.find("RED   prefill_attention/v1"), std::string::npos) << r.out;
  EXPECT_NE(r.out.find("o[b=0,t=64,h=0,d=0]: want "), std::string::npos) << r.out;
  const std::string words = repeat_words(r.out);
  ASSERT_FALSE(words.empty()) << r.out;
  const ChildResult again = verify({"--defect", "swapped_heads", "--repeat", words});
  EXPECT_TRUE(again.exited_with(1)) << again.out;
  EXPECT_NE(again.out.find("greta verify: 1 checks"), std::string::npos) << again.out;
  // The same elements, bit for bit.
  const auto report = [](const std::string& out) {
    const size_t begin = out.find("  o[b=0"), end = out.find("  problem:");
    return out.substr(begin, end - begin);
  };
  EXPECT_EQ(report(r.out), report(again.out));
  // Without the defect the same check is green.
  EXPECT_TRUE(verify({"--repeat", words}).exited_with(0));
}

TEST(Verify, EveryListedDefectIsRed) {
  const ChildResult names = verify({"--list-defects"});
  EXPECT_TRUE(names.exited_with(0));
  std::istringstream lines(names.out);
  int count = 0;
  for (std::string name; std::getline(lines, name); ++count)
    EXPECT_TRUE(verify({"--defect", name}).exited_with(1)) << name;
  EXPECT_GE(count, 20);
}

TEST(Verify, PlantedFaultsAreChecksToo) {
  const ChildResult r = verify({"--tier", "X"});
  EXPECT_TRUE(r.exited_with(0)) << r.out << r.err;
  EXPECT_NE(r.out.find("ok    planted_faults"), std::string::npos) << r.out;
  EXPECT_TRUE(verify({"--repeat", "planted_faults write_past_end"}).exited_with(0));
}

TEST(Verify, UsageErrorsExit2) {
  const std::vector<std::vector<std::string>> wrong = {{"--filter", "nothing is called this"},
                                                       {"--filter", "("},
                                                       {"--tier", "E7"},
                                                       {"--repeat", "rms_norm"},
                                                       {"--repeat", "planted_faults none"},
                                                       {"--defect", "none"},
                                                       {"--rung", "rms_norm=v99"},
                                                       {"--rung", "no_such_operator=v1"},
                                                       {"--defect", "swapped_heads", "--repeat", "rope/v1 odd_tokens"},
                                                       {"--json", "/no/such/folder/file"}};
  for (const std::vector<std::string>& arguments : wrong) {
    const ChildResult r = verify(arguments);
    EXPECT_TRUE(r.exited_with(2)) << shell_line(arguments) << ": " << r.how_it_ended() << r.out;
    EXPECT_EQ(r.err.find("greta: "), 0u) << r.err;
  }
}

TEST(Verify, ListExplainsEveryRow) {
  const ChildResult r = verify({"--list", "--filter", "decode_attention/v2 split_plus_one"});
  EXPECT_TRUE(r.exited_with(0));
  EXPECT_NE(r.out.find("second split holds one key"), std::string::npos) << r.out;
  EXPECT_NE(r.out.find("I:prefill"), std::string::npos) << r.out;
}

TEST(Verify, ANewProcessThatComputesOtherBitsIsRed) {
  CommonFlags flags;
  results::Store store("", environment_here());
  VerifySession session(flags, store, "");
  const verify::PlannedCase planned = verify::parse_repeat(verify::operators(), "rms_norm/v1 odd_width y=f16", 1);
  const std::string suite = "rms_norm/v1", filter = "^rms_norm/v1 odd_width";
  EXPECT_EQ(session.check_new_process(suite, filter).verdict, results::Verdict::kVacuous) << "nothing was run here yet";
  EXPECT_EQ(session.check(planned, "I:repeat").verdict, results::Verdict::kPass);
  EXPECT_EQ(session.check_new_process(suite, filter).verdict, results::Verdict::kPass);

  const verify::Defect defect{"nudged", "", "another bit in this process", {}, [](const verify::Call& call) {
                                auto out = call.launch();
                                verify::nudge(out[0].got, 3, 1);
                                return out;
                              }};
  const verify::Defective other(*planned.op, defect);
  verify::PlannedCase wrong = planned;
  wrong.op = &other;
  EXPECT_EQ(session.check(wrong, "I:repeat").verdict, results::Verdict::kPass) << "equal to itself";
  EXPECT_EQ(session.check_new_process(suite, filter).verdict, results::Verdict::kFail);
}

/// A new process is the same program, also where that was carried somewhere and renamed.
TEST(Verify, UnderAnotherNameANewProcessIsTheSameProgram) {
  const std::string copy = temporary("carried");
  std::filesystem::copy_file(program_path(), copy);
  const ChildResult r =
      run_child({.argv = {copy, "verify", "--tier", "I:repeat,I:process", "--filter", "^residual_add/"},
                 .limit_s = 300,
                 .folder = {},
                 .environment = {},
                 .file_size_limit = {}});
  std::filesystem::remove(copy);
  EXPECT_EQ(r.exit_code, 0) << r.out << r.err;
  EXPECT_NE(r.out.find("new_process"), std::string::npos) << r.out;
}

TEST(Verify, MatrixTilesAreChecked) {
  const std::string file = temporary("verify_tiles.jsonl");
  const ChildResult r = verify({"--tier", "C", "--json", file});
  EXPECT_TRUE(r.exited_with(0)) << r.how_it_ended() << r.out << r.err;
  const results::StoredFile stored = results::read_records(file);
  std::filesystem::remove(file);
  ASSERT_EQ(stored.runs.at(0).cases.size(), 3u);
  for (const results::StoredCase& c : stored.runs[0].cases) {
    EXPECT_GE(c.record.measured.at("elements").get<int64_t>(), 400000) << c.record.case_name;
    EXPECT_EQ(c.record.measured.at("outside").get<int64_t>(), 0);
  }
  EXPECT_TRUE(verify({"--repeat", "matrix_tiles bf16"}).exited_with(0));
  EXPECT_TRUE(verify({"--repeat", "matrix_tiles fp8"}).exited_with(2));
}

TEST(Verify, AFullDiskExits4) {
  const ChildResult r = run_child({.argv = {program_path(), "verify", "--filter", "rms_norm/v1 odd_width", "--json",
                                            temporary("verify_full.jsonl")},
                                   .limit_s = 60,
                                   .folder = {},
                                   .environment = {},
                                   .file_size_limit = 8000});
  EXPECT_TRUE(r.exited_with(4)) << r.how_it_ended() << r.out << r.err;
  std::filesystem::remove(temporary("verify_full.jsonl"));
}

}  // namespace
}  // namespace greta::runners
