#include "runners/gates/bisect.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

#include "reference/prefill_attention.hpp"
#include "runners/gates/equivalence.hpp"

namespace greta::runners {
namespace {

using model::PointKey;
using model::TracePoint;
using results::Json;
using results::Verdict;

constexpr std::array<StageClass, 20> kClasses = {{
    {"embed_out", "ROUTING/SELECTION"},
    {"residual_pre_attn", "ROUTING/SELECTION"},
    {"attn_in", "ATTN_KERNEL_INPUTS"},
    {"q_pre_rope", "ATTN_KERNEL_INPUTS"},
    {"k_pre_rope", "ATTN_KERNEL_INPUTS"},
    {"v", "ATTN_KERNEL_INPUTS"},
    {"q_post_rope", "ATTN_KERNEL_INPUTS"},
    {"k_post_rope", "ATTN_KERNEL_INPUTS"},
    {"k_cache", "ATTN_KERNEL_INPUTS"},
    {"v_cache", "ATTN_KERNEL_INPUTS"},
    {"softmax_stats", "ATTENTION_MECHANISM"},
    {"attn_out", "ATTENTION_MECHANISM"},
    {"wo_out", "ATTENTION_MECHANISM"},
    {"residual_post_attn", "RESIDUAL_ADD"},
    {"ffn_norm_in", "FFN_NORM_PATH"},
    {"gate_up", "MLP_OUTPUT"},
    {"mlp_out", "MLP_OUTPUT"},
    {"residual_post_mlp", "RESIDUAL_ADD"},
    {"final_norm", "LOGITS"},
    {"logits", "LOGITS"},
}};

constexpr int64_t kRowsKept = int64_t{512} << 20;  ///< bytes a side

const int kSoftmax = model::stage_index("softmax_stats");

/// |x - y|_2 / |y|_2; infinite when anything is not finite.
double relative(std::span<const double> x, std::span<const double> y) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < x.size(); ++i) difference += (x[i] - y[i]) * (x[i] - y[i]), size += y[i] * y[i];
  const double r = difference == 0 ? 0 : std::sqrt(difference / size);
  return std::isnan(r) ? HUGE_VAL : r;
}

/// One side: its points, and raw rows of those that are asked for later.
struct Side {
  TracedSide what;
  std::map<PointKey, TracePoint> points;
  SideRun run;
  std::optional<model::SavedTrace> saved;
  std::map<PointKey, TracePoint> raw;
  std::map<PointKey, TracePoint> written;  ///< cache rows before they were replaced (kv_aligned)
};

class Bisect {
 public:
  explicit Bisect(const BisectRequest& request) : r_(request), config_(request.model->config) {}

  BisectResult run() {
    const auto start = std::chrono::steady_clock::now();
    a_.what = r_.a, b_.what = r_.b;
    a_.what.kv_aligned = b_.what.kv_aligned = r_.kv_aligned;
    if (!a_.what.is_engine() && !b_.what.is_engine() && a_.what.is_reference() == b_.what.is_reference() &&
        a_.what.trace_file == b_.what.trace_file)
      throw_invalid(fmt::format("bisect: both sides are {}; there is nothing to compare", a_.what.text));
    const auto n = static_cast<int64_t>(r_.ids.size());
    if (r_.span < 0 || r_.span > n) throw_invalid(fmt::format("--span {}: the input has {} tokens", r_.span, n));
    logits_from_ =
        r_.positions.empty() ? 0 : std::min(*std::min_element(r_.positions.begin(), r_.positions.end()), n - 1);
    if (r_.span) logits_from_ = n - r_.span;
    for (Side* side : {&a_, &b_}) {
      if (side->what.trace_file.empty()) continue;
      side->saved = model::read_trace(side->what.trace_file);
      check_saved(*side->saved);
    }
    if (!result_.outcome.reason.empty()) {  // nobody knows what a trace that broke off is a trace of
      write();
      return std::move(result_);
    }
    by_bits_ = bits_must_agree();
    for (Side* side : {&a_, &b_}) run_side_of(*side, nullptr);
    if (!by_bits_) measure_noise();
    compare();
    if (result_.first) {
      explain(*result_.first);
      const FirstFail& f = *result_.first;
      result_.outcome = {Verdict::kFail,
                         fmt::format("FIRST_FAIL {}: {}; wrong: {}", f.key.text(), f.stage_class, f.wrong)};
    }
    result_.a = std::move(a_.run), result_.b = std::move(b_.run);
    result_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    write();
    return std::move(result_);
  }

 private:
  /// Types and arithmetic of a side as far as they are known before it runs; saved traces carry theirs.
  Json identity(const Side& of) const {
    const TracedSide& side = of.what;
    if (side.is_reference()) return {{"reference", true}};
    if (of.saved) {
      const model::SavedTrace& t = *of.saved;
      if (!t.start.contains("kv")) return {{"reference", true}};
      return identity_of(t.start.at("kv"), t.start.at("activations"), t.start.at("exp"),
                         t.end.value("attention_arithmetic", ""), t.start.value("matrix_machine", ""));
    }
    model::EngineOptions options = side.options;
    options.context = 1, options.slots = 1, options.planting.reset();
    const model::Llama engine(r_.model->weights_for(options.defect), options);
    return identity_of(std::string(dtype_name(options.kv)), std::string(dtype_name(options.activations)),
                       options.exp == ExpMode::kPortable ? "portable" : "hw",
                       engine.attention_arithmetic(side.spec.has_decode_passes()), matrix_machine_text());
  }
  static Json identity_of(const std::string& kv, const std::string& act, const std::string& exp,
                          const std::string& arithmetic, const std::string& machine) {
    Json id = {{"kv", kv}, {"act", act}, {"exp", exp}, {"arithmetic", arithmetic}};
    if (arithmetic == "online_mma") id["machine"] = machine;  // no other arithmetic runs on matrix tiles of floats
    return id;
  }

  bool bits_must_agree() const {
    const Json a = identity(a_), b = identity(b_);
    return a == b && !a.contains("reference");
  }

  model::TraceWant want() const {
    model::TraceWant want;
    want.positions = r_.positions, want.layers = r_.layers;
    want.statistics = false, want.hashes = by_bits_;
    for (const model::StageInfo& stage : model::stage_table())
      if (stage.name != "softmax_stats") want.stages.emplace_back(stage.name);
    return want;
  }

  /// All points; or, with `only`, the raw rows of those.
  void run_side_of(Side& side, const std::function<bool(const PointKey&)>* only) {
    if (!side.what.trace_file.empty()) {
      if (only) return;
      side.points = side.saved->points;
      side.run.attention_arithmetic = side.saved->end.value("attention_arithmetic", "");
      return;
    }
    model::TraceWant w = want();
    if (only) {
      w.positions.clear(), w.layers.clear();
      w.only = *only, w.raw = true, w.hashes = false;
    } else {
      w.raw = !by_bits_ || rows_are_kept();
    }
    // The exact reference: a side is held to the law, not to the law with the engine's rounding.
    TracedRun traced = run_traced(*r_.model, side.what, r_.ids, std::move(w), logits_from_, r_.seed);
    if (const auto missing = traced.trace.missing(); !missing.empty() && result_.outcome.reason.empty())
      result_.outcome = {Verdict::kIncomplete, fmt::format("side {} left {} points out, the first at {}",
                                                           side.what.text, missing.size(), missing.front().text())};
    if (only) {
      side.raw = traced.trace.points();
      side.written = traced.trace.written();
      return;
    }
    side.points = traced.trace.points();
    side.written = traced.trace.written();
    side.run = std::move(traced.run);
  }

  void check_saved(const model::SavedTrace& t) {
    if (t.start.at("tokens") != Json(r_.ids))
      throw_invalid(fmt::format("bisect: trace {} is of other tokens ({} of them, here {}); give it the same input",
                                t.path, t.start.at("tokens").size(), r_.ids.size()));
    if (t.start.at("model_bytes") != r_.model->file->size_bytes())
      throw_invalid(fmt::format("bisect: trace {} is of another model ({})", t.path, t.start.at("model").dump()));
    if (t.end.is_null())
      result_.outcome = {Verdict::kIncomplete, fmt::format("trace {} has no last line: it broke off", t.path)};
  }

  void measure_noise() {
    TracedSide reference = r_.a;
    reference.spec = {SideSpec::Kind::kReference, 0}, reference.trace_file.clear();
    const TracedSide& engine = r_.a.is_engine() ? r_.a : r_.b;
    reference.options = engine.options;
    model::TraceWant w = want();
    w.raw = true, w.hashes = false;
    const TracedRun exact = run_traced(*r_.model, reference, r_.ids, w, logits_from_, r_.seed);
    const TracedRun rounded = run_traced(*r_.model, reference, r_.ids, w, logits_from_, r_.seed, true);
    for (const auto& [key, point] : exact.trace.points()) {
      const auto x = model::numbers_of(DType::kF64, point.raw);
      const auto y = model::numbers_of(DType::kF64, rounded.trace.points().at(key).raw);
      double& noise = noise_[{key.layer, key.stage}];
      noise = std::max(noise, relative(y, x));
    }
  }

  /// Whether raw rows of all points fit: else the sides run again for those that are looked at.
  bool rows_are_kept() const {
    const int64_t row = 8 * config_.dim + 3 * config_.q_dim() + 5 * config_.kv_dim() + config_.ffn_dim;
    const auto bytes =
        static_cast<int64_t>(r_.ids.size() * sizeof(float)) * (config_.n_layers * row + config_.vocab_size);
    return r_.positions.empty() && r_.layers.empty() && bytes <= kRowsKept;
  }

  double bound_at(const PointKey& key) const {
    // Two engines may each be at the edge of the bound, on opposite sides.
    const double sides = a_.what.is_reference() || b_.what.is_reference() ? 1 : 2;
    return std::max(sides * kBoundFactor * noise_.at({key.layer, key.stage}), kBoundFloor);
  }

  std::vector<double> values(const Side& side, const PointKey& key, const TracePoint& point) const {
    return model::numbers_of(point.dtype, side.saved ? side.saved->raw(key) : point.raw);
  }

  void compare() {
    std::vector<PointKey> missing;
    for (const auto& [key, a] : a_.points) {
      if (key.stage == kSoftmax || !asked(key)) continue;
      const auto it = b_.points.find(key);
      if (it == b_.points.end()) {
        missing.push_back(key);
        continue;
      }
      ++result_.points;
      const TracePoint& b = it->second;
      double apart = 0;
      const bool differs = by_bits_ ? a.sha256 != b.sha256
                                    : !((apart = relative(values(a_, key, a), values(b_, key, b))) <= bound_at(key));
      if (!differs) continue;
      ++result_.differing;
      if (result_.first) continue;
      result_.first.emplace();
      FirstFail& f = *result_.first;
      f.key = key, f.by_bits = by_bits_, f.relative = apart, f.bound = by_bits_ ? 0 : bound_at(key);
      f.stage = model::stage_table()[static_cast<size_t>(key.stage)].name, f.stage_class = class_of(f.stage);
    }
    for (const auto& [key, b] : b_.points)
      if (key.stage != kSoftmax && asked(key) && !a_.points.contains(key)) missing.push_back(key);
    if (!missing.empty())
      result_.outcome = {Verdict::kIncomplete, fmt::format("{} points stand on one side alone, the first at {}",
                                                           missing.size(), missing.front().text())};
    if (!result_.outcome.reason.empty() || result_.first) return;
    if (result_.points == 0)
      result_.outcome = {Verdict::kIncomplete, "no point was compared"};
    else if (a_.what.is_engine() && b_.what.is_engine() && same_launches(a_.run, b_.run))
      result_.outcome = {Verdict::kVacuous,
                         fmt::format("{} and {} launched the same kernels with the same grids and M: "
                                     "one program was compared with itself",
                                     r_.a.text, r_.b.text)};
    else if (const auto why = idle_alignment())
      result_.outcome = {Verdict::kVacuous, *why};
    else
      result_.outcome = {Verdict::kPass, ""};
  }

  std::optional<std::string> idle_alignment() const {
    for (const Side* side : {&a_, &b_})
      if (side->what.is_engine())
        if (auto why = alignment_ignored(side->run, r_.kv_aligned)) return why;
    return std::nullopt;
  }

  bool asked(const PointKey& key) const {
    const auto in = [](const std::vector<int64_t>& list, int64_t i) {
      return list.empty() || std::find(list.begin(), list.end(), i) != list.end();
    };
    return in(r_.positions, key.position) && (key.layer < 0 || in(r_.layers, key.layer));
  }

  /// Values at the point, place of the worst element, and who is wrong.
  void explain(FirstFail& f) {
    const std::vector<PointKey> inputs = inputs_of(f.key, config_.n_layers);
    const std::function<bool(const PointKey&)> only = [&](const PointKey& key) {
      return key == f.key || std::find(inputs.begin(), inputs.end(), key) != inputs.end() ||
             reads_cache_row(f.key, key);
    };
    if (!rows_are_kept())
      for (Side* side : {&a_, &b_}) run_side_of(*side, &only);
    const auto lookup = [this, &f](const Side& side, const PointKey& key) {
      if (side.saved) {
        const auto point = side.saved->points.find(key);
        if (point == side.saved->points.end())
          throw_invalid(fmt::format("trace {} has no point at {}", side.saved->path, key.text()));
        return RawPoint{point->second.dtype, model::numbers_of(point->second.dtype, side.saved->raw(key))};
      }
      // Attention of a position read that position's own row before another took its place.
      const bool own = key != f.key && key.position == f.key.position && side.written.contains(key);
      const auto& rows = own ? side.written : rows_are_kept() ? side.points : side.raw;
      const auto point = rows.find(key);
      if (point == rows.end()) throw_invalid(fmt::format("{} was not traced", key.text()));
      return RawPoint{point->second.dtype, model::numbers_of(point->second.dtype, point->second.raw)};
    };
    try {
      locate(f, lookup(a_, f.key).values, lookup(b_, f.key).values);
    } catch (const Error& error) {
      f.reason = error.what();
    }
    for (const auto& [side, out] : {std::pair{&a_, &f.a}, std::pair{&b_, &f.b}}) {
      RecomputeContext context{r_.model->file, &config_, r_.ids, side->run.attention_arithmetic,
                               side->what.options.exp};
      if (side->saved && side->saved->start.contains("exp"))
        context.exp = side->saved->start.at("exp") == "hw" ? ExpMode::kHardware : ExpMode::kPortable;
      *out = recompute(context, f.key, [&](const PointKey& key) { return lookup(*side, key); });
    }
    blame(f);
  }

  void locate(FirstFail& f, std::span<const double> a, std::span<const double> b) const {
    if (a.size() != b.size()) throw_invalid(fmt::format("rows of {} and {} values", a.size(), b.size()));
    f.has_values = true, f.width = static_cast<int64_t>(a.size());
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      double apart = std::abs(a[i] - b[i]);
      if (std::isnan(apart)) apart = std::isnan(a[i]) && std::isnan(b[i]) ? 0 : HUGE_VAL;
      sum += apart, f.differing += apart != 0;
      if (i == 0 || apart > f.max)
        f.max = apart, f.element = static_cast<int64_t>(i), f.value_a = a[i], f.value_b = b[i];
    }
    f.mae = sum / static_cast<double>(a.size());
    f.place = place_of(f.key, f.stage, f.element);
  }

  std::string place_of(const PointKey& key, const std::string& stage, int64_t e) const {
    std::string text = fmt::format("row {}, column {}", key.position, e);
    const bool query = stage == "q_pre_rope" || stage == "q_post_rope" || stage == "attn_out";
    const bool kv = stage == "k_pre_rope" || stage == "k_post_rope" || stage == "v" || stage.ends_with("_cache");
    if (query || kv)
      text += fmt::format(", head {} of {}", e / config_.head_dim, query ? config_.n_heads : config_.n_kv_heads);
    if (query) text += fmt::format(" (KV head {})", e / config_.head_dim / config_.group());
    if (query || kv) text += fmt::format(", channel {} of {}", e % config_.head_dim, config_.head_dim);
    if (stage == "attn_out" || stage.ends_with("_cache"))
      text += fmt::format(", key tile {}, split {}", key.position / reference::kTwinTile,
                          key.position / reference::kTwinSplit);
    if (!query && !kv) text += fmt::format(", tile of 64 columns {}", e / 64);
    return text;
  }

  void blame(FirstFail& f) const {
    const auto strayed = [](const Recomputed& r) { return r.done && r.twin && r.bits_differ > 0; };
    const auto told = [](const Recomputed& r) {
      if (!r.done) return r.why_not;
      std::string text = fmt::format("{:.3g} of its bound from double (element {}: {:.9g}, in double {:.9g})",
                                     r.worst_ratio, r.worst_element, r.got, r.value);
      if (r.twin)
        text +=
            r.bits_differ ? fmt::format(", {} elements without the twin's bits", r.bits_differ) : ", the twin's bits";
      return text;
    };
    const std::string why = f.reason.empty() ? "" : f.reason + "; ";
    f.reason = fmt::format("{}a: {}; b: {}", why, told(f.a), told(f.b));
    // The reference is right by definition. An engine that parts from it and obeys its own inputs is unexplained here.
    const bool a_wrong = f.a.wrong(), b_wrong = f.b.wrong();
    if (a_wrong || b_wrong)
      f.wrong = a_wrong && b_wrong ? "both" : a_wrong ? "a" : "b";
    else if (strayed(f.a) != strayed(f.b) && f.a.done && f.b.done)
      f.wrong = strayed(f.a) ? "a" : "b";
    else
      f.wrong = "unknown";
  }

  void write() {
    Json& m = result_.measured;
    m = {{"points", result_.points},
         {"points_that_differ", result_.differing},
         {"bisect_seconds", result_.seconds},
         {"compared", by_bits_ ? "bits" : "noise of the number formats"}};
    if (result_.first) {
      const FirstFail& f = *result_.first;
      const auto side = [](const Recomputed& r) {
        Json j = {{"recomputed", r.done}};
        if (!r.done) j["why_not"] = r.why_not;
        if (r.done)
          j["worst_ratio"] = r.worst_ratio, j["element"] = r.worst_element, j["got"] = r.got, j["in_double"] = r.value,
          j["bound"] = r.bound;
        if (r.twin) j["elements_without_the_twins_bits"] = r.bits_differ;
        return j;
      };
      m["first_fail"] = {{"position", f.key.position}, {"layer", f.key.layer < 0 ? Json() : Json(f.key.layer)},
                         {"stage", f.stage},           {"class", f.stage_class},
                         {"wrong", f.wrong},           {"place", f.place}};
      if (f.has_values)
        m["first_fail"].update(Json{{"mae", f.mae},
                                    {"max", f.max},
                                    {"element", f.element},
                                    {"elements_that_differ", f.differing},
                                    {"width", f.width},
                                    {"a", f.value_a},
                                    {"b", f.value_b}});
      if (!f.by_bits) m["first_fail"]["relative"] = f.relative, m["first_fail"]["bound"] = f.bound;
      m["recomputed"] = {{"a", side(f.a)}, {"b", side(f.b)}};
    }
    result_.config = {{"a", r_.a.text}, {"b", r_.b.text}, {"tokens", r_.ids.size()}};
    result_.config["kv_aligned"] = r_.kv_aligned, result_.config["first_position_of_logits"] = logits_from_;
    for (const auto& [name, side, run] :
         {std::tuple{"run_a", &r_.a, &result_.a}, std::tuple{"run_b", &r_.b, &result_.b}})
      if (side->is_engine()) result_.config[name] = run->config();
  }

  const BisectRequest& r_;
  const model::LlamaConfig& config_;
  Side a_, b_;
  BisectResult result_{};
  bool by_bits_ = false;
  int64_t logits_from_ = 0;
  std::map<std::pair<int64_t, int>, double> noise_;
};

}  // namespace

std::span<const StageClass> stage_classes() { return kClasses; }

std::string_view class_of(std::string_view stage) {
  for (const StageClass& row : kClasses)
    if (row.stage == stage) return row.name;
  return "UNKNOWN";
}

BisectResult run_bisect(const BisectRequest& request) { return Bisect(request).run(); }

}  // namespace greta::runners
