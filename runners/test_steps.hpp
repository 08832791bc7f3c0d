// Steps of `greta test`: each is a child process with a time limit and an expectation, so that a crash or a hang costs
// one step and the run ends INCOMPLETE rather than not at all.
#pragma once

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "results/store.hpp"
#include "runners/child_process.hpp"

namespace greta::runners {

/// What a step found: one outcome, and how many single checks stand behind it.
struct StepReport {
  results::Outcome outcome;
  int64_t passed = 0, failed = 0, skipped = 0, incomplete = 0;  ///< checks
  std::vector<std::string> notes;                               ///< "skipped NAME: reason", "failed NAME"
  std::string summary;                                          ///< a few words for the step's line
};

struct Step {
  std::string name;
  std::vector<std::string> argv;
  double limit_s = 60;
  std::function<StepReport(const ChildResult&)> judge;
  std::string skip_reason;  ///< not empty: the step is not run, and this is why
};

/// Judges a GoogleTest binary by what it printed. A test that began and did not end is named; tests that were announced
/// and never began are incomplete; no test at all is incomplete; an exit code that contradicts the lines is a failure.
StepReport judge_google_test(const ChildResult& result);

/// Judges a command by exit code and, where not empty, by a piece of text its stdout or stderr must hold.
std::function<StepReport(const ChildResult&)> expect_exit(int code, std::string text = "");

/// Judges a verb by its exit code and by the records it wrote to `path` (its --json). Each case of the last run counts
/// as a check; exit code and records must tell the same, and a file without cases is incomplete.
std::function<StepReport(const ChildResult&)> expect_green_records(std::string path);
/// The same for a run that must end red: exit 1, the last case with that verdict and with `text` in its reason. A check
/// that stays green on a planted defect is the failure.
std::function<StepReport(const ChildResult&)> expect_red_record(std::string path, results::Verdict verdict,
                                                                std::string text = "");

/// Runs the steps in order, prints one line each and the notes after them, records each, and closes with the line
/// "N passed, N failed, N skipped" (checks; incomplete ones count as failed there). Returns the exit code: 1 when a
/// step is red, 5 when none is red and one is incomplete.
int run_steps(const std::vector<Step>& steps, results::Store& store, std::FILE* out);

}  // namespace greta::runners
