// Tier I: what must not change a bit, each with a control that must. A comparison that would have been green on another
// draw of inputs, or a setting that had no effect on the machine, is VACUOUS.
#include <fmt/format.h>

#include <cstring>
#include <exception>
#include <thread>

#include "kernels/hip/error.hpp"
#include "kernels/probes/probes.hpp"
#include "reference/random.hpp"
#include "verify/check_result.hpp"
#include "verify/exec_knobs.hpp"

namespace greta::verify {
namespace {

using results::Verdict;

/// Fewer elements may agree by chance, or by what the problem is.
constexpr int64_t kEnoughForControl = 16;

int64_t elements_of(const std::vector<Output>& outputs) {
  int64_t n = 0;
  for (const Output& o : outputs) n += o.got.count();
  return n;
}

/// Which threads ran first, and on what waves, on one CPU thread, so that only the order of the configuration shows.
std::vector<int32_t> probe(hip::ExecConfig config) {
  config.workers = 1;
  const ScopedExecConfig scope(config);
  hip::Stream stream("probe");
  return probe_schedule(stream);
}

/// Why a setting of the host platform cannot have been tested; empty when the machine felt it.
std::string no_effect(const std::string& which, const ExecKnob& knob, const std::vector<Output>& before,
                      const std::vector<Output>& after) {
  if (which == "order" && probe(hip::exec_config()) == probe(knob.config))
    return fmt::format("{}: workgroups and threads ran in the same order", knob.name);
  if (which == "wave" && probe(hip::exec_config()).back() == probe(knob.config).back())
    return fmt::format("{}: waves are as wide as before", knob.name);
  if (which == "poison") {
    bool poisoned = false;
    for (size_t i = 0; i < before.size(); ++i) {
      if (!before[i].around.poisoned) continue;
      poisoned = true;
      if (before[i].around.before.bytes != after[i].around.before.bytes) return {};
    }
    if (poisoned) return fmt::format("{}: outputs held the same poison", knob.name);
  }
  return {};
}

/// Elements of the first launch that another computation gives in another place.
Comparison compare_piece(const std::vector<Output>& first, const std::vector<Output>& second,
                         const Relation::Piece& piece) {
  // Wanted: the other computation, put in the place of the first one's elements, so that reports name those.
  const Tensor& got = first.at(piece.output).got;
  Tensor want = got;
  Surroundings around{got, false, std::vector<uint8_t>(static_cast<size_t>(got.count()), 0)};
  const auto size = static_cast<size_t>(got.element_bytes());
  std::memcpy(want.bytes.data() + static_cast<size_t>(piece.here) * size,
              second.at(piece.output).got.bytes.data() + static_cast<size_t>(piece.there) * size,
              static_cast<size_t>(piece.count) * size);
  std::fill_n(around.written.begin() + piece.here, piece.count, uint8_t{1});
  return compare_bits(got, want, around);
}

}  // namespace

const std::vector<Output>& CaseRunner::other_outputs() {
  if (!other_) {
    const hip::LaunchLog unlisted;
    other_ = op_.run(rung_.name, problem_, other_random(), {.exp = exp_});
  }
  return *other_;
}

const Data& CaseRunner::other_random() {
  if (!other_random_) other_random_ = op_.draw(problem_, Inputs::kRandom, reference::substream(seed_, 0x5eed));
  return *other_random_;
}

void CaseRunner::need_difference(CheckResult& r) {
  if (r.outcome.verdict != Verdict::kPass || elements_of(outputs(exp_)) < kEnoughForControl) return;
  const CheckResult control = compare_launches(outputs(exp_), other_outputs(), "other inputs");
  r.measured["control_outside"] = control.measured.value("outside", int64_t{0});
  if (control.outcome.verdict == Verdict::kPass)
    r.outcome = {Verdict::kVacuous, "other inputs give the same bits: the comparison could not have failed"};
}

CheckResult CaseRunner::repeated() {
  const std::vector<Output>& first = outputs(exp_);
  CheckResult all = compare_launches(first, launch(random(), exp_), "the same launch again");
  {
    hip::Stream stream("unrelated");
    (void)probe_schedule(stream);
  }
  (void)other_outputs();
  join(all, compare_launches(first, launch(random(), exp_), "the same launch after unrelated ones"));
  need_difference(all);
  all.measured["digest"] = digest(first);
  all.measured["digest_of_other_inputs"] = digest(other_outputs());
  return all;
}

CheckResult CaseRunner::on_two_streams() {
  const std::vector<Output>& first = outputs(exp_);
  const std::vector<Output>& second = other_outputs();
  hip::ExecConfig config = hip::exec_config();
  config.checked = false;  // a checked launch waits, and nothing would overlap
  const ScopedExecConfig scope(config);
  std::vector<Output> got[2];
  std::exception_ptr failed[2];
  const auto run = [&](int i) {
    try {
      got[i] = op_.run(rung_.name, problem_, i ? other_random() : random(), {.exp = exp_});
    } catch (...) {
      failed[i] = std::current_exception();
    }
  };
  const hip::LaunchLog log;
  {
    std::thread other(run, 1);
    run(0);
    other.join();
  }
  for (auto& row : launches_of(log)) launched_.push_back(std::move(row));
  for (const std::exception_ptr& error : failed)
    if (error) std::rethrow_exception(error);
  CheckResult all = compare_launches(first, got[0], "beside another stream");
  join(all, compare_launches(second, got[1], "other inputs, on the other stream"));
  need_difference(all);
  return all;
}

CheckResult CaseRunner::invariance(const std::string& which) {
  const std::vector<ExecKnob> settings = exec_knobs(which, seed_);
  if (settings.empty()) return skip(fmt::format("{} has no such setting", hip::platform_name()));
  const std::vector<Output>& first = outputs(exp_);
  CheckResult all = green();
  results::Json names = results::Json::array();
  for (const ExecKnob& knob : settings) {
    std::vector<Output> second;
    {
      const ScopedExecConfig scope(knob.config);
      second = launch(random(), exp_);
    }
    CheckResult r = compare_launches(first, second, knob.name);
    std::string name = knob.name;
    if (which == "wave" && r.outcome.verdict == Verdict::kFail && agree_with_wide_sums(knob)) {
      r = green();
      name += " matrix_tiles=hopper";
    }
    if (r.outcome.verdict == Verdict::kPass)
      if (const std::string why = no_effect(which, knob, first, second); !why.empty()) r = make(Verdict::kVacuous, why);
    if (all.measured.empty()) all.measured = r.measured;
    names.push_back(name);
    join(all, std::move(r));
  }
  all.measured["settings"] = names;
  need_difference(all);
  return all;
}

/// Waves of 32 lanes may hold the 16 terms of a matrix tile in another order (as sm_90 does): under a machine that sums
/// 16 at once the order means nothing, under one that sums 8 it does. Nothing but f16 and bf16 tiles knows the machine,
/// so agreement here leaves no other cause for a difference.
bool CaseRunner::agree_with_wide_sums(const ExecKnob& knob) {
  hip::ExecConfig here = hip::exec_config(), there = knob.config;
  if (here.matrix_model == MatrixModel::kHopper) return false;
  here.matrix_model = there.matrix_model = MatrixModel::kHopper;
  std::vector<Output> a, b;
  {
    const ScopedExecConfig scope(here);
    a = launch(random(), exp_);
  }
  const ScopedExecConfig scope(there);
  b = launch(random(), exp_);
  return compare_launches(a, b, knob.name).outcome.verdict == Verdict::kPass;
}

CheckResult CaseRunner::related(const std::string& which) {
  const std::vector<Output>& first = outputs(exp_);
  const Relation relation = op_.relation(which, problem_, rung_.arithmetic, random(), seed_);
  CheckResult all = green();
  int64_t elements = 0;
  const auto run_step = [&](const Relation::Step& step, std::string& rung) {
    const Operator& other = step.other ? *step.other : op_;
    const bool same_rung = !step.other && op_.refuses(rung_.name, step.problem).empty();
    rung = same_rung ? rung_.name : other.rung_for(rung_.arithmetic, step.problem).name;
    return other.run(rung, step.problem, step.data, {.exp = exp_});
  };
  for (const Relation::Step& step : relation.steps) {
    const hip::LaunchLog log;
    std::string rung;
    const std::vector<Output> second = run_step(step, rung);
    for (auto& row : launches_of(log)) launched_.push_back(std::move(row));
    for (const Relation::Piece& piece : step.pieces) {
      const Comparison c = compare_piece(first, second, piece);
      elements += c.elements;
      if (c.outcome.verdict == Verdict::kFail)
        join(all, make(Verdict::kFail, fmt::format("{}: {}", which, c.outcome.reason),
                       fmt::format("  {} (want: {}/{} {})\n{}", which, step.other ? step.other->name() : op_.name(),
                                   rung, step.problem, c.detail)));
    }
  }
  all.measured["elements"] = elements;
  all.measured["launches"] = relation.steps.size();
  if (elements == 0) all.outcome = {Verdict::kVacuous, which + " compared nothing"};
  if (all.outcome.verdict != Verdict::kPass) return all;

  // The control: the same comparison with the other computation fed another draw of inputs.
  const Relation wrong = op_.relation(which, problem_, rung_.arithmetic, other_random(), seed_);
  int64_t compared = 0, outside = 0;
  for (const Relation::Step& step : wrong.steps) {
    std::string rung;
    const std::vector<Output> second = run_step(step, rung);
    for (const Relation::Piece& piece : step.pieces) {
      const Comparison c = compare_piece(first, second, piece);
      compared += c.elements, outside += c.outside;
    }
    if (outside) break;
  }
  all.measured["control_outside"] = outside;
  if (outside == 0 && compared >= kEnoughForControl)
    all.outcome = {Verdict::kVacuous,
                   which + ": other inputs give the same bits: the comparison could not have failed"};
  return all;
}

}  // namespace greta::verify
