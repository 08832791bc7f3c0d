// The tiers, applied to one operator, rung and problem.
//
//   E0           whole-number inputs whose answer is exact in any order: bit-equal. Finds wrong indices, masks,
//                strides.
//   E1           bit-equal to the order-faithful twin of the rung's arithmetic id, with the portable exp2.
//   N            a NaN in each floating-point input: it must reach exactly the outputs that the twin's NaN reaches.
//   B            within the bound of the double oracle; the worst ratio error / bound is measured.
//   S            statistics over the whole output; ceilings below.
//   I:repeat     the same launch again, at once and after others   I:poison   buffers poisoned with other values
//   I:streams    beside a launch on another stream                 I:workers  one worker and two (host)
//   I:order      workgroups and threads in reverse and random order (host)
//   I:wave       waves of 32 and 64 lanes (host; f16 and bf16 matrix tiles may sum in another order: invariance.cpp)
//   I:<relation> another computation of the same numbers: a row alone, other chunks, decode (Operator::relation_names)
//   I:process    a new process (runners/verify_session.cpp)
//
// Each check of I has a control: with other inputs the same comparison must be red, and a setting must have reached the
// machine; else the check is VACUOUS. (Fewer than 16 elements may agree by chance and have no control.)
//
// Ceilings of S, u = unit roundoff of the output's type: rounding alone gives |err| <= u |want|, so NMSE <= u^2; sums
// that cancel add the arithmetic's own error, at most 1e-10 for the orders here (f32 sums of up to 2^14 terms). A row
// may be small against its summands: 4 times that. p99 of ulp at most 1 for 16-bit outputs (not judged for f32, where
// cancellation makes it large). Bias is judged for 16-bit outputs of at least 1024 elements, where the final rounding
// dominates: 0.05 + 6 / sqrt(n), six standard deviations of a mean of n unbiased roundings.
#pragma once

#include <optional>

#include "verify/operator.hpp"

namespace greta::verify {

struct CheckResult {
  results::Outcome outcome;
  results::Json measured = results::Json::object();
  results::Json config = results::Json::object();  ///< kernels as launched, exec configuration
  std::string detail;                              ///< failure report for people
};

/// Checks one case on one rung. Inputs, answers and the launches that several tiers judge are made once and kept.
class CaseRunner {
 public:
  /// `exp`: the exp2 of tiers B, S and I; E1 is always portable.
  CaseRunner(const Operator& op, const std::string& rung, const std::string& problem, uint64_t seed, ExpMode exp);

  /// Every tier that applies to the problem, in order; `invariance`: with tier I.
  std::vector<std::string> tiers(bool invariance) const;

  /// Runs the tier. Device faults and refusals of the launch are FAIL with their text; other errors (no memory, no
  /// device) are thrown. Throws kInvalidArgument for a tier that is not among tiers(true).
  CheckResult check(const std::string& tier);

 private:
  CheckResult dispatch(const std::string& tier);
  CheckResult exact_integers();
  CheckResult exact_twin();
  CheckResult nan_reaches();
  CheckResult bounded();
  CheckResult statistical();
  CheckResult repeated();
  CheckResult on_two_streams();
  CheckResult invariance(const std::string& which);
  bool agree_with_wide_sums(const struct ExecKnob& knob);
  CheckResult related(const std::string& which);
  /// Controls of tier I: the same launch on another draw of inputs, which must give other bits.
  void need_difference(CheckResult& r);
  const Data& other_random();
  const std::vector<Output>& other_outputs();
  const Data& random();
  const std::vector<Output>& outputs(ExpMode exp);
  std::vector<Output> launch(const Data& data, ExpMode exp);

  const Operator& op_;
  RungInfo rung_;
  std::string problem_;
  uint64_t seed_;
  ExpMode exp_;
  std::optional<Data> random_, other_random_;
  std::optional<std::vector<Output>> portable_, hardware_, other_;
  results::Json launched_ = results::Json::array();  ///< of the launches since the last check began
  results::Json portable_launched_, hardware_launched_;
};

/// The inputs of a case depend on its problem and the seed given by the user, and on nothing else.
uint64_t data_seed(const std::string& problem, uint64_t seed);

/// True when the tier is asked for: `wanted` is "E1", "I" (all of I) or "I:wave"; a list separated by commas; empty:
/// all.
bool tier_wanted(std::string_view wanted, std::string_view tier);

}  // namespace greta::verify
