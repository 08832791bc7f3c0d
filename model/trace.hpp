// Traces: what every stage of a forward pass held, point by point. A point is one row (one token) of one stage of one
// layer; a path through the engine leaves the same points whichever it is, so that two paths can be laid side by side.
//
//   Trace trace({}, config, n_tokens);              // everything
//   trace.watch(engine, slot);                      // the engine's passes over the slot from now on
//   engine.prefill(slot, ids, 0);
//   for (const auto& [key, point] : trace.points()) ...
//   trace.missing();                                // asked for and not produced: a failure of whoever asked
// The reference in double is traced by trace.observer(): points of dtype f64.
//
// Bits are hashed as they lie on the device (SHA-256 over the row's bytes, little endian); statistics are taken over
// finite values, 16-bit types read as what they are.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/llama.hpp"
#include "reference/llama.hpp"

namespace greta::model {

/// The bytes of a row as numbers; f16, bf16, f32 or f64. Throws kInvalidArgument for other types.
std::vector<double> numbers_of(DType type, std::span<const char> bytes);

struct PointStatistics {
  int64_t count = 0, nonzero = 0, nan = 0, inf = 0;
  double min = 0, max = 0, mean = 0, rms = 0;  ///< over finite values; NaN when there is none
};
PointStatistics statistics_of(std::span<const double> values);

/// Place of a point. Ordered by what can depend on what in a causal model: position, then order of computation.
struct PointKey {
  int64_t position = 0;
  int64_t layer = -1;  ///< -1: outside layers
  int stage = 0;       ///< stage_index()
  std::strong_ordering operator<=>(const PointKey& o) const;
  bool operator==(const PointKey&) const = default;
  std::string text() const;  ///< "position 4, layer 3, mlp_out"
};

struct TracePoint {
  DType dtype = DType::kF32;
  std::string sha256;
  PointStatistics statistics;
  bool recomputed = false;  ///< computed by the tracer in double, not by the engine
  std::vector<char> raw;    ///< when asked for
};

struct TraceWant {
  std::vector<std::string> stages;  ///< empty: all
  std::vector<int64_t> layers;      ///< empty: all; points outside layers are wanted in any case
  std::vector<int64_t> positions;   ///< empty: all
  bool hashes = true, statistics = true, raw = false;
  /// Further restriction, if set.
  std::function<bool(const PointKey&)> only = {};
  /// Called with each point when it is there, before raw bytes are dropped.
  std::function<void(const PointKey&, const TracePoint&)> on_point = {};
  /// on_point gets raw bytes even though the trace does not keep them.
  bool raw_for_callback = false;
};

class Trace {
 public:
  /// Points of positions [0, n_tokens), outputs (final_norm, logits) of [logits_from, n_tokens). Throws
  /// kInvalidArgument for stages, layers or positions that do not exist.
  Trace(TraceWant want, const LlamaConfig& config, int64_t n_tokens, int64_t logits_from = 0);

  /// Installs the engine's stage sink; the trace must outlive the engine's passes.
  void watch(Llama& engine, int64_t slot);
  /// Rows [from, to) of the slot's cache were replaced after they were written: their points k_cache and v_cache become
  /// what stands there now, which is what later positions read. on_point is not called again.
  void reread_cache(Llama& engine, int64_t slot, int64_t from, int64_t to);
  /// Those points as they were written: what attention of the position itself has read.
  const std::map<PointKey, TracePoint>& written() const { return written_; }
  /// Points of the reference pass, rows at positions 0, 1, ...; k_cache and v_cache are its K and V.
  reference::StageObserver observer();

  bool wants(const PointKey& key) const;
  const std::map<PointKey, TracePoint>& points() const { return points_; }
  std::vector<PointKey> missing() const;
  int64_t expected() const { return expected_; }
  /// Points that were produced twice: a trace of which nobody knows what it holds.
  int64_t repeated() const { return repeated_; }

 private:
  void take(const StageEvent& event, Llama& engine, int64_t slot);
  void take_softmax(const StageEvent& v_cache, Llama& engine, int64_t slot);
  TracePoint point_of(DType dtype, std::vector<char> bytes, bool recomputed) const;
  void put(const PointKey& key, DType dtype, std::vector<char> bytes, bool recomputed);
  void observe(std::string_view stage, int64_t layer, const reference::RowMatrix& rows);
  template <class F>
  void for_each_wanted(F&& f) const;

  TraceWant want_;
  LlamaConfig config_;
  int64_t n_tokens_, logits_from_;
  std::vector<char> stage_wanted_, layer_wanted_, position_wanted_;
  std::map<PointKey, TracePoint> points_, written_;
  int64_t expected_ = 0, repeated_ = 0;
  std::map<int64_t, std::vector<double>> queries_;  ///< q_post_rope of the layer at hand, by position
  std::shared_ptr<const reference::RowMatrix> reference_q_;
};

/// (m, l) of each head of one query over keys [n, n_kv_heads, head_dim]: m = max_j s_j, l = sum_j exp(s_j - m) with
/// s_j = q.k_j / sqrt(head_dim), in double.
std::vector<double> softmax_stats(const LlamaConfig& config, std::span<const double> query,
                                  std::span<const double> keys);

}  // namespace greta::model
