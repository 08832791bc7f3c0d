#include "runners/test_steps.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <optional>
#include <regex>
#include <sstream>

#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

using results::Outcome;
using results::Verdict;

StepReport single(Verdict verdict, std::string reason, std::string summary) {
  StepReport report;
  report.outcome = {verdict, std::move(reason)};
  report.summary = std::move(summary);
  report.passed = verdict == Verdict::kPass;
  report.skipped = verdict == Verdict::kSkip;
  report.incomplete = verdict == Verdict::kIncomplete;
  report.failed = !report.passed && !report.skipped && !report.incomplete;
  return report;
}

std::string tail_of(const ChildResult& result) {
  std::string text = last_lines(result.err, 12);
  if (text.empty()) text = last_lines(result.out, 12);
  return text.empty() ? "(no output)" : text;
}

/// The first statement of a reason, short enough for a step's line.
std::string headline(const std::string& reason) {
  std::string text = reason.substr(0, reason.find_first_of(";\n"));
  if (text.size() > 100) text = text.substr(0, 97) + "...";
  return text;
}

bool broke_off(const ChildResult& result) { return result.signal != 0 || result.timed_out; }

/// Lines of GoogleTest's output, read in order.
struct GoogleTestLog {
  int64_t planned = -1, passed = 0;
  std::vector<std::string> failed, skipped;
  std::string running;  ///< began, not ended
  std::string text;     ///< of the running test: failure or skip messages
  std::vector<std::string> failure_texts;

  void read(const std::string& out) {
    static const std::regex plan(R"(\[=+\] Running (\d+) tests? from .*)");
    static const std::regex status(R"(\[ *(RUN|OK|FAILED|SKIPPED) *\] ([^ ,]+)(,.*)?( \(\d+ ms\))?)");
    std::istringstream in(out);
    std::string line;
    std::smatch m;
    while (std::getline(in, line)) {
      if (std::regex_match(line, m, plan)) {
        planned = std::stoll(m[1]);
      } else if (std::regex_match(line, m, status) && (m[1] == "RUN" || m[2] == running)) {
        begin_or_end(m[1], m[2]);
      } else if (!running.empty()) {
        text += line + "\n";
      }
    }
  }

 private:
  void begin_or_end(const std::string& word, const std::string& name) {
    if (word == "OK") ++passed;
    if (word == "FAILED") failed.push_back(name), failure_texts.push_back(text);
    if (word == "SKIPPED") skipped.push_back(fmt::format("{}: {}", name, skip_reason()));
    running = word == "RUN" ? name : "";
    text.clear();
  }
  /// GoogleTest prints "file:line: Skipped" and the reason below it.
  std::string skip_reason() const {
    const size_t mark = text.find("Skipped\n");
    std::string reason = mark == std::string::npos ? "" : text.substr(mark + 8);
    while (!reason.empty() && reason.back() == '\n') reason.pop_back();
    for (char& c : reason)
      if (c == '\n') c = ' ';
    return reason;
  }
};

void print_report(const Step& step, const StepReport& report, double seconds, std::FILE* out) {
  fmt::print(out, "{:<38} {:<10} {:>7.1f} s  {}\n", step.name, verdict_name(report.outcome.verdict), seconds,
             report.summary);
  if (report.outcome.verdict != Verdict::kPass && report.outcome.verdict != Verdict::kSkip) {
    std::istringstream lines(report.outcome.reason);
    for (std::string line; std::getline(lines, line);) fmt::print(out, "    {}\n", line);
    if (!step.argv.empty()) fmt::print(out, "    repeat: {}\n", shell_line(step.argv));
  }
  std::fflush(out);
}

results::Record record_of(const Step& step) {
  results::Record record;
  record.kind = "test";
  record.case_name = step.name;
  record.repeat = shell_line(step.argv);
  return record;
}

StepReport run_step(const Step& step, double& seconds) {
  if (!step.skip_reason.empty()) return single(Verdict::kSkip, step.skip_reason, step.skip_reason);
  const ChildResult result = run_child({.argv = step.argv,
                                        .limit_s = step.limit_s,
                                        .folder = {},
                                        .environment = {},
                                        .file_size_limit = {},
                                        .output_limit = 16 << 20});
  seconds = result.seconds;
  return step.judge(result);
}

}  // namespace

StepReport judge_google_test(const ChildResult& result) {
  if (!result.error.empty()) return single(Verdict::kFail, result.how_it_ended(), "must exist");
  GoogleTestLog log;
  log.read(result.out);
  StepReport report;
  report.passed = log.passed;
  report.failed = static_cast<int64_t>(log.failed.size());
  report.skipped = static_cast<int64_t>(log.skipped.size());
  report.incomplete = std::max<int64_t>(0, log.planned - report.passed - report.failed - report.skipped);
  report.summary = fmt::format("{} tests", report.passed + report.failed);
  for (const std::string& skip : log.skipped) {
    const bool silent = skip.size() >= 2 && skip.compare(skip.size() - 2, 2, ": ") == 0;
    report.notes.push_back("skipped " + skip + (silent ? "NO REASON GIVEN" : ""));
    if (silent) --report.skipped, ++report.failed, log.failed.push_back(skip + "skipped without a reason");
  }
  for (const std::string& name : log.failed) report.notes.push_back("failed " + name);

  if (!log.failed.empty()) {
    std::string texts;
    for (const std::string& text : log.failure_texts) texts += text;
    report.outcome = {Verdict::kFail,
                      fmt::format("failed: {}\n{}", fmt::join(log.failed, ", "), last_lines(texts, 40))};
  } else if (broke_off(result) || log.planned <= 0 || report.incomplete > 0) {
    report.incomplete = std::max<int64_t>(report.incomplete, 1);
    const std::string where = log.running.empty() ? "" : " in " + log.running;
    report.outcome = {Verdict::kIncomplete,
                      fmt::format("{}{}; {} of {} tests ended\n{}", result.how_it_ended(), where,
                                  report.passed + report.skipped, std::max<int64_t>(log.planned, 0), tail_of(result))};
  } else if (result.exit_code != 0) {
    report.failed = 1;
    report.outcome = {Verdict::kFail, fmt::format("no test failed, but the program ended with exit {}\n{}",
                                                  result.exit_code, tail_of(result))};
  } else {
    report.outcome = {Verdict::kPass, ""};
  }
  return report;
}

std::function<StepReport(const ChildResult&)> expect_exit(int code, std::string text) {
  return [code, text = std::move(text)](const ChildResult& result) {
    if (!result.error.empty()) return single(Verdict::kFail, result.how_it_ended(), "must exist");
    if (broke_off(result))
      return single(Verdict::kIncomplete, fmt::format("{}\n{}", result.how_it_ended(), tail_of(result)),
                    result.how_it_ended());
    const std::string summary = fmt::format("exit {}", result.exit_code);
    if (result.exit_code != code)
      return single(Verdict::kFail, fmt::format("exit {}, wanted {}\n{}", result.exit_code, code, tail_of(result)),
                    summary);
    if (result.out.find(text) == std::string::npos && result.err.find(text) == std::string::npos)
      return single(Verdict::kFail, fmt::format("output lacks '{}'\n{}", text, tail_of(result)), summary);
    return single(Verdict::kPass, "", summary);
  };
}

namespace {

/// The last run of a file of records, or the report that says why there is none to judge.
std::optional<StepReport> last_run(const ChildResult& result, const std::string& path, results::StoredRun& run) {
  if (!result.error.empty()) return single(Verdict::kFail, result.how_it_ended(), "must exist");
  results::StoredFile file;
  try {
    file = results::read_records(path);
  } catch (const std::exception& error) {
    return single(Verdict::kIncomplete, fmt::format("{}: {}\n{}", result.how_it_ended(), error.what(), tail_of(result)),
                  "no records");
  }
  if (!file.bad_lines.empty()) return single(Verdict::kFail, "bad record: " + file.bad_lines.front(), "bad records");
  if (file.runs.empty() || file.runs.back().cases.empty())
    return single(Verdict::kIncomplete,
                  fmt::format("{}; no case was recorded\n{}", result.how_it_ended(), tail_of(result)), "no records");
  run = std::move(file.runs.back());
  return std::nullopt;
}

}  // namespace

std::function<StepReport(const ChildResult&)> expect_green_records(std::string path) {
  return [path = std::move(path)](const ChildResult& result) {
    results::StoredRun run;
    if (const auto early = last_run(result, path, run)) return *early;
    const results::Tally counts = results::tally(run.outcomes());
    StepReport report;
    report.passed = counts.passed, report.skipped = counts.skipped, report.incomplete = counts.incomplete;
    report.failed = counts.red();
    report.summary = results::summary_line(counts);
    std::map<std::string, int> skips;
    for (const results::StoredCase& c : run.cases)
      if (c.record.outcome.verdict == Verdict::kSkip) ++skips[c.record.outcome.reason];
    for (const auto& [reason, count] : skips) report.notes.push_back(fmt::format("skipped {}: {}", count, reason));

    const int told = results::exit_code(counts);
    if (broke_off(result) || told == kUnfinished) {
      report.incomplete = std::max<int64_t>(report.incomplete, 1);
      report.outcome = {Verdict::kIncomplete, fmt::format("{}\n{}", result.how_it_ended(), tail_of(result))};
    } else if (result.exit_code != told) {
      report.failed = std::max<int64_t>(report.failed, 1);
      report.outcome = {Verdict::kFail, fmt::format("exit {}, but the records say {} ({})\n{}", result.exit_code, told,
                                                    report.summary, tail_of(result))};
    } else {
      report.outcome = {told == kGreen ? Verdict::kPass : Verdict::kFail,
                        told == kGreen ? "" : last_lines(result.out, 40)};
    }
    return report;
  };
}

std::function<StepReport(const ChildResult&)> expect_red_record(std::string path, Verdict verdict, std::string text) {
  return [path = std::move(path), verdict, text = std::move(text)](const ChildResult& result) {
    results::StoredRun run;
    if (const auto early = last_run(result, path, run)) return *early;
    if (broke_off(result)) return single(Verdict::kIncomplete, result.how_it_ended(), result.how_it_ended());
    const Outcome& last = run.cases.back().record.outcome;
    const std::string summary = fmt::format("{}: {}", verdict_name(last.verdict), headline(last.reason));
    const std::string wanted = fmt::format("wanted exit 1 and {}", verdict_name(verdict));
    if (result.exit_code != kRed || last.verdict != verdict)
      return single(Verdict::kFail, fmt::format("exit {}, {}; {}", result.exit_code, summary, wanted),
                    "not red as it must be");
    if (last.reason.find(text) == std::string::npos)
      return single(Verdict::kFail, fmt::format("{}; the reason lacks '{}'", summary, text), "red for another reason");
    return single(Verdict::kPass, "", summary);
  };
}

int run_steps(const std::vector<Step>& steps, results::Store& store, std::FILE* out) {
  StepReport sum;
  std::vector<std::string> notes;
  store.plan(static_cast<int64_t>(steps.size()));
  for (const Step& step : steps) {
    results::Record record = record_of(step);
    const auto id = store.begin(record);
    double seconds = 0;
    const StepReport report = run_step(step, seconds);
    print_report(step, report, seconds, out);
    for (const std::string& note : report.notes) notes.push_back(step.name + ": " + note);
    if (!step.skip_reason.empty()) notes.push_back("skipped " + step.name + ": " + step.skip_reason);
    sum.passed += report.passed, sum.failed += report.failed;
    sum.skipped += report.skipped, sum.incomplete += report.incomplete;

    record.outcome = report.outcome;
    record.measured = {{"checks_passed", report.passed},
                       {"checks_failed", report.failed},
                       {"checks_skipped", report.skipped},
                       {"checks_incomplete", report.incomplete},
                       {"notes", report.notes}};
    store.end(id, record);
  }
  fmt::print(out, "\n");
  for (const std::string& note : notes) fmt::print(out, "{}\n", note);
  if (sum.incomplete) fmt::print(out, "{} incomplete (planned and not finished; counted as failed)\n", sum.incomplete);
  fmt::print(out, "{} passed, {} failed, {} skipped\n", sum.passed, sum.failed + sum.incomplete, sum.skipped);
  std::fflush(out);
  return store.exit_code();
}

}  // namespace greta::runners
