// greta verify: every rung of every ladder, through every tier. Cases are GoogleTest tests registered at run time; the
// listener below prints one line a rung, and the whole story of each failure with the command that repeats it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <map>

#include "kernels/hip/error.hpp"
#include "results/store.hpp"
#include "runners/verbs.hpp"
#include "verify/plan.hpp"
#include "verify/tiers.hpp"

namespace greta::runners {
namespace {

using results::Outcome;
using results::Verdict;
using verify::PlannedCase;

struct Options {
  std::string filter, tier = "quick", repeat;
  bool list = false;
};

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

/// Counts of one rung, a column a tier.
struct RungTally {
  struct Column {
    int64_t run = 0, skipped = 0;
  };
  std::map<std::string, Column> tiers;
  std::vector<Outcome> outcomes;
  std::map<std::string, int64_t> skip_reasons;
  double worst_ratio = 0, seconds = 0;
  std::string arithmetic;
};

class Session {
 public:
  Session(const CommonFlags& flags, results::Store& store)
      : flags_(flags),
        store_(store),
        exp_(flags.exp.value_or(hip::platform_name() == "host" ? ExpMode::kPortable : ExpMode::kHardware)) {}

  /// One check, with its records. Infrastructure errors stop the run: what was planned and did not run is INCOMPLETE.
  void check(const PlannedCase& planned, const std::string& tier) {
    if (stopped_) return;
    if (&planned != runner_of_) {
      runner_.emplace(*planned.op, planned.rung.name, planned.row.problem, planned.seed, exp_);
      runner_of_ = &planned;
    }
    results::Record record = record_of(planned, tier);
    const auto id = store_.begin(record);
    const auto start = std::chrono::steady_clock::now();
    verify::CheckResult result;
    try {
      result = runner_->check(tier);
    } catch (const Error& error) {
      stopped_ = error;
      result.outcome = {Verdict::kIncomplete, error.what()};
    }
    record.outcome = result.outcome;
    if (!result.measured.is_null()) record.measured = result.measured;
    if (!result.config.is_null()) record.config = result.config;
    store_.end(id, record);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    note(planned, tier, result, seconds.count());
    if (result.outcome.verdict == Verdict::kSkip) GTEST_SKIP() << result.outcome.reason;
    if (result.outcome.verdict != Verdict::kPass) {
      print_red(planned, tier, result, record.repeat);
      ADD_FAILURE() << result.outcome.reason;
    }
  }

  void print_rung(const std::string& name) {
    const RungTally& tally = tallies_[name];
    std::string columns;
    for (const char* tier : {"E0", "E1", "B", "S", "I"}) {
      const auto at = tally.tiers.find(tier);
      if (at == tally.tiers.end()) continue;
      columns += fmt::format("  {} {}", tier, at->second.run);
      if (at->second.skipped) columns += fmt::format("+{}", at->second.skipped);
    }
    const results::Tally counts = results::tally(tally.outcomes);
    const bool red = results::exit_code(counts) != 0;
    fmt::print("{:<5} {:<26} {:<14}{:<46} worst {:.3f}  {:6.1f} s{}\n", red ? "RED" : "ok", name, tally.arithmetic,
               columns, tally.worst_ratio, tally.seconds, red ? "  " + results::summary_line(counts) : "");
    std::fflush(stdout);
    for (const auto& [reason, count] : tally.skip_reasons) skips_[reason] += count;
  }
  void print_skips() const {
    for (const auto& [reason, count] : skips_) fmt::print("skipped {:>4}: {}\n", count, reason);
  }
  const std::optional<Error>& stopped() const { return stopped_; }

 private:
  results::Record record_of(const PlannedCase& planned, const std::string& tier) const {
    results::Record r;
    r.kind = "verify";
    r.kernel = planned.op->name();
    r.rung = planned.rung.name;
    r.arithmetic = planned.rung.arithmetic;
    r.case_name = planned.row.name;
    r.problem = planned.row.problem;
    r.seed = planned.seed;
    r.tier = tier;
    r.repeat = fmt::format("./greta verify{} --repeat '{}'", flag_words(flags_), verify::title(planned, tier));
    return r;
  }

  void note(const PlannedCase& planned, const std::string& tier, const verify::CheckResult& result, double seconds) {
    RungTally& tally = tallies_[planned.op->name() + "/" + planned.rung.name];
    tally.arithmetic = planned.rung.arithmetic;
    tally.seconds += seconds;
    tally.outcomes.push_back(result.outcome);
    RungTally::Column& column = tally.tiers[tier.substr(0, tier.find(':'))];
    if (result.outcome.verdict == Verdict::kSkip) {
      ++column.skipped;
      ++tally.skip_reasons[fmt::format("{} {}: {}", planned.op->name(), tier, result.outcome.reason)];
    } else {
      ++column.run;
    }
    if (const auto ratio = result.measured.find("worst_ratio"); ratio != result.measured.end())
      tally.worst_ratio = std::max(tally.worst_ratio, ratio->get<double>());
  }

  static void print_red(const PlannedCase& planned, const std::string& tier, const verify::CheckResult& result,
                        const std::string& repeat) {
    fmt::print("{} {}: {}\n{}  problem: {}\n  repeat: {}\n", results::verdict_name(result.outcome.verdict),
               verify::title(planned, tier), result.outcome.reason, result.detail, planned.row.problem, repeat);
    std::fflush(stdout);
  }

  const CommonFlags& flags_;
  results::Store& store_;
  ExpMode exp_;
  std::optional<verify::CaseRunner> runner_;
  const PlannedCase* runner_of_ = nullptr;
  std::map<std::string, RungTally> tallies_;
  std::map<std::string, int64_t> skips_;
  std::optional<Error> stopped_;
};

class Check : public testing::Test {
 public:
  Check(Session& run, const PlannedCase& planned, std::string tier)
      : run_(run), planned_(planned), tier_(std::move(tier)) {}
  void TestBody() override { run_.check(planned_, tier_); }

 private:
  Session& run_;
  const PlannedCase& planned_;
  std::string tier_;
};

/// Replaces GoogleTest's printer.
class Listener : public testing::EmptyTestEventListener {
 public:
  explicit Listener(Session& run) : run_(run) {}
  void OnTestSuiteEnd(const testing::TestSuite& suite) override { run_.print_rung(suite.name()); }

 private:
  Session& run_;
};

int run_checks(const std::vector<PlannedCase>& planned, const CommonFlags& flags) {
  results::Store store(flags.json, environment_here(), flags.invocation);
  Session run(flags, store);
  int64_t checks = 0;
  for (const PlannedCase& p : planned) {
    checks += static_cast<int64_t>(p.tiers.size());
    for (const std::string& tier : p.tiers)
      testing::RegisterTest(fmt::format("{}/{}", p.op->name(), p.rung.name).c_str(), verify::title(p, tier).c_str(),
                            nullptr, nullptr, __FILE__, __LINE__, [&run, &p, tier] { return new Check(run, p, tier); });
  }
  store.plan(checks);

  // GoogleTest reads its own settings from the environment; none of them is to reach this program.
  int argc = 1;
  char program[] = "greta";
  char* argv[] = {program, nullptr};
  testing::InitGoogleTest(&argc, argv);
  GTEST_FLAG_SET(filter, "*");
  GTEST_FLAG_SET(repeat, 1);
  GTEST_FLAG_SET(shuffle, false);
  GTEST_FLAG_SET(fail_fast, false);
  GTEST_FLAG_SET(output, "");
  GTEST_FLAG_SET(list_tests, false);
  GTEST_FLAG_SET(catch_exceptions, false);
  testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
  delete listeners.Release(listeners.default_result_printer());
  listeners.Append(new Listener(run));
  const results::Environment& where = store.environment();
  fmt::print("greta verify: {} checks on {}, {}\n", checks, where.platform, where.device);
  fmt::print(
      "columns: checks run (+ skipped) in tiers E0 whole numbers, E1 bits of the twin, B bound (worst error / "
      "bound), S statistics, I invariance\n");
  const bool google_red = RUN_ALL_TESTS() != 0;
  run.print_skips();
  fmt::print("{}\n", results::summary_line(store.tally()));
  if (run.stopped()) throw Error(*run.stopped());
  const int code = store.exit_code();
  if (google_red != (code == kRed)) throw std::logic_error("GoogleTest and the records disagree about what is red");
  return code;
}

void list(const std::vector<PlannedCase>& planned) {
  std::string before;
  for (const PlannedCase& p : planned) {
    const std::string rung = fmt::format("{}/{}", p.op->name(), p.rung.name);
    if (rung != before) fmt::print("{} ({}): {}\n", rung, p.rung.arithmetic, p.rung.change);
    before = rung;
    fmt::print("  {:<22} {:<18} {:<60} {}\n{:>4}tiers {}\n", p.row.name, p.row.variant, p.row.problem, p.row.why, "",
               fmt::join(p.tiers, " "));
  }
}

int run_verify(const Options& options, const CommonFlags& flags) {
  std::vector<PlannedCase> planned;
  if (!options.repeat.empty()) {
    planned.push_back(verify::parse_repeat(verify::operators(), options.repeat, flags.seed));
  } else {
    planned = verify::plan(verify::operators(), {.filter = options.filter,
                                                 .tier = options.tier,
                                                 .seed = flags.seed,
                                                 .rungs = {flags.rungs.begin(), flags.rungs.end()}});
  }
  if (planned.empty())
    throw_invalid(fmt::format("verify: nothing is called '{}' in tier {}; greta verify --list shows what there is",
                              options.filter, options.tier));
  if (options.list) {
    list(planned);
    return kGreen;
  }
  return run_checks(planned, flags);
}

}  // namespace

void register_verify(CLI::App& app, CommonFlags& flags) {
  CLI::App* verb = app.add_subcommand("verify", "every rung of every kernel against its references");
  auto options = std::make_shared<Options>();
  verb->add_option("--filter", options->filter, "only checks whose title matches the regular expression (see --list)")
      ->type_name("RE");
  verb->add_option("--tier", options->tier, "quick, full, or tiers: E0,E1,B,S,I,I:NAME")->type_name("T");
  verb->add_option("--repeat", options->repeat, "run exactly this check, as a failure printed it, or a problem line")
      ->type_name("LINE");
  verb->add_flag("--list", options->list, "print what would run, and why each case exists");
  verb->callback([&flags, options] { flags.exit_code = run_verify(*options, flags); });
}

}  // namespace greta::runners
