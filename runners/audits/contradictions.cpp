#include "runners/audits/contradictions.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "bench/roofline.hpp"
#include "runners/audits/audits.hpp"
#include "runners/audits/complexity.hpp"
#include "runners/audits/probe.hpp"
#include "runners/audits/stages.hpp"
#include "runners/command_line.hpp"

namespace greta::runners {
namespace {

using results::Outcome;
using results::Verdict;

struct Watched {
  SideRun run;
  std::vector<double> read;  ///< rows that the output matrix saw, [positions, dim]
};

class Audit {
 public:
  explicit Audit(const ContradictionRequest& r) : r_(r) {
    hip::Stream stream("upload");
    weights_ = model::load_weights(*r.file, stream, r.options.defect);
  }

  Watched watched(const SideSpec& side, const char* planting) const {
    model::EngineOptions options = r_.options;
    if (planting) options.planting = model::planting_from_text(planting);
    std::vector<std::vector<float>> rows(r_.ids.size());
    SideRequest request{side, r_.ids, 0, false, r_.seed};
    request.watch = [&](model::Llama& engine, int64_t place) {
      engine.set_stage_sink([&, place](const model::StageEvent& event) {
        if (event.stage != "final_norm") return;
        for (size_t i = 0; i < event.rows.size(); ++i)
          if (event.rows[i].slot == place)
            rows[static_cast<size_t>(event.rows[i].position)] = download_floats(engine.stream(), event.row(i));
      });
    };
    Watched out;
    out.run = run_side(weights_, options, request);
    std::vector<float> all;
    for (size_t i = 0; i < rows.size(); ++i) {
      if (static_cast<int64_t>(rows[i].size()) != dim())
        throw_invalid(fmt::format("contradictions: no final_norm of position {} came from {}", i, side.text()));
      all.insert(all.end(), rows[i].begin(), rows[i].end());
    }
    out.read = seen_activations(weights_->output_matrix().dtype(), all, static_cast<int64_t>(rows.size()), dim());
    return out;
  }

  void compare(results::Record& record, const Watched& a, Watched b, bool must_differ) const {
    if (r_.deaf_logits) b.run.logits = a.run.logits;
    if (r_.stray_logits) b.run.logits.back() += 0.5f;
    const auto vocab = static_cast<size_t>(weights_->config.vocab_size);
    const auto width = static_cast<size_t>(dim());
    int64_t read = 0, logits = 0;
    Outcome outcome{Verdict::kPass, ""};
    for (size_t i = 0; i < r_.ids.size(); ++i) {
      const auto other = [i](const auto& x, const auto& y, size_t n) {
        return std::memcmp(x.data() + i * n, y.data() + i * n, n * sizeof(x[0])) != 0;
      };
      const bool rows_differ = other(a.read, b.read, width), logits_differ = other(a.run.logits, b.run.logits, vocab);
      read += rows_differ, logits += logits_differ;
      if (outcome.verdict == Verdict::kPass)
        outcome = judge_internal(rows_differ, logits_differ, static_cast<int64_t>(i));
      if (outcome.verdict != Verdict::kPass && !record.measured.contains("position"))
        record.measured["position"] = i, record.measured["stage"] = "logits";
    }
    record.measured["rows_that_differ"] = read, record.measured["logits_rows_that_differ"] = logits;
    if (outcome.verdict == Verdict::kPass && must_differ && read == 0)
      outcome = {Verdict::kVacuous,
                 "a mistake was planted in the last layer, and the output matrix read the same rows"};
    record.outcome = outcome;
  }

  void run(const CaseSink& cases) const {
    const SideSpec prefill{SideSpec::Kind::kPrefill, 0}, decode{SideSpec::Kind::kDecode, 0};
    Watched a;
    cases("sound: prefill against decode", [&](results::Record& record) {
      a = watched(prefill, nullptr);
      compare(record, a, watched(decode, nullptr), false);
    });
    cases("control: a mistake in the last layer", [&](results::Record& record) {
      const std::string planting = fmt::format("mlp_out:{}:{}:zero", weights_->config.n_layers - 1, r_.ids.size() / 2);
      compare(record, a, watched(decode, planting.c_str()), true);
    });
    cases("faster than light: a prefill pass", [&](results::Record& record) {
      const double seconds = r_.no_time ? 0 : a.run.seconds;
      // The best of the device in any arithmetic: a limit that no pass can beat, whatever its kernels use.
      bench::Ceilings ceilings;
      const double peak = 1e12 * std::max(ceilings.compute(Compute::kF32), ceilings.compute(Compute::kI8));
      const double flops = prefill_flops(weights_->config, static_cast<int64_t>(r_.ids.size()));
      record.measured = {{"pass_seconds", seconds}, {"flops", flops}, {"peak_flops", peak}};
      record.outcome = judge_roofline(seconds, flops, peak);
    });
  }

 private:
  int64_t dim() const { return weights_->config.dim; }
  const ContradictionRequest& r_;
  std::shared_ptr<const model::Weights> weights_;
};

}  // namespace

Outcome judge_internal(bool read_differs, bool logits_differ, int64_t position) {
  if (read_differs && !logits_differ)
    return {
        Verdict::kContradiction,
        fmt::format("position {}: the output matrix read other rows, and not one bit of the logits differs", position)};
  if (!read_differs && logits_differ)
    return {Verdict::kContradiction,
            fmt::format("position {}: the output matrix read the same row, and the logits differ", position)};
  return {Verdict::kPass, ""};
}

Outcome judge_roofline(double seconds, double flops, double peak) {
  if (!(peak > 0)) return {Verdict::kMistrusted, "the device's best is not known"};
  if (!(seconds * peak * bench::kRooflineSlack >= flops))
    return {Verdict::kContradiction,
            fmt::format("{:.3g} FLOP in {:.3g} s; at the {:.3g} FLOP/s that the device does they "
                        "take {:.3g} s: the work was not done, or not timed",
                        flops, seconds, peak, flops / peak)};
  return {Verdict::kPass, ""};
}

void audit_contradictions(const ContradictionRequest& request, const CaseSink& cases) { Audit(request).run(cases); }

void register_audit_contradictions(Command audit, CommonFlags& flags) {
  struct Flags {
    AuditModelFlags model;
    std::string plant;
  };
  const Command verb = audit.subcommand("contradictions", "observations that cannot both be true");
  auto f = std::make_shared<Flags>();
  f->model.add(verb);
  verb.option("--plant", f->plant, "deaf-logits, stray-logits or no-time: must turn the audit red")
      .one_of({"deaf-logits", "stray-logits", "no-time"});
  verb.callback([f, &flags] {
    const AuditSubject subject = audit_subject(f->model, flags);
    ContradictionRequest request{&subject.file, subject.ids, subject.options, flags.seed};
    request.deaf_logits = f->plant == "deaf-logits", request.stray_logits = f->plant == "stray-logits";
    request.no_time = f->plant == "no-time";
    AuditRecords records(flags, "contradictions", fmt::format("model={} tokens={}", f->model.model, subject.ids.size()),
                         kContradictionCases);
    audit_contradictions(request, [&](const std::string& name, const std::function<void(results::Record&)>& measure) {
      records.run(name, measure);
    });
    flags.exit_code = records.exit_code();
  });
}

}  // namespace greta::runners
