// Every seeded defect through every tier: red exactly where it must be. And every tier has a defect that it catches.
#include "verify/defects/defects.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "kernels/hip/planted_faults.hpp"
#include "kernels/hip/runtime.hpp"
#include "verify/plan.hpp"
#include "verify/tiers.hpp"

namespace greta::verify {
namespace {

using results::Verdict;

std::vector<Defect> all_defects() {
  std::vector<Defect> out = defects();
  for (const Defect& defect : kernel_defects()) out.push_back(defect);
  return out;
}

bool is_red(const CheckResult& r) { return r.outcome.verdict != Verdict::kPass && r.outcome.verdict != Verdict::kSkip; }

/// Tiers of the case that are red on the operator.
std::vector<std::string> red_tiers(const Operator& op, const PlannedCase& planned) {
  std::vector<std::string> red;
  CaseRunner runner(op, planned.rung.name, planned.row.problem, planned.seed, ExpMode::kPortable);
  for (const std::string& tier : runner.tiers(true))
    if (is_red(runner.check(tier))) red.push_back(tier);
  return red;
}

/// Tiers that need the host executor.
bool host_only(const std::string& tier) { return tier == "I:order" || tier == "I:wave" || tier == "I:workers"; }

TEST(Defects, EachTurnsExactlyItsTiersRed) {
  for (const Defect& defect : all_defects()) {
    const PlannedCase planned = parse_repeat(operators(), defect.check, 1);
    EXPECT_EQ(red_tiers(*planned.op, planned), std::vector<std::string>{}) << defect.check << " without the defect";
    const Defective defective(*planned.op, defect);
    const std::vector<std::string> red = red_tiers(defective, planned);
    std::vector<std::string> want;
    for (const std::string& tier : defect.red)
      if (hip::platform_name() == "host" || !host_only(tier)) want.push_back(tier);
    EXPECT_EQ(red, want) << defect.name;
    fmt::print("  {:<28} {:<50} red: {}\n", defect.name, defect.what, fmt::join(red, " "));
  }
}

TEST(Defects, EveryTierHasADefectOfItsOwn) {
  // Tiers that some defect turns red, and tiers that are the only kind to see some defect.
  std::set<std::string> caught, only;
  for (const Defect& defect : all_defects()) {
    caught.insert(defect.red.begin(), defect.red.end());
    if (defect.red.size() == 1) only.insert(defect.red[0]);
  }
  for (const char* tier :
       {"E0", "E1", "B", "S", "I:repeat", "I:poison", "I:order", "I:wave", "I:workers", "I:streams", "I:padding",
        "I:row_alone", "I:neighbours_nan", "I:decode", "I:prefill", "I:query_alone", "I:chunks", "I:batch_position"})
    EXPECT_TRUE(caught.count(tier)) << tier;
  for (const char* tier : {"E1", "N", "I:repeat", "I:poison", "I:order", "I:wave", "I:workers", "I:streams",
                           "I:padding", "I:row_alone", "I:batch_position"})
    EXPECT_TRUE(only.count(tier)) << tier;
}

TEST(Defects, ReportsNameWhatIsWrong) {
  const auto report = [](const char* name, const char* tier) {
    for (const Defect& defect : all_defects())
      if (std::string_view(defect.name) == name) {
        const PlannedCase planned = parse_repeat(operators(), defect.check, 1);
        const Defective op(*planned.op, defect);
        CheckResult r = CaseRunner(op, planned.rung.name, planned.row.problem, 1, ExpMode::kPortable).check(tier);
        return r.outcome.reason + "\n" + r.detail;
      }
    return std::string("no such defect");
  };
  const auto expect = [&](const char* name, const char* tier, const char* text) {
    EXPECT_NE(report(name, tier).find(text), std::string::npos) << name << "\n" << report(name, tier);
  };
  expect("last_query_unwritten", "E1", "output element never written");
  expect("last_query_unwritten", "E1", "o[b=0,t=64,h=0,d=0]");
  expect("writes_past_the_row", "E0", "must stay");
  expect("swapped_heads", "E1", "t in 64..64 (1 of 65) h in 0..1 (2 of 2)");
  expect("no_kernel", "E1", "no kernel was launched");
  expect("missing_barrier", "I:order", "order=");
  expect("serial_sum_of_waves", "I:wave", "wave=32");
  expect("batch_dependent_order", "I:batch_position", "batch=3");
  expect("truncated_output", "S", "towards or away from zero");
  if (hip::platform_name() != "host") return;
  expect("reads_past_end", "E1", "the device faulted");
  expect("reads_past_end", "E1", "rms_norm.x");
  expect("reads_past_end", "E1", "defective_kernels.hip");
}

TEST(Defects, PlantedFaultsAreReportedByNameBufferAndSite) {
  hip::Stream stream("planted");
  int found = 0;
  for (const hip::PlantedFault& fault : hip::planted_faults()) {
    if (!hip::reason_to_skip(fault).empty()) continue;
    EXPECT_EQ(hip::check_planted_fault(fault, stream), "") << fault.name;
    ++found;
  }
  EXPECT_GT(found, 3);
}

}  // namespace
}  // namespace greta::verify
