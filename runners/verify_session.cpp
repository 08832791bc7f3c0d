#include "runners/verify_session.hpp"

#include <fmt/format.h>

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
  using Model = hip::ExecConfig::MatrixModel;
  if (flags.matrix_model)
    out += fmt::format(" --matrix-model {}", *flags.matrix_model == Model::kCdna3    ? "cdna3"
                                             : *flags.matrix_model == Model::kHopper ? "hopper"
                                                                                     : "fmaf");
  return out;
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
  for (const char* tier : {"E0", "E1", "N", "B", "S", "I", "X"}) {
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
