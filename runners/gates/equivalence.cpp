#include "runners/gates/equivalence.hpp"

#include <fmt/format.h>
#include <Eigen/Core>

#include <algorithm>

#include "model/engine_rounding.hpp"

namespace greta::runners {
namespace {

using results::Json;
using results::Verdict;
using Kind = SideSpec::Kind;

std::vector<float> to_floats(const reference::RowMatrix& m) { return {m.data(), m.data() + m.size()}; }

Json metrics(const LogitsDiff& d) {
  return {{"max_abs_diff", d.max_abs_diff()},     {"p99_abs_diff", d.p99_abs_diff()},
          {"top1_agreement", d.top1_agreement()}, {"kl", d.kl()},
          {"relative", d.max_relative()},         {"relative_rms", d.rms_relative()}};
}

std::string describe_position(const LogitsDiff& d, int64_t position, std::span<const int32_t> ids, const char* left,
                              const char* right) {
  const PositionDiff& p = d.at(position);
  return fmt::format(
      "position {} (token id {}): max |diff| {:.9g} at vocabulary id {}: {} {:.9g}, {} {:.9g}; relative {:.3g}{}",
      position, ids[static_cast<size_t>(position)], p.max_abs, p.worst_id, left, p.worst_a, right, p.worst_b,
      p.relative, p.nan ? "; NaN or infinity among the logits" : "");
}

void check_defect(const GateRequest& r) {
  if (r.defect == model::Defect::kNone) return;
  const auto& info = model::defect_info(r.defect);
  const auto refuse = [&](const char* side, const SideSpec& spec, const char* why) {
    throw_invalid(fmt::format("--defect {} on side {} ({}): {}", info.name, side, spec.text(), why));
  };
  if (info.caught_by != "gate")
    throw_invalid(
        fmt::format("--defect {}: no two paths of one gate can show it; `greta {}` does", info.name, info.caught_by));
  const auto check = [&](const char* name, const SideSpec& spec) {
    if (spec.kind == Kind::kReference) refuse(name, spec, "the reference takes no defects; choose the other side");
    const bool aligned = r.defect == model::Defect::kKvAlignedIgnored || r.defect == model::Defect::kAlignedRowShifted;
    if (aligned && !r.kv_aligned) refuse(name, spec, "no row is aligned; add --kv-aligned 1");
    if (r.defect == model::Defect::kBatchKvLengths && spec.kind != Kind::kBatch)
      refuse(name, spec, "there is no batch; put it on a batch:N side");
    if (r.defect == model::Defect::kReadoutRowBefore && (spec.has_decode_passes() || r.span == 0))
      refuse(name, spec, "every pass makes logits from its first row on; put it on a prefill side and add --span N");
  };
  const bool on_a = r.defect_side != DefectSide::kB, on_b = r.defect_side != DefectSide::kA;
  if (on_a) check("a", r.a);
  if (on_b) check("b", r.b);
  // A defect of decode alone must meet a decode side, or the run would show nothing.
  if (info.decode_only && !(on_a && r.a.has_decode_passes()) && !(on_b && r.b.has_decode_passes()))
    throw_invalid(
        fmt::format("--defect {} changes decode passes only, and the sides it is put on have none; put it on a "
                    "decode or batch:N side",
                    info.name));
}

class Gate {
 public:
  explicit Gate(const GateRequest& request) : r_(request) {}

  GateResult run() {
    check_defect(r_);
    const auto n = static_cast<int64_t>(r_.ids.size());
    const model::LlamaConfig config = model::read_config(*r_.file);
    if (n < 1) throw_invalid("gate: no tokens to feed");
    if (n > config.context_length)
      throw_invalid(fmt::format("gate: {} tokens are more than the model's context of {}; shorten the input", n,
                                config.context_length));
    if (r_.span < 0 || r_.span > n) throw_invalid(fmt::format("--span {}: the input has {} tokens", r_.span, n));
    if (r_.a.kind == Kind::kReference && r_.b.kind == Kind::kReference)
      throw_invalid("gate: both sides are the reference; at least one must be a path of the engine");
    first_ = r_.span ? n - r_.span : 0;
    vocab_ = config.vocab_size;

    run_references(config);
    hip::Stream stream("upload");
    std::shared_ptr<const model::Weights> sound, damaged;
    const auto side = [&](const SideSpec& spec, bool defective, SideRun& out) {
      if (spec.kind == Kind::kReference) {
        out.side = spec, out.logits = reference_;
        return;
      }
      model::EngineOptions options = r_.options;
      options.defect = defective ? r_.defect : model::Defect::kNone;
      const bool loader = model::load_fault_of(options.defect).damage != model::WeightDamage::kNone;
      auto& weights = loader ? damaged : sound;
      if (!weights) weights = model::load_weights(*r_.file, stream, options.defect);
      out = run_side(weights, options, {spec, r_.ids, first_, r_.kv_aligned, r_.seed});
    };
    side(r_.a, r_.defect != model::Defect::kNone && r_.defect_side != DefectSide::kB, result_.a);
    side(r_.b, r_.defect != model::Defect::kNone && r_.defect_side != DefectSide::kA, result_.b);
    compare();
    decide();
    write(config);
    return std::move(result_);
  }

 private:
  void run_references(const model::LlamaConfig& config) {
    const auto exact = model::reference_logits(*r_.file, config, r_.ids, first_);
    const auto rounded = model::reference_logits(*r_.file, config, r_.ids, first_,
                                                 model::EngineRounding{r_.options.kv, r_.options.activations});
    reference_ = to_floats(exact), twin_ = to_floats(rounded);
    const LogitsDiff formats = compare_logits(twin_, reference_, vocab_, first_);
    result_.noise = formats.max_relative(), result_.noise_rms = formats.rms_relative();
    result_.bound = std::max(kBoundFactor * result_.noise, kBoundFloor);
    result_.bound_rms =
        std::max(rms_factor(static_cast<double>(formats.positions.size())) * result_.noise_rms, kBoundFloor);
    formats_ = formats;
  }

  void compare() {
    const bool a_is_reference = r_.a.kind == Kind::kReference, b_is_reference = r_.b.kind == Kind::kReference;
    if (!a_is_reference) result_.reference_a = compare_logits(result_.a.logits, reference_, vocab_, first_);
    if (!b_is_reference) result_.reference_b = compare_logits(result_.b.logits, reference_, vocab_, first_);
    if (!a_is_reference && !b_is_reference)
      result_.between = compare_logits(result_.a.logits, result_.b.logits, vocab_, first_);
  }

  void fail(const std::string& what, int64_t position, const LogitsDiff& diff, const char* left, const char* right) {
    if (result_.first_bad_position && *result_.first_bad_position <= position && !failures_.empty()) {
      failures_ += "; " + what;
    } else {
      result_.first_bad_position = position;
      failures_ = what + (failures_.empty() ? "" : "; " + failures_);
    }
    failures_ += " at " + describe_position(diff, position, r_.ids, left, right);
  }

  void against_reference(const char* name, const LogitsDiff& d) {
    if (const auto bad = d.first_above(result_.bound)) {
      fail(fmt::format("{} is further from the reference than {:.3g}", name, result_.bound), *bad, d, name,
           "reference");
    } else if (!(d.rms_relative() <= result_.bound_rms)) {
      // No single position stands out: name the one that is worst for its own noise.
      size_t worst = 0;
      const auto excess = [&](size_t i) {
        return d.positions[i].relative / std::max(formats_.positions[i].relative, kBoundFloor);
      };
      for (size_t i = 1; i < d.positions.size(); ++i)
        if (excess(i) > excess(worst)) worst = i;
      fail(fmt::format("{} is further from the reference over all positions ({:.4g}) than {:.4g}, most for its place",
                       name, d.rms_relative(), result_.bound_rms),
           first_ + static_cast<int64_t>(worst), d, name, "reference");
    }
  }

  void decide() {
    const bool kernel_sides = result_.between.has_value();
    const bool one_arithmetic = kernel_sides && result_.a.attention_arithmetic == result_.b.attention_arithmetic;
    if (kernel_sides) {
      const LogitsDiff& d = *result_.between;
      if (const auto bad = one_arithmetic ? d.first_unequal() : d.first_above(result_.bound))
        fail(one_arithmetic ? "a and b differ in bits"
                            : fmt::format("a and b differ by more than {:.3g}", result_.bound),
             *bad, d, "a", "b");
    }
    if (result_.reference_a) against_reference("a", *result_.reference_a);
    if (result_.reference_b) against_reference("b", *result_.reference_b);
    if (!failures_.empty()) {
      result_.outcome = {Verdict::kFail, failures_};
      return;
    }
    if (logits_are_trivial(result_.a.logits, vocab_) || logits_are_trivial(result_.b.logits, vocab_)) {
      result_.outcome = {Verdict::kMistrusted, "every row of logits is constant: nothing was compared"};
      return;
    }
    if (kernel_sides && same_launches(result_.a, result_.b)) {
      result_.outcome = {Verdict::kVacuous,
                         fmt::format("{} and {} launched the same kernels with the same grids and M: one program "
                                     "was compared with itself",
                                     r_.a.text(), r_.b.text())};
      return;
    }
    for (const SideRun* run : {&result_.a, &result_.b})
      if (run->side.kind != Kind::kReference)
        if (const auto why = alignment_ignored(*run, r_.kv_aligned)) {
          result_.outcome = {Verdict::kVacuous, *why};
          return;
        }
    result_.outcome = {Verdict::kPass, ""};
  }

  void write(const model::LlamaConfig& config) {
    Json& m = result_.measured;
    // Path against path where there are two; else the one path against the reference.
    const LogitsDiff& main = result_.between       ? *result_.between
                             : result_.reference_a ? *result_.reference_a
                                                   : *result_.reference_b;
    m = metrics(main);
    m["positions"] = static_cast<int64_t>(main.positions.size());
    if (result_.first_bad_position) m["first_bad_position"] = *result_.first_bad_position;
    Json reference = Json::object();
    const auto worse = [](const auto& a, const auto& b) -> const LogitsDiff& {
      if (!a) return *b;
      return !b || a->max_relative() >= b->max_relative() ? *a : *b;
    };
    reference = metrics(worse(result_.reference_a, result_.reference_b));
    reference["bound"] = result_.bound, reference["bound_rms"] = result_.bound_rms, reference["noise"] = result_.noise,
    reference["noise_rms"] = result_.noise_rms;
    if (result_.reference_a) reference["a"] = metrics(*result_.reference_a);
    if (result_.reference_b) reference["b"] = metrics(*result_.reference_b);
    // How close the engine comes to the reference that rounds where it does: a figure for people, not a verdict.
    for (const auto& [key, run] : {std::pair{"a", &result_.a}, std::pair{"b", &result_.b}})
      if (run->side.kind != Kind::kReference)
        reference["rounded"][key] = compare_logits(run->logits, twin_, vocab_, first_).max_relative();
    m["reference"] = std::move(reference);

    const hip::ExecConfig& exec = hip::exec_config();
    Json& c = result_.config;
    c = {{"model", r_.file->path()},
         {"tokens", r_.ids.size()},
         {"first_position", first_},
         {"kv_dtype", dtype_name(r_.options.kv)},
         {"activation_dtype", dtype_name(r_.options.activations)},
         {"kv_aligned", r_.kv_aligned},
         {"exp", r_.options.exp == ExpMode::kPortable ? "portable" : "hw"},
         {"wave", hip::device_info().wave_size},
         {"workers", exec.workers},
         {"n_layers", config.n_layers},
         {"dim", config.dim},
         {"n_heads", config.n_heads},
         {"n_kv_heads", config.n_kv_heads},
         {"head_dim", config.head_dim},
         {"ffn_dim", config.ffn_dim},
         {"vocab", config.vocab_size},
         {"rope_theta", config.rope_freq_base},
         {"rms_eps", config.rms_eps},
         {"defect", model::defect_info(r_.defect).name},
         {"a", result_.a.config()},
         {"b", result_.b.config()}};
    if (r_.defect != model::Defect::kNone)
      c["defect_side"] = r_.defect_side == DefectSide::kA ? "a" : r_.defect_side == DefectSide::kB ? "b" : "both";
  }

  const GateRequest& r_;
  GateResult result_;
  std::vector<float> reference_, twin_;
  LogitsDiff formats_;  ///< the rounding reference against the exact one
  std::string failures_;
  int64_t first_ = 0, vocab_ = 0;
};

}  // namespace

GateResult run_equivalence_gate(const GateRequest& request) { return Gate(request).run(); }

}  // namespace greta::runners
