// The tiers on correct kernels: green, with figures that say something. Defects are in defects/.
#include "verify/tiers.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

#include "kernels/hip/error.hpp"
#include "kernels/hip/runtime.hpp"
#include "verify/defects/defects.hpp"
#include "verify/plan.hpp"

namespace greta::verify {
namespace {

using results::Verdict;

CheckResult run(const char* words) {
  const PlannedCase p = parse_repeat(operators(), words, 1);
  CaseRunner runner(*p.op, p.rung.name, p.row.problem, p.seed, ExpMode::kPortable);
  return runner.check(p.tiers.at(0));
}

TEST(Tiers, RmsNormIsGreenInEach) {
  for (const char* tier : {"E0", "E1", "B", "S", "I:repeat", "I:order", "I:wave", "I:poison", "I:workers",
                           "I:row_alone", "I:neighbours_nan"}) {
    const CheckResult r = run(fmt::format("rms_norm/v1 odd_width tier={} y=f16", tier).c_str());
    EXPECT_EQ(r.outcome.verdict, Verdict::kPass) << tier << ": " << r.outcome.reason << "\n" << r.detail;
    EXPECT_FALSE(r.config["kernels"].empty()) << tier;
    EXPECT_EQ(r.detail, "") << tier;
  }
}

TEST(Tiers, MeasuredValues) {
  const CheckResult b = run("rms_norm/v1 llama3_8b tier=B y=f16");
  EXPECT_GT(b.measured["worst_ratio"].get<double>(), 0.5);
  EXPECT_LE(b.measured["worst_ratio"].get<double>(), 1.0);
  EXPECT_EQ(b.measured["elements"].get<int64_t>(), 9 * 4096);
  const CheckResult s = run("rms_norm/v1 llama3_8b tier=S y=bf16");
  EXPECT_GT(s.measured["nmse"].get<double>(), 1e-7);
  EXPECT_LT(s.measured["nmse"].get<double>(), 0x1p-16);
}

TEST(Tiers, SkipsHaveReasons) {
  const CheckResult r = run("rms_norm/v1 tier=E0 n_rows=2 width=8 eps=1000");
  EXPECT_EQ(r.outcome.verdict, Verdict::kSkip);
  EXPECT_NE(r.outcome.reason.find("eps 1000"), std::string::npos);
}

/// Keeps the answer to the first call of each problem: equal to itself under every setting, and right the first time.
TEST(Tiers, KeptAnswersAreVacuous) {
  const PlannedCase planned = parse_repeat(operators(), "rms_norm/v1 odd_width y=f16", 1);
  std::map<std::string, std::vector<Output>> kept;
  const Defect defect{"kept", "", "the first answer is given for ever", {}, [&](const Call& call) {
                        auto launched = call.launch();
                        return kept.emplace(call.problem, std::move(launched)).first->second;
                      }};
  const Defective keeps(*planned.op, defect);
  CaseRunner runner(keeps, planned.rung.name, planned.row.problem, 1, ExpMode::kPortable);
  EXPECT_EQ(runner.check("E1").outcome.verdict, Verdict::kPass);
  for (const char* tier : {"I:repeat", "I:row_alone", "I:neighbours_nan", "I:order", "I:workers"}) {
    if (hip::platform_name() != "host" &&
        (tier == std::string_view("I:order") || tier == std::string_view("I:workers")))
      continue;
    const CheckResult r = runner.check(tier);
    EXPECT_EQ(r.outcome.verdict, Verdict::kVacuous) << tier << ": " << r.outcome.reason;
    EXPECT_NE(r.outcome.reason.find("could not have failed"), std::string::npos) << r.outcome.reason;
  }
}

TEST(Tiers, ControlsAreMeasured) {
  for (const char* tier : {"I:repeat", "I:streams", "I:poison", "I:row_alone"}) {
    const CheckResult r = run(fmt::format("rms_norm/v1 odd_width tier={} y=f16", tier).c_str());
    EXPECT_EQ(r.outcome.verdict, Verdict::kPass) << tier << ": " << r.outcome.reason;
    EXPECT_GT(r.measured.at("control_outside").get<int64_t>(), 100) << tier;
  }
  const CheckResult r = run("rms_norm/v1 odd_width tier=I:repeat y=f16");
  EXPECT_EQ(r.measured.at("digest"), run("rms_norm/v1 odd_width tier=I:repeat y=f16").measured.at("digest"));
  EXPECT_NE(r.measured.at("digest"), r.measured.at("digest_of_other_inputs"));
}

TEST(Tiers, SeedChangesTheData) {
  const Operator& op = find_operator("rms_norm");
  const std::string line = "n_rows=2 width=8 eps=1e-05 y=f16";
  EXPECT_EQ(data_seed(line, 1), data_seed(line, 1));
  EXPECT_NE(data_seed(line, 1), data_seed(line, 2));
  EXPECT_NE(data_seed(line, 1), data_seed("n_rows=3 width=8 eps=1e-05 y=f16", 1));
  EXPECT_EQ(op.draw(line, Inputs::kRandom, 5)["x"].bytes, op.draw(line, Inputs::kRandom, 5)["x"].bytes);
  EXPECT_NE(op.draw(line, Inputs::kRandom, 5)["x"].bytes, op.draw(line, Inputs::kRandom, 6)["x"].bytes);
}

TEST(Tiers, UnknownTierIsRefused) {
  CaseRunner runner(find_operator("rms_norm"), "v1", "n_rows=1 width=8", 1, ExpMode::kPortable);
  EXPECT_EQ(runner.check("I:row_alone").outcome.verdict, Verdict::kFail) << "one row has no other row";
}

}  // namespace
}  // namespace greta::verify
