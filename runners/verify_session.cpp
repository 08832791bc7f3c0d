#include "runners/verify_session.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "runners/child_process.hpp"

#include "verify/exec_knobs.hpp"

namespace greta::runners {
namespace {

using results::Outcome;
using results::Verdict;

/// Common flags that change what a check does, as words to repeat it with.
std::string flag_words(const CommonFlags& flags) {
  std::string out;
  if (flags.wave) out += fmt::format(" --wave {}", *flags.wave);
  if (flags.workers) out += fmt::format(" --workers {}", flags.workers);
  if (flags.exp) out += fmt::format(" --exp {}", *flags.exp == ExpMode::kHardware ? "hw" : "portable");
  if (flags.matrix_model) out += fmt::format(" --matrix-model {}", matrix_model_name(*flags.matrix_model));
  if (const auto model = verify::expected_matrix_model())
    out += fmt::format(" --expect-matrix-model {}", matrix_model_name(*model));
  return out;
}

/// A file for a child's records, gone with this.
class ScratchFile {
 public:
  ScratchFile() {
    std::string pattern = (std::filesystem::temp_directory_path() / "greta_process_XXXXXX").string();
    const int file = ::mkstemp(pattern.data());
    if (file < 0) throw Error(ErrorKind::kIo, fmt::format("no file like {}: {}", pattern, std::strerror(errno)));
    ::close(file);
    path_ = pattern;
  }
  ~ScratchFile() { ::unlink(path_.c_str()); }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// What tells a case apart in any process.
std::string words_of(const results::Record& r) {
  return fmt::format("{}/{} {} seed={}", r.kernel, r.rung, r.problem, r.seed);
}

std::string json_kernels(const results::Json& config) {
  std::string out;
  const auto kernels = config.find("kernels");
  if (kernels == config.end()) return out;
  for (const auto& row : *kernels) {
    const std::string name = row.at("kernel").get<std::string>();
    if (out.find(name) == std::string::npos) out += (out.empty() ? "" : ", ") + name;
  }
  return out;
}

}  // namespace

std::string suite_of(const results::Record& record) {
  return record.rung.empty() ? record.kernel : record.kernel + "/" + record.rung;
}

VerifySession::VerifySession(const CommonFlags& flags, results::Store& store, std::string defect)
    : flags_(flags),
      store_(store),
      defect_(std::move(defect)),
      exp_(flags.exp.value_or(hip::platform_name() == "host" ? ExpMode::kPortable : ExpMode::kHardware)) {}

std::string VerifySession::command(const std::string& words) const {
  return fmt::format("./greta verify{}{} --repeat '{}'", flag_words(flags_),
                     defect_.empty() ? "" : " --defect " + defect_, words);
}

Outcome VerifySession::check(const verify::PlannedCase& planned, const std::string& tier) {
  const std::string title = verify::title(planned, tier);
  results::Record record;
  record.kind = "verify";
  record.kernel = planned.op->name();
  record.rung = planned.rung.name;
  record.arithmetic = planned.rung.arithmetic;
  record.case_name = planned.row.name;
  record.problem = planned.row.problem;
  record.seed = planned.seed;
  record.tier = tier;
  record.repeat = command(title);
  return execute(std::move(record), title, [&] {
    if (&planned != runner_of_) {
      runner_.emplace(*planned.op, planned.rung.name, planned.row.problem, planned.seed, exp_);
      runner_of_ = &planned;
    }
    return runner_->check(tier);
  });
}

Outcome VerifySession::check(const hip::PlantedFault& fault) {
  const std::string title = fmt::format("{} {}", kPlantedFaults, fault.name);
  results::Record record;
  record.kind = "verify";
  record.kernel = kPlantedFaults;
  record.case_name = fault.name;
  record.tier = "X";
  record.repeat = command(title);
  return execute(std::move(record), title, [&] {
    verify::CheckResult result;
    if (const std::string reason = hip::reason_to_skip(fault); !reason.empty()) {
      result.outcome = {Verdict::kSkip, reason};
      return result;
    }
    hip::Stream stream("planted");
    const std::string wrong = hip::check_planted_fault(fault, stream);
    result.outcome = {wrong.empty() ? Verdict::kPass : Verdict::kFail,
                      wrong.empty() ? "" : fmt::format("planted fault ({}) not reported as it must be", fault.plant)};
    if (!wrong.empty()) result.detail = fmt::format("  {}\n", wrong);
    return result;
  });
}

Outcome VerifySession::check_matrix_tiles(DType dtype) {
  const std::string title = fmt::format("{} {}", kMatrixTiles, dtype_name(dtype));
  results::Record record;
  record.kind = "verify";
  record.kernel = kMatrixTiles;
  record.case_name = dtype_name(dtype);
  record.arithmetic = matrix_model_name(verify::matrix_model_in_use());
  record.seed = flags_.seed;
  record.tier = "C";
  record.repeat = command(title);
  return execute(std::move(record), title, [&] {
    if (!calibration_)
      calibration_ =
          verify::calibrate_matrix_model(verify::matrix_model_in_use(), verify::kCalibrationFull, flags_.seed);
    verify::CheckResult result;
    result.outcome = verify::judge_calibration(*calibration_, dtype);
    results::Json rows = results::Json::array();
    int64_t compared = 0, different = 0;
    for (const verify::CalibrationRow& row : calibration_->rows) {
      if (row.dtype != dtype) continue;
      compared += row.compared, different += row.different;
      rows.push_back({{"distribution", row.distribution},
                      {"compared", row.compared},
                      {"not_finite", row.not_finite},
                      {"different", row.different},
                      {"different_from_one_bit_less", row.different_short}});
      if (!row.not_judged.empty()) rows.back()["not_judged"] = row.not_judged;
    }
    result.measured = {{"elements", compared}, {"outside", different}, {"distributions", rows}};
    result.config = {{"model", matrix_model_name(calibration_->model)}, {"exec", verify::exec_as_json()}};
    return result;
  });
}

Outcome VerifySession::check_new_process(const std::string& suite, const std::string& filter) {
  const std::string title = fmt::format("{} {}", kNewProcess, suite);
  results::Record record;
  record.kind = "verify";
  record.kernel = kNewProcess;
  record.case_name = suite;
  record.seed = flags_.seed;
  record.tier = "I:process";
  record.repeat = fmt::format("./greta verify{} --seed {} --tier I:repeat,I:process --filter '^{} '",
                              flag_words(flags_), flags_.seed, suite);
  return execute(std::move(record), title, [&] {
    if (!elsewhere_) elsewhere_ = run_new_process(filter);
    verify::CheckResult result;
    result.outcome = {Verdict::kPass, {}};
    int64_t compared = 0, different = 0, told_apart = 0;
    for (const auto& [words, here] : digests_[suite]) {
      const auto there = elsewhere_->find(words);
      if (there == elsewhere_->end()) continue;
      ++compared;
      told_apart += here.first != here.second;
      if (there->second.first == here.first) continue;
      if (different++ == 0)
        result.outcome = {Verdict::kFail, fmt::format("a new process computes other bits: {}", words)};
      result.detail += fmt::format("  {}: digest {} here, {} there\n", words, here.first, there->second.first);
    }
    result.measured = {{"cases_compared", compared}, {"outside", different}, {"control_outside", told_apart}};
    if (compared == 0)
      result.outcome = {Verdict::kVacuous, "no case was run in both processes"};
    else if (told_apart == 0)
      result.outcome = {Verdict::kVacuous, "digests of other inputs are the same"};
    return result;
  });
}

VerifySession::Digests VerifySession::run_new_process(const std::string& filter) const {
  // The same checks as here, in the quick selection; the child plans no new process of its own.
  std::vector<std::string> argv = {program_path(), "verify", "--tier", "I:repeat",
                                   "--filter",     filter,   "--seed", std::to_string(flags_.seed)};
  for (const auto& [op, rung] : flags_.rungs) argv.insert(argv.end(), {"--rung", op + "=" + rung});
  if (flags_.wave) argv.insert(argv.end(), {"--wave", std::to_string(*flags_.wave)});
  if (flags_.workers) argv.insert(argv.end(), {"--workers", std::to_string(flags_.workers)});
  if (flags_.matrix_model)
    argv.insert(argv.end(), {"--matrix-model", std::string(matrix_model_name(*flags_.matrix_model))});
  if (const auto model = verify::expected_matrix_model())
    argv.insert(argv.end(), {"--expect-matrix-model", std::string(matrix_model_name(*model))});
  argv.insert(argv.end(), {"--exp", exp_ == ExpMode::kHardware ? "hw" : "portable"});
  const ScratchFile records;
  argv.insert(argv.end(), {"--json", records.path()});
  ChildCommand command;
  command.argv = argv, command.limit_s = 1800;
  const ChildResult child = run_child(command);
  if (!child.exited_with(kGreen) && !child.exited_with(kRed))
    throw Error(ErrorKind::kIo, fmt::format("the new process ended with {}: {}", child.how_it_ended(), child.err));
  Digests out;
  for (const results::StoredRun& run : results::read_records(records.path()).runs)
    for (const results::StoredCase& c : run.cases)
      if (c.record.measured.contains("digest"))
        out[words_of(c.record)] = {c.record.measured["digest"], c.record.measured["digest_of_other_inputs"]};
  return out;
}

Outcome VerifySession::execute(results::Record record, const std::string& title,
                               const std::function<verify::CheckResult()>& body) {
  if (stopped_) return {Verdict::kIncomplete, "not run"};
  const auto id = store_.begin(record);
  const auto start = std::chrono::steady_clock::now();
  verify::CheckResult result;
  try {
    result = body();
  } catch (const Error& error) {
    stopped_ = error;
    result.outcome = {Verdict::kIncomplete, error.what()};
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  record.outcome = result.outcome;
  if (!result.measured.is_null()) record.measured = result.measured;
  if (!result.config.is_null()) record.config = result.config;
  store_.end(id, record);
  if (record.measured.contains("digest"))
    digests_[suite_of(record)][words_of(record)] = {record.measured["digest"],
                                                    record.measured["digest_of_other_inputs"]};

  Suite& suite = suites_[suite_of(record)];
  suite.arithmetic = record.arithmetic;
  suite.seconds += seconds.count();
  suite.outcomes.push_back(result.outcome);
  Column& column = suite.tiers[record.tier.substr(0, record.tier.find(':'))];
  if (result.outcome.verdict == Verdict::kSkip) {
    ++column.skipped;
    ++suite.skip_reasons[fmt::format("{} {}: {}", record.kernel, record.tier, result.outcome.reason)];
  } else {
    ++column.run;
  }
  if (const auto ratio = result.measured.find("worst_ratio"); ratio != result.measured.end())
    suite.worst_ratio = std::max(suite.worst_ratio, ratio->get<double>());
  if (result.outcome.verdict != Verdict::kPass && result.outcome.verdict != Verdict::kSkip) {
    const std::string kernels = json_kernels(result.config);
    fmt::print("{} {}: {}\n{}", results::verdict_name(result.outcome.verdict), title, result.outcome.reason,
               result.detail);
    if (!record.problem.empty()) fmt::print("  problem: {}\n", record.problem);
    if (!kernels.empty()) fmt::print("  kernels: {}\n", kernels);
    fmt::print("  repeat: {}\n", record.repeat);
    std::fflush(stdout);
  }
  return result.outcome;
}

void VerifySession::print_suite(const std::string& name) {
  const Suite& suite = suites_[name];
  std::string columns;
  for (const char* tier : {"C", "E0", "E1", "N", "B", "S", "I", "X"}) {
    const auto at = suite.tiers.find(tier);
    if (at == suite.tiers.end()) continue;
    columns += fmt::format("  {} {}", tier, at->second.run);
    if (at->second.skipped) columns += fmt::format("+{}", at->second.skipped);
  }
  const results::Tally counts = results::tally(suite.outcomes);
  const bool red = results::exit_code(counts) != 0;
  const std::string worst = suite.tiers.count("B") ? fmt::format("worst {:.3f}", suite.worst_ratio) : "";
  fmt::print("{:<5} {:<26} {:<14}{:<46} {:<12} {:6.1f} s{}\n", red ? "RED" : "ok", name, suite.arithmetic, columns,
             worst, suite.seconds, red ? "  " + results::summary_line(counts) : "");
  std::fflush(stdout);
  for (const auto& [reason, count] : suite.skip_reasons) skips_[reason] += count;
}

void VerifySession::print_skips() const {
  for (const auto& [reason, count] : skips_) fmt::print("skipped {:>4}: {}\n", count, reason);
}

}  // namespace greta::runners
