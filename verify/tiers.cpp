#include "verify/tiers.hpp"

#include <fmt/format.h>

#include <cmath>

#include "kernels/hip/error.hpp"
#include "kernels/hip/fault.hpp"
#include "kernels/hip/runtime.hpp"
#include "reference/random.hpp"
#include "verify/check_result.hpp"
#include "verify/exec_knobs.hpp"
#include "verify/matrix_calibration.hpp"

namespace greta::verify {
namespace {

using results::Verdict;

/// 1 where a float is NaN, else 0; tensors of integers as they are.
Tensor nan_flags(const Tensor& t) {
  if (!is_float(t.dtype)) return t;
  Tensor flags(t.name, DType::kU8, t.dims);
  for (int64_t i = 0; i < t.count(); ++i) flags.bytes[static_cast<size_t>(i)] = is_nan(t.dtype, t.bits(i));
  return flags;
}

Ceilings ceilings_for(DType type, int64_t elements) {
  const double u = reference::unit_roundoff(type);
  const double nmse = u * u + 1e-10;
  const bool narrow = type != DType::kF32;
  return {.nmse = nmse,
          .worst_row_nmse = 4 * nmse,
          .p99_ulp = narrow ? 1.0 : std::numeric_limits<double>::infinity(),
          .one_minus_cos = nmse,
          .bias = narrow && elements >= 1024 ? 0.05 + 6 / std::sqrt(static_cast<double>(elements)) : 0};
}

}  // namespace

uint64_t data_seed(const std::string& problem, uint64_t seed) {
  uint64_t hash = 0xcbf29ce484222325ull;  // FNV-1a
  for (const char c : problem) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return reference::substream(seed, hash);
}

bool tier_wanted(std::string_view wanted, std::string_view tier) {
  if (wanted.empty()) return true;
  while (true) {
    const std::string_view item = wanted.substr(0, wanted.find(','));
    if (item == tier || item == tier.substr(0, tier.find(':'))) return true;
    if (item.size() == wanted.size()) return false;
    wanted.remove_prefix(item.size() + 1);
  }
}

CaseRunner::CaseRunner(const Operator& op, const std::string& rung, const std::string& problem, uint64_t seed,
                       ExpMode exp)
    : op_(op), rung_(op.rung(rung)), problem_(op.normalise(problem)), seed_(data_seed(problem_, seed)), exp_(exp) {}

std::vector<std::string> CaseRunner::tiers(bool invariance) const {
  std::vector<std::string> out = {"E0", "E1", "B", "S"};
  if (!invariance) return out;
  out.insert(out.begin() + 2, "N");
  for (const char* knob : {"repeat", "poison", "order", "wave", "workers", "streams"})
    out.push_back(fmt::format("I:{}", knob));
  for (const std::string& name : op_.relation_names(problem_)) out.push_back("I:" + name);
  return out;
}

CheckResult CaseRunner::check(const std::string& tier) {
  launched_ = results::Json::array();
  CheckResult r;
  try {
    r = dispatch(tier);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kDeviceFault && error.kind() != ErrorKind::kInvalidArgument) throw;
    const bool fault = error.kind() == ErrorKind::kDeviceFault;
    r = make(Verdict::kFail, fault ? "the device faulted" : "the launch was refused",
             fmt::format("  {}\n", error.what()));
    // The host executor is whole again after a fault: it costs this check, not those that follow.
    if (fault && hip::platform_name() == "host") hip::reset_sticky_fault_for_tests();
  }
  if (r.outcome.verdict == Verdict::kPass && launched_.empty())
    r.outcome = {Verdict::kVacuous, "no kernel was launched"};
  r.config = {{"kernels", launched_}, {"exec", exec_as_json()}};
  return r;
}

CheckResult CaseRunner::dispatch(const std::string& tier) {
  if (const std::string reason = op_.refuses(rung_.name, problem_); !reason.empty()) return skip(reason);
  if (tier == "E0") return exact_integers();
  if (tier == "E1") return exact_twin();
  if (tier == "N") return nan_reaches();
  if (tier == "B") return bounded();
  if (tier == "S") return statistical();
  if (tier.rfind("I:", 0) == 0) {
    const std::string which = tier.substr(2);
    if (which == "repeat") return repeated();
    if (which == "streams") return on_two_streams();
    if (is_exec_knob(which)) return invariance(which);
    for (const std::string& name : op_.relation_names(problem_))
      if (name == which) return related(which);
  }
  throw_invalid(
      fmt::format("{}: no tier '{}' for {}; tiers: {}", op_.name(), tier, problem_, fmt::join(tiers(true), ", ")));
}

const Data& CaseRunner::random() {
  if (!random_) random_ = op_.draw(problem_, Inputs::kRandom, seed_);
  return *random_;
}

std::vector<Output> CaseRunner::launch(const Data& data, ExpMode exp) {
  const hip::LaunchLog log;
  std::vector<Output> out = op_.run(rung_.name, problem_, data, {.exp = exp});
  for (auto& row : launches_of(log)) launched_.push_back(std::move(row));
  return out;
}

const std::vector<Output>& CaseRunner::outputs(ExpMode exp) {
  auto& kept = exp == ExpMode::kPortable ? portable_ : hardware_;
  auto& kept_launches = exp == ExpMode::kPortable ? portable_launched_ : hardware_launched_;
  if (!kept) {
    kept = launch(random(), exp);
    kept_launches = launched_;
  } else if (launched_.empty()) {
    launched_ = kept_launches;
  }
  return *kept;
}

CheckResult CaseRunner::exact_integers() {
  const Data data = op_.draw(problem_, Inputs::kInteger, seed_);
  if (!data.no_exact.empty()) return skip(data.no_exact);
  return compare_all(launch(data, exp_), data.exact);
}

CheckResult CaseRunner::exact_twin() {
  // A twin of another machine predicts other bits: a difference would say nothing about the kernel. Tier C is red then.
  if (on_matrix_machine(rung_.arithmetic))
    if (const Calibration& here = matrix_calibration_here(); here.state == Calibration::State::kRefuted)
      return skip(fmt::format("the matrix model {} is refuted on this device: no bits to compare with (tier C)",
                              matrix_model_name(here.model)));
  const std::vector<Output>& got = outputs(ExpMode::kPortable);
  return compare_all(got, op_.twin(problem_, rung_.arithmetic, random()));
}

CheckResult CaseRunner::nan_reaches() {
  Data data = random();
  if (!op_.plant_nans(problem_, rung_.arithmetic, data, seed_ + 1))
    return skip("no floating-point input to put a NaN into");
  std::vector<Tensor> want = op_.twin(problem_, rung_.arithmetic, data);
  std::vector<Output> got = launch(data, ExpMode::kPortable);
  for (size_t i = 0; i < got.size(); ++i) {
    want.at(i) = nan_flags(want[i]);
    got[i].got = nan_flags(got[i].got);
    got[i].around.before = nan_flags(got[i].around.before);
    got[i].around.poisoned = false;
  }
  CheckResult r = compare_all(got, want);
  // All outputs alike is what a NaN in a small problem leads to.
  if (r.outcome.verdict == Verdict::kMistrusted) r.outcome = {Verdict::kPass, {}};
  return r;
}

CheckResult CaseRunner::bounded() {
  const std::vector<Output>& got = outputs(exp_);
  const auto oracle = op_.oracle(problem_, rung_.arithmetic, exp_, random());
  CheckResult all = green();
  double worst = 0;
  int64_t elements = 0, outside = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const Comparison c = compare_bound(got[i].got, oracle.at(i), got[i].around, op_.rounds(problem_));
    worst = std::max(worst, c.worst_ratio), elements += c.elements, outside += c.outside;
    join(all, make(c.outcome.verdict, c.outcome.reason, c.detail));
  }
  all.measured["elements"] = elements;
  all.measured["outside"] = outside;
  all.measured["worst_ratio"] = worst;
  return all;
}

CheckResult CaseRunner::statistical() {
  if (const std::string reason = op_.no_statistics(problem_); !reason.empty()) return skip(reason);
  const std::vector<Output>& got = outputs(exp_);
  const auto oracle = op_.oracle(problem_, rung_.arithmetic, exp_, random());
  CheckResult all = green();
  for (size_t i = 0; i < got.size(); ++i) {
    const Statistics s = statistics(got[i].got, oracle.at(i), got[i].around.written);
    Ceilings ceilings = ceilings_for(got[i].got.dtype, s.elements);
    // Weights rounded to 16 bits leave an error of about u times a typical output, in every output: one in a hundred is
    // so small, by cancellation, that it is tens of its own ulps (of a few hundred outputs that is the worst three, and
    // no measure of anything). The mean square above is held to u^2 all the same.
    if (rung_.arithmetic == "online_mma")
      ceilings.p99_ulp = s.elements >= 1024 ? 32 : std::numeric_limits<double>::infinity();
    if (const std::string text = exceeded(s, ceilings); !text.empty())
      join(all, make(Verdict::kFail, fmt::format("{}: {}", got[i].got.name, text),
                     fmt::format("  {}: {}\n", got[i].got.name, text)));
    if (i > 0) continue;
    all.measured["elements"] = s.elements;
    all.measured["nmse"] = s.nmse;
    all.measured["worst_row_nmse"] = s.worst_row_nmse;
    all.measured["p99_ulp"] = s.p99_ulp;
    all.measured["max_ulp"] = s.max_ulp;
    all.measured["one_minus_cos"] = s.one_minus_cos;
    all.measured["bias"] = s.bias;
    all.measured["bias_to_zero"] = s.bias_to_zero;
  }
  return all;
}

}  // namespace greta::verify
