#include "model/trace.hpp"

#include <fmt/format.h>
#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "results/sha256.hpp"

namespace greta::model {
namespace {

template <class T>
std::vector<double> widened(std::span<const char> bytes) {
  std::vector<double> out(bytes.size() / sizeof(T));
  for (size_t i = 0; i < out.size(); ++i) {
    T v;
    std::memcpy(&v, bytes.data() + i * sizeof(T), sizeof(T));
    if constexpr (std::is_same_v<T, double>)
      out[i] = v;
    else
      out[i] = static_cast<double>(to_f32(v));
  }
  return out;
}

std::vector<char> bytes_of(std::span<const double> values) {
  std::vector<char> out(values.size_bytes());
  if (!out.empty()) std::memcpy(out.data(), values.data(), out.size());
  return out;
}

const int kSoftmax = stage_index("softmax_stats");

}  // namespace

std::vector<double> numbers_of(DType type, std::span<const char> bytes) {
  switch (type) {
    case DType::kF32:
      return widened<float>(bytes);
    case DType::kF16:
      return widened<half_t>(bytes);
    case DType::kBF16:
      return widened<bf16_t>(bytes);
    case DType::kF64:
      return widened<double>(bytes);
    default:
      throw_invalid(fmt::format("trace: rows of {} cannot be read as numbers", dtype_name(type)));
  }
}

PointStatistics statistics_of(std::span<const double> values) {
  PointStatistics s;
  s.count = static_cast<int64_t>(values.size());
  int64_t finite = 0;
  double sum = 0, squares = 0;
  for (const double v : values) {
    s.nonzero += v != 0;
    s.nan += std::isnan(v), s.inf += std::isinf(v);
    if (!std::isfinite(v)) continue;
    s.min = finite ? std::min(s.min, v) : v, s.max = finite ? std::max(s.max, v) : v;
    sum += v, squares += v * v, ++finite;
  }
  if (finite == 0) s.min = s.max = std::numeric_limits<double>::quiet_NaN();
  s.mean = sum / static_cast<double>(finite), s.rms = std::sqrt(squares / static_cast<double>(finite));
  return s;
}

std::strong_ordering PointKey::operator<=>(const PointKey& o) const {
  // Outside layers come embed_out, before all of them, and the outputs, after.
  const auto rank = [](const PointKey& k) {
    return k.layer >= 0 ? k.layer : k.stage == 0 ? -1 : std::numeric_limits<int64_t>::max();
  };
  if (const auto c = position <=> o.position; c != 0) return c;
  if (const auto c = rank(*this) <=> rank(o); c != 0) return c;
  return stage <=> o.stage;
}

std::string PointKey::text() const {
  return fmt::format("position {}, {}{}", position, layer < 0 ? "" : fmt::format("layer {}, ", layer),
                     stage_table()[static_cast<size_t>(stage)].name);
}

std::vector<double> softmax_stats(const LlamaConfig& c, std::span<const double> query, std::span<const double> keys) {
  const int64_t n = static_cast<int64_t>(keys.size()) / c.kv_dim();
  std::vector<double> out, scores(static_cast<size_t>(n));
  for (int64_t head = 0; head < c.n_heads; ++head) {
    for (int64_t j = 0; j < n; ++j) {
      double dot = 0;
      for (int64_t i = 0; i < c.head_dim; ++i)
        dot += query[static_cast<size_t>(head * c.head_dim + i)] *
               keys[static_cast<size_t>(j * c.kv_dim() + head / c.group() * c.head_dim + i)];
      scores[static_cast<size_t>(j)] = dot / std::sqrt(static_cast<double>(c.head_dim));
    }
    // A NaN among the scores must show: max_element alone may pass over it.
    double m = -std::numeric_limits<double>::infinity(), l = 0;
    for (const double s : scores) m = std::isnan(s) || s > m ? s : m;
    for (const double s : scores) l += std::exp(s - m);
    out.push_back(m), out.push_back(l);
  }
  return out;
}

Trace::Trace(TraceWant want, const LlamaConfig& config, int64_t n_tokens, int64_t logits_from)
    : want_(std::move(want)), config_(config), n_tokens_(n_tokens), logits_from_(logits_from) {
  stage_wanted_.assign(stage_table().size(), want_.stages.empty());
  for (const std::string& name : want_.stages) stage_wanted_[static_cast<size_t>(stage_index(name))] = 1;
  const auto mark = [](std::vector<char>& wanted, const std::vector<int64_t>& list, int64_t n, const char* what) {
    wanted.assign(static_cast<size_t>(n), list.empty());
    for (const int64_t i : list) {
      if (i < 0 || i >= n) throw_invalid(fmt::format("trace: {} {} was asked for, there are 0..{}", what, i, n - 1));
      wanted[static_cast<size_t>(i)] = 1;
    }
  };
  mark(layer_wanted_, want_.layers, config_.n_layers, "layer");
  mark(position_wanted_, want_.positions, n_tokens_, "position");
  for_each_wanted([&](const PointKey&) { ++expected_; });
}

template <class F>
void Trace::for_each_wanted(F&& f) const {
  for (int64_t position = 0; position < n_tokens_; ++position)
    for (size_t s = 0; s < stage_table().size(); ++s) {
      const bool per_layer = stage_table()[s].per_layer;
      for (int64_t layer = per_layer ? 0 : -1; layer < (per_layer ? config_.n_layers : 0); ++layer)
        if (const PointKey key{position, layer, static_cast<int>(s)}; wants(key)) f(key);
    }
}

bool Trace::wants(const PointKey& key) const {
  if (key.position < 0 || key.position >= n_tokens_ || !position_wanted_[static_cast<size_t>(key.position)] ||
      !stage_wanted_[static_cast<size_t>(key.stage)])
    return false;
  const StageInfo& stage = stage_table()[static_cast<size_t>(key.stage)];
  if (stage.per_layer && !layer_wanted_[static_cast<size_t>(key.layer)]) return false;
  if ((stage.name == "final_norm" || stage.name == "logits") && key.position < logits_from_) return false;
  return !want_.only || want_.only(key);
}

std::vector<PointKey> Trace::missing() const {
  std::vector<PointKey> out;
  for_each_wanted([&](const PointKey& key) {
    if (!points_.contains(key)) out.push_back(key);
  });
  return out;
}

TracePoint Trace::point_of(DType dtype, std::vector<char> bytes, bool recomputed) const {
  TracePoint point;
  point.dtype = dtype, point.recomputed = recomputed;
  if (want_.hashes) point.sha256 = results::sha256_of(std::span<const char>(bytes));
  if (want_.statistics) point.statistics = statistics_of(numbers_of(dtype, bytes));
  if (want_.raw || want_.raw_for_callback) point.raw = std::move(bytes);
  return point;
}

void Trace::put(const PointKey& key, DType dtype, std::vector<char> bytes, bool recomputed) {
  TracePoint point = point_of(dtype, std::move(bytes), recomputed);
  if (want_.on_point) want_.on_point(key, point);
  if (!want_.raw) point.raw = {};
  const auto [at, fresh] = points_.insert_or_assign(key, std::move(point));
  repeated_ += !fresh;
}

void Trace::watch(Llama& engine, int64_t slot) {
  engine.set_stage_sink([this, &engine, slot](const StageEvent& event) { take(event, engine, slot); });
}

void Trace::reread_cache(Llama& engine, int64_t slot, int64_t from, int64_t to) {
  const auto width = static_cast<size_t>(config_.kv_dim());
  for (int64_t layer = 0; layer < config_.n_layers; ++layer)
    for (const auto& [name, cache] :
         {std::pair{"k_cache", engine.cache().k(layer, slot)}, std::pair{"v_cache", engine.cache().v(layer, slot)}})
      for (int64_t position = from; position < to; ++position) {
        const auto at = points_.find({position, layer, stage_index(name)});
        if (at == points_.end()) continue;  // not wanted; or never written, and then it stays missing
        const hip::AnyView row = cache.slice(static_cast<size_t>(position) * width, width);
        std::vector<char> bytes(width * static_cast<size_t>(dtype_block_bytes(row.dtype())));
        read_view(engine.stream(), row, bytes.data());
        TracePoint point = point_of(row.dtype(), std::move(bytes), false);
        if (!want_.raw) point.raw = {};
        written_.emplace(at->first, std::move(at->second));
        at->second = std::move(point);
      }
}

void Trace::take(const StageEvent& event, Llama& engine, int64_t slot) {
  const int stage = stage_index(event.stage);
  const bool query = event.stage == "q_post_rope" && stage_wanted_[static_cast<size_t>(kSoftmax)];
  if (query) queries_.clear();
  for (size_t i = 0; i < event.rows.size(); ++i) {
    if (event.rows[i].slot != slot) continue;
    const PointKey key{event.rows[i].position, event.layer, stage};
    const bool for_softmax = query && wants({key.position, key.layer, kSoftmax});
    if (!wants(key) && !for_softmax) continue;
    const hip::AnyView row = event.row(i);
    std::vector<char> bytes(row.count() * static_cast<size_t>(dtype_block_bytes(row.dtype())));
    read_view(engine.stream(), row, bytes.data());
    if (for_softmax) queries_[key.position] = numbers_of(row.dtype(), bytes);
    if (wants(key)) put(key, row.dtype(), std::move(bytes), false);
  }
  // Keys are in the cache by now.
  if (event.stage == "k_cache" && !queries_.empty()) take_softmax(event, engine, slot);
}

void Trace::take_softmax(const StageEvent& k_cache, Llama& engine, int64_t slot) {
  std::vector<double> keys;
  for (size_t i = k_cache.rows.size(); i > 0 && keys.empty(); --i) {
    const PassRow& last = k_cache.rows[i - 1];
    if (last.slot != slot) continue;
    const hip::AnyView view =
        k_cache.data.slice(static_cast<size_t>((k_cache.data_row(i - 1) - last.position) * k_cache.width),
                           static_cast<size_t>((last.position + 1) * k_cache.width));
    std::vector<char> bytes(view.count() * static_cast<size_t>(dtype_block_bytes(view.dtype())));
    read_view(engine.stream(), view, bytes.data());
    keys = numbers_of(view.dtype(), bytes);
  }
  for (const auto& [position, query] : queries_) {
    const auto seen = std::span(keys).first(static_cast<size_t>((position + 1) * k_cache.width));
    put({position, k_cache.layer, kSoftmax}, DType::kF64, bytes_of(softmax_stats(config_, query, seen)), true);
  }
  queries_.clear();
}

reference::StageObserver Trace::observer() {
  return [this](std::string_view stage, int64_t layer, const reference::RowMatrix& rows) {
    if (stage == "gate" || stage == "up") return;
    observe(stage, layer, rows);
    if (stage == "v") observe("v_cache", layer, rows);
    if (stage == "q_post_rope") reference_q_ = std::make_shared<reference::RowMatrix>(rows);
    if (stage != "k_post_rope") return;
    observe("k_cache", layer, rows);
    for (int64_t t = 0; t < rows.rows(); ++t) {
      const PointKey key{t, layer, kSoftmax};
      if (!wants(key)) continue;
      const std::span<const double> query(reference_q_->row(t).data(), static_cast<size_t>(reference_q_->cols()));
      const std::span<const double> keys(rows.data(), static_cast<size_t>((t + 1) * rows.cols()));
      put(key, DType::kF64, bytes_of(softmax_stats(config_, query, keys)), true);
    }
  };
}

void Trace::observe(std::string_view stage, int64_t layer, const reference::RowMatrix& rows) {
  const int64_t first = stage == "final_norm" || stage == "logits" ? logits_from_ : 0;
  for (int64_t i = 0; i < rows.rows(); ++i) {
    const PointKey key{first + i, layer, stage_index(stage)};
    if (!wants(key)) continue;
    put(key, DType::kF64, bytes_of({rows.row(i).data(), static_cast<size_t>(rows.cols())}), false);
  }
}

}  // namespace greta::model
