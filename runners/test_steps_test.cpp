#include "runners/test_steps.hpp"

#include "runners/test_tiers.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

namespace greta::runners {
namespace {

using results::Verdict;

ChildResult ended(const std::string& out, int code) {
  ChildResult r;
  r.exit_code = code;
  r.out = out;
  return r;
}

const char* const kGreen =
    "Running main() from gtest_main.cc\n[==========] Running 2 tests from 1 test suite.\n[ RUN      ] A.one\n"
    "[       OK ] A.one (0 ms)\n[ RUN      ] A.two\n[       OK ] A.two (3 ms)\n[  PASSED  ] 2 tests.\n";

TEST(GoogleTestJudge, GreenIsGreen) {
  const StepReport r = judge_google_test(ended(kGreen, 0));
  EXPECT_EQ(r.outcome.verdict, Verdict::kPass);
  EXPECT_EQ(r.passed, 2);
  EXPECT_EQ(r.failed + r.skipped + r.incomplete, 0);
}

TEST(GoogleTestJudge, FailureIsNamedWithItsText) {
  const StepReport r = judge_google_test(ended(
      "[==========] Running 2 tests from 1 test suite.\n[ RUN      ] A.one\n[       OK ] A.one (0 ms)\n"
      "[ RUN      ] A/0.two\nfile.cpp:3: Failure\nwant 1 got 2\n[  FAILED  ] A/0.two, where TypeParam = int (3 ms)\n"
      "[  PASSED  ] 1 test.\n[  FAILED  ] 1 test, listed below:\n[  FAILED  ] A/0.two, where TypeParam = int\n",
      1));
  EXPECT_EQ(r.outcome.verdict, Verdict::kFail);
  EXPECT_EQ(r.failed, 1) << "the list at the end is not counted again";
  EXPECT_NE(r.outcome.reason.find("A/0.two"), std::string::npos);
  EXPECT_NE(r.outcome.reason.find("want 1 got 2"), std::string::npos);
}

TEST(GoogleTestJudge, SkipIsCountedWithItsReason) {
  const StepReport r = judge_google_test(ended(
      "[==========] Running 1 test from 1 test suite.\n[ RUN      ] A.one\na.cpp:3: Skipped\nno clang-format 14\n\n"
      "[  SKIPPED ] A.one (0 ms)\n[  PASSED  ] 0 tests.\n[  SKIPPED ] 1 test, listed below:\n[  SKIPPED ] A.one\n",
      0));
  EXPECT_EQ(r.outcome.verdict, Verdict::kPass);
  EXPECT_EQ(r.skipped, 1);
  ASSERT_EQ(r.notes.size(), 1u);
  EXPECT_EQ(r.notes[0], "skipped A.one: no clang-format 14");
}

TEST(GoogleTestJudge, SkipWithoutAReasonIsRed) {
  const StepReport r =
      judge_google_test(ended("[==========] Running 1 test from 1 test suite.\n[ RUN      ] A.one\n"
                              "a.cpp:3: Skipped\n\n[  SKIPPED ] A.one (0 ms)\n",
                              0));
  EXPECT_EQ(r.outcome.verdict, Verdict::kFail);
  EXPECT_EQ(r.failed, 1);
  EXPECT_EQ(r.skipped, 0);
}

TEST(GoogleTestJudge, CrashNamesTheTestAndLeavesTheRestIncomplete) {
  ChildResult crash = ended(
      "[==========] Running 5 tests from 1 test suite.\n[ RUN      ] A.one\n[       OK ] A.one (0 ms)\n[ RUN      ] "
      "A.two\n",
      -1);
  crash.signal = 11;
  const StepReport r = judge_google_test(crash);
  EXPECT_EQ(r.outcome.verdict, Verdict::kIncomplete);
  EXPECT_NE(r.outcome.reason.find("A.two"), std::string::npos);
  EXPECT_EQ(r.passed, 1);
  EXPECT_EQ(r.incomplete, 4);
}

TEST(GoogleTestJudge, NothingRunIsIncompleteAndAnExitCodeIsBelieved) {
  EXPECT_EQ(judge_google_test(ended("", 0)).outcome.verdict, Verdict::kIncomplete);
  EXPECT_EQ(judge_google_test(ended("[==========] Running 0 tests from 0 test suites.\n", 0)).outcome.verdict,
            Verdict::kIncomplete);
  EXPECT_EQ(judge_google_test(ended(kGreen, 1)).outcome.verdict, Verdict::kFail) << "a leak report after the tests";
  ChildResult missing;
  missing.error = "No such file or directory";
  EXPECT_EQ(judge_google_test(missing).outcome.verdict, Verdict::kFail);
}

TEST(ExpectExit, WantsCodeAndText) {
  EXPECT_EQ(expect_exit(2, "flag")(ended("unknown flag", 2)).outcome.verdict, Verdict::kPass);
  EXPECT_EQ(expect_exit(2, "flag")(ended("unknown", 2)).outcome.verdict, Verdict::kFail);
  EXPECT_EQ(expect_exit(2)(ended("", 0)).outcome.verdict, Verdict::kFail);
  ChildResult hang;
  hang.timed_out = true;
  EXPECT_EQ(expect_exit(0)(hang).outcome.verdict, Verdict::kIncomplete);
}

// A file of records as a verb leaves it.
class Records : public testing::Test {
 protected:
  void SetUp() override {
    path_ = (std::filesystem::temp_directory_path() / ("greta_steps_" + std::to_string(::getpid()))).string();
  }
  void TearDown() override { std::filesystem::remove(path_); }
  void write(const std::vector<results::Outcome>& outcomes, int64_t planned) const {
    std::filesystem::remove(path_);
    results::Store store(path_, {});
    store.plan(planned);
    for (const results::Outcome& outcome : outcomes) {
      results::Record record;
      record.outcome = outcome;
      store.end(store.begin(record), record);
    }
  }
  Verdict green(int exit_code) const { return expect_green_records(path_)(ended("", exit_code)).outcome.verdict; }
  Verdict red(int exit_code, Verdict verdict, const std::string& text) const {
    return expect_red_record(path_, verdict, text)(ended("", exit_code)).outcome.verdict;
  }
  std::string path_;
};

TEST_F(Records, GreenRunIsCountedCaseByCase) {
  write({{Verdict::kPass, ""}, {Verdict::kPass, ""}, {Verdict::kSkip, "no integers here"}}, 3);
  const StepReport r = expect_green_records(path_)(ended("", 0));
  EXPECT_EQ(r.outcome.verdict, Verdict::kPass);
  EXPECT_EQ(r.passed, 2);
  EXPECT_EQ(r.skipped, 1);
  EXPECT_EQ(r.notes, (std::vector<std::string>{"skipped 1: no integers here"}));
}

TEST_F(Records, ExitCodeAndRecordsMustTellTheSame) {
  write({{Verdict::kPass, ""}}, 1);
  EXPECT_EQ(green(1), Verdict::kFail);
  EXPECT_EQ(green(3), Verdict::kFail);
  write({{Verdict::kFail, "wrong"}}, 1);
  EXPECT_EQ(green(1), Verdict::kFail);
  EXPECT_EQ(green(0), Verdict::kFail) << "red records behind exit 0";
}

TEST_F(Records, UnfinishedRunIsIncomplete) {
  write({{Verdict::kPass, ""}}, 2);
  EXPECT_EQ(green(5), Verdict::kIncomplete);
  EXPECT_EQ(green(0), Verdict::kIncomplete);
  write({}, 0);
  EXPECT_EQ(green(0), Verdict::kIncomplete) << "no case at all";
  std::filesystem::remove(path_);
  EXPECT_EQ(green(0), Verdict::kIncomplete) << "no file at all";
}

TEST_F(Records, DefectMustBeRedForItsReason) {
  write({{Verdict::kFail, "position 3 differs"}}, 1);
  EXPECT_EQ(red(1, Verdict::kFail, "position"), Verdict::kPass);
  EXPECT_EQ(red(1, Verdict::kFail, "layer"), Verdict::kFail);
  EXPECT_EQ(red(1, Verdict::kVacuous, ""), Verdict::kFail);
  EXPECT_EQ(red(0, Verdict::kFail, ""), Verdict::kFail);
  write({{Verdict::kPass, ""}}, 1);
  EXPECT_EQ(red(0, Verdict::kFail, ""), Verdict::kFail) << "a defect that stays green";
}

// The whole of it, on commands that behave in every way they can.
struct Ending {
  int code;
  std::string text;
};
Ending run(const std::vector<Step>& steps) {
  results::Store store("", {});
  char* buffer = nullptr;
  size_t size = 0;
  std::FILE* out = ::open_memstream(&buffer, &size);
  const int code = run_steps(steps, store, out);
  std::fclose(out);
  Ending result{code, std::string(buffer, size)};
  std::free(buffer);
  return result;
}
Step shell(const std::string& name, const std::string& script, double limit_s = 20) {
  return {.name = name, .argv = {"sh", "-c", script}, .limit_s = limit_s, .judge = expect_exit(0), .skip_reason = {}};
}

TEST(RunSteps, GreenClosesWithThePlainLine) {
  const Ending r = run({shell("a", "true"), {.name = "b", .argv = {}, .judge = {}, .skip_reason = "no nvcc"}});
  EXPECT_EQ(r.code, 0);
  EXPECT_EQ(last_lines(r.text, 1), "1 passed, 0 failed, 1 skipped");
  EXPECT_NE(r.text.find("skipped b: no nvcc"), std::string::npos) << r.text;
}

TEST(RunSteps, CrashAndHangCostOneStepEach) {
  const Ending r = run({shell("crash", "kill -SEGV $$"), shell("hang", "sleep 100", 0.2), shell("fine", "true")});
  EXPECT_EQ(r.code, 5);
  EXPECT_EQ(last_lines(r.text, 1), "1 passed, 2 failed, 0 skipped");
  EXPECT_NE(r.text.find("signal 11"), std::string::npos) << r.text;
  EXPECT_NE(r.text.find("no end within"), std::string::npos) << r.text;
  EXPECT_NE(r.text.find("repeat: sh -c 'sleep 100'"), std::string::npos) << r.text;
}

TEST(RunSteps, RedGoesBeforeIncomplete) {
  EXPECT_EQ(run({shell("red", "exit 3"), shell("crash", "kill -9 $$")}).code, 1);
  EXPECT_EQ(run({}).code, 5) << "nothing ran";
}

// A pattern that no test has (it was renamed, say) would leave a slow test in the quick tier unseen.
TEST(TestTiers, EveryPatternNamesATest) {
  const auto matches = [](std::string pattern) {
    const bool open = pattern.back() == '*';
    if (open) pattern.pop_back();
    const testing::UnitTest& all = *testing::UnitTest::GetInstance();
    for (int i = 0; i < all.total_test_suite_count(); ++i)
      for (int j = 0; j < all.GetTestSuite(i)->total_test_count(); ++j) {
        const std::string name =
            std::string(all.GetTestSuite(i)->name()) + "." + all.GetTestSuite(i)->GetTestInfo(j)->name();
        if (open ? name.starts_with(pattern) : name == pattern) return true;
      }
    return false;
  };
  for (const char* pattern : kLintTests) EXPECT_TRUE(matches(pattern)) << pattern;
  for (const char* pattern : kSlowTests) EXPECT_TRUE(matches(pattern)) << pattern;
  EXPECT_FALSE(matches("NoSuchSuite.*"));
  EXPECT_FALSE(matches("TestTiers.EveryPattern"));
}

}  // namespace
}  // namespace greta::runners
