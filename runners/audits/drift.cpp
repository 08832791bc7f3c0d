#include "runners/audits/drift.hpp"

#include <fmt/format.h>
#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <utility>

#include "model/engine_rounding.hpp"
#include "runners/audits/audits.hpp"
#include "runners/audits/stages.hpp"
#include "runners/command_line.hpp"

namespace greta::runners {
namespace {

using reference::RowMatrix;
using results::Json;
using results::Outcome;
using results::Verdict;
using Key = StageCapture::Key;

/// Those that the engine and the reference both have, in the order of computation.
const std::vector<std::string> kStages = {
    "embed_out",  "attn_in", "q_pre_rope",         "k_pre_rope",  "v",       "q_post_rope", "k_post_rope",
    "attn_out",   "wo_out",  "residual_post_attn", "ffn_norm_in", "gate_up", "mlp_out",     "residual_post_mlp",
    "final_norm", "logits"};

bool watched(std::string_view stage) { return std::find(kStages.begin(), kStages.end(), stage) != kStages.end(); }

/// |x_i - r_i| / |r_i| of every row.
template <class X>
std::vector<double> row_distances(const X* x, const RowMatrix& r) {
  std::vector<double> out;
  for (int64_t i = 0; i < r.rows(); ++i) {
    double off = 0, size = 0;
    for (int64_t c = 0; c < r.cols(); ++c) {
      const double d = static_cast<double>(x[i * r.cols() + c]) - r(i, c);
      off += d * d, size += r(i, c) * r(i, c);
    }
    out.push_back(std::sqrt(off / std::max(size, 1e-300)));
  }
  return out;
}

double rms(std::span<const double> v) {
  double sum = 0;
  for (const double d : v) sum += d * d;
  return std::sqrt(sum / static_cast<double>(std::max<size_t>(v.size(), 1)));
}

struct Stage {
  Key key;
  double drift = 0, noise = 0, max_abs = 0;
  double first_quarter = 0, last_quarter = 0;  ///< drift over those of the span's rows
};

/// The order in which a pass computes them.
bool before(const Key& a, const Key& b, int64_t n_layers) {
  const auto place = [&](const Key& k) {
    const auto index = std::find(kStages.begin(), kStages.end(), k.first) - kStages.begin();
    const int64_t layer = k.second >= 0 ? k.second : k.first == "embed_out" ? -1 : n_layers;
    return std::pair(layer, index);
  };
  return place(a) < place(b);
}

void measure(const DriftRequest& r, const std::shared_ptr<const model::Weights>& weights, int64_t span,
             results::Record& record) {
  const auto ids = r.ids.first(static_cast<size_t>(span));
  const model::LlamaConfig& config = weights->config;
  model::EngineOptions options = r.options;
  options.context = span;
  model::Llama engine(weights, options);
  StageCapture capture(engine, kStages);
  (void)engine.prefill(0, ids, 0);
  const auto& engine_stages = capture.stages();

  std::map<Key, RowMatrix> exact;
  (void)model::reference_logits(*r.file, config, ids, 0, std::nullopt,
                                [&](std::string_view stage, int64_t layer, const RowMatrix& rows) {
                                  if (watched(stage)) exact[{std::string(stage), layer}] = rows;
                                });
  std::map<Key, double> noise;
  (void)model::reference_logits(*r.file, config, ids, 0, model::EngineRounding{options.kv, options.activations},
                                [&](std::string_view stage, int64_t layer, const RowMatrix& rows) {
                                  const Key key{std::string(stage), layer};
                                  if (const auto at = exact.find(key); at != exact.end())
                                    noise[key] = rms(row_distances(rows.data(), at->second));
                                });

  std::vector<Stage> stages;
  for (const auto& [key, want] : exact) {
    const auto got = engine_stages.find(key);
    const std::string name = fmt::format("{} of layer {}", key.first, key.second);
    if (got == engine_stages.end() || !noise.contains(key)) {
      record.outcome = {Verdict::kFail, fmt::format("{}: the reference has it, the engine has not", name)};
      return;
    }
    const CapturedStage& e = got->second;
    bool paired = e.rows() == want.rows() && e.width == want.cols();
    for (int64_t i = 0; paired && i < e.rows(); ++i) paired = e.positions[static_cast<size_t>(i)] == i;
    if (!paired) {
      record.outcome = {Verdict::kFail, fmt::format("{}: {} rows of {} values, wanted positions 0..{} of {} values",
                                                    name, e.rows(), e.width, want.rows() - 1, want.cols())};
      return;
    }
    Stage s;
    s.key = key, s.noise = noise[key];
    const std::vector<double> d = row_distances(e.values.data(), want);
    const size_t quarter = std::max<size_t>(1, d.size() / 4);
    s.drift = rms(d), s.first_quarter = rms(std::span(d).first(quarter)),
    s.last_quarter = rms(std::span(d).last(quarter));
    for (int64_t i = 0; i < want.size(); ++i)
      s.max_abs =
          std::max(s.max_abs, std::fabs(static_cast<double>(e.values[static_cast<size_t>(i)]) - want.data()[i]));
    stages.push_back(s);
  }
  for (const auto& [key, captured] : engine_stages)
    if (!exact.contains(key)) {
      record.outcome = {Verdict::kFail,
                        fmt::format("{} of layer {}: the engine has it, the reference has not", key.first, key.second)};
      return;
    }
  std::sort(stages.begin(), stages.end(),
            [&](const Stage& a, const Stage& b) { return before(a.key, b.key, config.n_layers); });

  Json table = Json::array();
  double worst = 0, first_layer = 0, last_layer = 0;
  Outcome outcome{Verdict::kPass, ""};
  // Exact stages (a gather of exact weights) have no noise of their own; f32 arithmetic still rounds.
  constexpr double kFloor = 1e-6;
  for (const Stage& s : stages) {
    const double ratio = s.drift / std::max(s.noise, kFloor);
    worst = std::max(worst, ratio);
    if (s.key.first == "residual_post_mlp") (s.key.second == 0 ? first_layer : last_layer) = s.drift;
    table.push_back({{"stage", s.key.first},
                     {"layer", s.key.second},
                     {"drift", s.drift},
                     {"noise", s.noise},
                     {"max_abs", s.max_abs},
                     {"first_quarter", s.first_quarter},
                     {"last_quarter", s.last_quarter}});
    if (outcome.verdict == Verdict::kPass && !(ratio <= kDriftFactor)) {
      outcome = {Verdict::kFail, fmt::format("{}{}: drift {:.3g} is {:.3g} times what the number formats make (bound "
                                             "{})",
                                             s.key.second < 0 ? "" : fmt::format("layer {} ", s.key.second),
                                             s.key.first, s.drift, ratio, kDriftFactor)};
      record.measured["stage"] = s.key.first, record.measured["layer"] = s.key.second;
    }
  }
  record.measured["span"] = span, record.measured["worst_ratio"] = worst;
  record.measured["logits_drift"] = stages.back().drift;
  record.measured["growth_over_layers"] = last_layer / std::max(first_layer, 1e-300);
  record.measured["growth_over_positions"] = stages.back().last_quarter / std::max(stages.back().first_quarter, 1e-300);
  record.measured["stages"] = table;
  record.outcome = outcome;
}

}  // namespace

void audit_drift(const DriftRequest& r, const CaseSink& cases) {
  hip::Stream stream("upload");
  const auto weights = model::load_weights(*r.file, stream, r.options.defect);
  for (const int64_t span : r.spans) {
    if (span < 1 || span > static_cast<int64_t>(r.ids.size()))
      throw_invalid(fmt::format("audit drift: span {}, the input has {} tokens", span, r.ids.size()));
    cases(fmt::format("span {}", span), [&](results::Record& record) { measure(r, weights, span, record); });
  }
}

void register_audit_drift(Command audit, CommonFlags& flags) {
  struct Flags {
    AuditModelFlags model;
    std::vector<int64_t> spans;
    std::string defect;
  };
  const Command verb =
      audit.subcommand("drift", "elementwise distance of every stage from the model in double, by span");
  auto f = std::make_shared<Flags>();
  f->model.add(verb);
  verb.option("--spans", f->spans, "first N tokens, one case each (default: 32,128,512 as far as the input goes)")
      .delimiter(',')
      .positive();
  verb.option("--defect", f->defect, "plant a defect of the engine (greta gate --list-defects)");
  verb.callback([f, &flags] {
    AuditSubject subject = audit_subject(f->model, flags);
    if (!f->defect.empty()) subject.options.defect = model::defect_from_name(f->defect).defect;
    DriftRequest request{&subject.file, subject.ids, subject.options, f->spans};
    if (request.spans.empty())
      for (const int64_t span : kDriftSpans)
        if (span <= static_cast<int64_t>(subject.ids.size())) request.spans.push_back(span);
    if (request.spans.empty()) request.spans.push_back(static_cast<int64_t>(subject.ids.size()));
    AuditRecords records(flags, "drift", fmt::format("model={} tokens={}", f->model.model, subject.ids.size()),
                         static_cast<int64_t>(request.spans.size()));
    audit_drift(request, [&](const std::string& name, const std::function<void(results::Record&)>& measure) {
      records.run(name, measure);
    });
    flags.exit_code = records.exit_code();
  });
}

}  // namespace greta::runners
