// greta verify: every rung of every ladder, through every tier. Checks are GoogleTest tests registered at run time; the
// session prints one line a rung, and the whole story of each failure with the command that repeats it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <regex>
#include <stdexcept>
#include <utility>

#include "runners/command_line.hpp"
#include "runners/verify_session.hpp"
#include "verify/defects/defects.hpp"

namespace greta::runners {
namespace {

using results::Outcome;
using results::Verdict;
using verify::PlannedCase;

struct Options {
  std::string filter, tier = "quick", repeat, defect;
  bool list = false, list_defects = false;
};

/// What a run does, in order.
struct Checks {
  std::vector<PlannedCase> cases;
  std::vector<DType> matrix_tiles;
  std::vector<std::string> new_process;  ///< suites of which a new process repeats the launches
  std::string filter;
  std::vector<const hip::PlantedFault*> faults;
  std::unique_ptr<verify::Defective> defective;  ///< the operator of the only case, wrong on purpose
};

/// A check as GoogleTest runs it.
class Test : public testing::Test {
 public:
  explicit Test(std::function<Outcome()> body) : body_(std::move(body)) {}
  void TestBody() override {
    const Outcome outcome = body_();
    if (outcome.verdict == Verdict::kSkip) GTEST_SKIP() << outcome.reason;
    if (outcome.verdict != Verdict::kPass) ADD_FAILURE() << outcome.reason;
  }

 private:
  std::function<Outcome()> body_;
};

/// Replaces GoogleTest's printer.
class Listener : public testing::EmptyTestEventListener {
 public:
  explicit Listener(VerifySession& session) : session_(session) {}
  void OnTestSuiteEnd(const testing::TestSuite& suite) override { session_.print_suite(suite.name()); }

 private:
  VerifySession& session_;
};

/// GoogleTest reads settings from the environment; none of them is to reach this program.
void prepare_google_test(VerifySession& session) {
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
  listeners.Append(new Listener(session));
}

void register_check(const std::string& suite, const std::string& title, std::function<Outcome()> body) {
  testing::RegisterTest(suite.c_str(), title.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                        [body = std::move(body)] { return new Test(body); });
}

int run_checks(const Checks& checks, const std::string& defect, const CommonFlags& flags) {
  results::Store store(flags.json, environment_here(), flags.invocation);
  VerifySession session(flags, store, defect);
  int64_t count = 0;
  for (const PlannedCase& p : checks.cases)
    for (const std::string& tier : p.tiers) {
      ++count;
      register_check(fmt::format("{}/{}", p.op->name(), p.rung.name), verify::title(p, tier),
                     [&session, &p, tier] { return session.check(p, tier); });
    }
  for (const std::string& suite : checks.new_process) {
    ++count;
    register_check(kNewProcess, suite,
                   [&session, &checks, suite] { return session.check_new_process(suite, checks.filter); });
  }
  for (const DType dtype : checks.matrix_tiles) {
    ++count;
    register_check(kMatrixTiles, std::string(dtype_name(dtype)),
                   [&session, dtype] { return session.check_matrix_tiles(dtype); });
  }
  for (const hip::PlantedFault* fault : checks.faults) {
    ++count;
    register_check(kPlantedFaults, fault->name, [&session, fault] { return session.check(*fault); });
  }
  store.plan(count);
  prepare_google_test(session);

  const results::Environment& where = store.environment();
  fmt::print("greta verify: {} checks on {}, {}\n", count, where.platform, where.device);
  fmt::print(
      "columns: checks run (+ skipped) by tier: C matrix instructions, E0 whole numbers, E1 bits of the twin, N reach "
      "of NaN, B bound (worst "
      "error / "
      "bound), S statistics, I invariance, X faults found\n");
  const bool google_red = RUN_ALL_TESTS() != 0;
  session.print_skips();
  fmt::print("{}\n", results::summary_line(store.tally()));
  if (session.stopped()) throw Error(*session.stopped());
  const int code = store.exit_code();
  if (google_red != (code == kRed)) throw std::logic_error("GoogleTest and the records disagree about what is red");
  return code;
}

void list(const Checks& checks) {
  std::string before;
  for (const PlannedCase& p : checks.cases) {
    const std::string rung = fmt::format("{}/{}", p.op->name(), p.rung.name);
    if (rung != before) fmt::print("{} ({}): {}\n", rung, p.rung.arithmetic, p.rung.change);
    before = rung;
    fmt::print("  {:<22} {:<18} {:<60} {}\n{:>4}tiers {}\n", p.row.name, p.row.variant, p.row.problem, p.row.why, "",
               fmt::join(p.tiers, " "));
  }
  for (const std::string& suite : checks.new_process) fmt::print("{} {}\n", kNewProcess, suite);
  for (const DType dtype : checks.matrix_tiles)
    fmt::print("{} {}: one instruction a tile against the model {}, {} outputs a distribution\n", kMatrixTiles,
               dtype_name(dtype), matrix_model_name(verify::matrix_model_in_use()), verify::kCalibrationFull);
  for (const hip::PlantedFault* fault : checks.faults)
    fmt::print("{} {}: {}\n", kPlantedFaults, fault->name, fault->plant);
}

const hip::PlantedFault& fault_named(const std::string& name) {
  std::string known;
  for (const hip::PlantedFault& fault : hip::planted_faults()) {
    if (fault.name == name) return fault;
    known += (known.empty() ? "" : ", ") + std::string(fault.name);
  }
  throw_invalid(fmt::format("no planted fault '{}'; there are: {}", name, known));
}

std::regex filter_from(const std::string& text) {
  try {
    return std::regex(text);
  } catch (const std::regex_error& error) {
    throw_invalid(fmt::format("--filter '{}': {}", text, error.what()));
  }
}

DType tile_type_named(const std::string& name) {
  for (const DType dtype : kMatrixTileTypes)
    if (dtype_name(dtype) == name) return dtype;
  throw_invalid(fmt::format("{} '{}': there are f16, bf16 and i8", kMatrixTiles, name));
}

const verify::Defect& defect_named(const std::string& name) {
  std::string known;
  for (const verify::Defect& defect : verify::defects()) {
    if (defect.name == name) return defect;
    known += (known.empty() ? "" : ", ") + std::string(defect.name);
  }
  throw_invalid(fmt::format("--defect '{}': defects: {}", name, known));
}

Checks repeated(const std::string& words, uint64_t seed) {
  Checks checks;
  const std::string prefix = std::string(kPlantedFaults) + " ", tiles = std::string(kMatrixTiles) + " ";
  if (words.rfind(prefix, 0) == 0)
    checks.faults.push_back(&fault_named(words.substr(prefix.size())));
  else if (words.rfind(tiles, 0) == 0)
    checks.matrix_tiles.push_back(tile_type_named(words.substr(tiles.size())));
  else
    checks.cases.push_back(verify::parse_repeat(verify::operators(), words, seed));
  return checks;
}

Checks planned(const Options& options, const CommonFlags& flags) {
  Checks checks;
  const bool all = options.tier == "quick" || options.tier == "full";
  const std::regex filter = filter_from(options.filter);
  if (options.tier != "X" && options.tier != "C")
    checks.cases = verify::plan(verify::operators(), {.filter = options.filter,
                                                      .tier = options.tier,
                                                      .seed = flags.seed,
                                                      .rungs = {flags.rungs.begin(), flags.rungs.end()}});
  checks.filter = options.filter;
  if (all || verify::tier_wanted(options.tier, "I:process"))
    for (const PlannedCase& p : checks.cases) {
      if (p.row.full || std::find(p.tiers.begin(), p.tiers.end(), "I:repeat") == p.tiers.end()) continue;
      const std::string suite = fmt::format("{}/{}", p.op->name(), p.rung.name);
      if (checks.new_process.empty() || checks.new_process.back() != suite) checks.new_process.push_back(suite);
    }
  if ((all && flags.rungs.empty()) || verify::tier_wanted(options.tier, "X")) {
    for (const hip::PlantedFault& fault : hip::planted_faults())
      if (std::regex_search(fmt::format("{} {}", kPlantedFaults, fault.name), filter)) checks.faults.push_back(&fault);
  }
  if ((all && flags.rungs.empty()) || verify::tier_wanted(options.tier, "C")) {
    for (const DType dtype : kMatrixTileTypes)
      if (std::regex_search(fmt::format("{} {}", kMatrixTiles, dtype_name(dtype)), filter))
        checks.matrix_tiles.push_back(dtype);
  }
  if (checks.cases.empty() && checks.faults.empty() && checks.matrix_tiles.empty())
    throw_invalid(fmt::format("verify: nothing is called '{}' in tier {}; greta verify --list shows what there is",
                              options.filter, options.tier));
  return checks;
}

int run_verify(const Options& options, const CommonFlags& flags) {
  if (options.list_defects) {
    for (const verify::Defect& defect : verify::defects()) fmt::print("{}\n", defect.name);
    return kGreen;
  }
  Checks checks;
  if (!options.defect.empty()) {
    const verify::Defect& defect = defect_named(options.defect);
    checks = repeated(options.repeat.empty() ? defect.check : options.repeat, flags.seed);
    if (checks.cases.empty() ||
        checks.cases[0].op->name() != verify::parse_repeat(verify::operators(), defect.check, 1).op->name())
      throw_invalid(fmt::format("--defect {}: it is one of {}", options.defect, defect.check));
    checks.defective = std::make_unique<verify::Defective>(*checks.cases[0].op, defect);
    checks.cases[0].op = checks.defective.get();
    fmt::print("seeded defect {}: {}\n", defect.name, defect.what);
  } else {
    checks = options.repeat.empty() ? planned(options, flags) : repeated(options.repeat, flags.seed);
  }
  if (options.list) {
    list(checks);
    return kGreen;
  }
  return run_checks(checks, options.defect, flags);
}

}  // namespace

void register_verify(Command app, CommonFlags& flags) {
  const Command verb = app.subcommand("verify", "every rung of every kernel against its references");
  auto options = std::make_shared<Options>();
  verb.option("--filter", options->filter, "only checks whose title matches the regular expression (see --list)")
      .type_name("RE");
  verb.option("--tier", options->tier, "quick, full, or tiers: C,E0,E1,N,B,S,I,I:NAME,X").type_name("T");
  verb.option("--repeat", options->repeat, "run exactly this check, as a failure printed it, or a problem line")
      .type_name("LINE");
  verb.flag("--list", options->list, "print what would run, and why each case exists");
  verb.option("--defect", options->defect, "run a case with a mistake seeded around its kernel: must end red")
      .type_name("NAME");
  verb.flag("--list-defects", options->list_defects, "seeded mistakes, one name a line");
  verb.callback([&flags, options] { flags.exit_code = run_verify(*options, flags); });
}

}  // namespace greta::runners
