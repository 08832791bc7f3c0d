// One side of a gate: a way to get the logits of a list of token ids, and what the engine really did on the way.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "model/llama.hpp"
#include "results/record.hpp"

namespace greta::runners {

/// prefill | decode | chunk:N | batch:N | reference
struct SideSpec {
  enum class Kind { kPrefill, kDecode, kChunk, kBatch, kReference } kind = Kind::kPrefill;
  int64_t n = 0;  ///< of chunk and batch
  std::string text() const;
  bool has_decode_passes() const { return kind == Kind::kDecode || kind == Kind::kBatch; }
};
/// Throws kInvalidArgument listing the forms.
SideSpec side_from_text(const std::string& flag, const std::string& text);

struct SideRequest {
  SideSpec side;
  std::span<const int32_t> ids;
  int64_t first_position = 0;  ///< logits of positions [first_position, ids.size()) are wanted
  /// Before a pass that starts at position i, the KV rows of positions < i are replaced by those that one prefill pass
  /// over all ids wrote. A side of a single pass reads no earlier rows: nothing to align.
  bool kv_aligned = false;
  uint64_t seed = 1;  ///< batch: place of the sequence, lengths and ids of its neighbours
  /// Called once, before the first pass of the side and after the rows to align with were written: the engine, and the
  /// slot of the sequence. For stage sinks.
  std::function<void(model::Llama& engine, int64_t place)> watch = {};
  /// What that prefill pass is over when not over `ids`, as many: a control, whose rows must show in the logits.
  std::span<const int32_t> aligned_ids = {};
  /// Called when KV rows [from, to) of the sequence have been replaced by those to align with: a trace must then hold
  /// the rows that attention reads.
  std::function<void(model::Llama& engine, int64_t place, int64_t from, int64_t to)> on_aligned = {};
};

/// What happened, as the engine saw it.
struct SideRun {
  SideSpec side;
  std::vector<float> logits;                      ///< [n - first_position, vocab]
  std::vector<hip::LaunchLog::Row> launches;      ///< distinct launches with grid and M
  std::vector<int64_t> kv_rows_read{0, 0, 0, 0};  ///< of earlier positions: nobody's, prefill's, decode's, aligned
  int64_t tokens_fed = 0;                         ///< of the sequence itself
  int64_t place = 0;                              ///< batch: slot of the sequence
  std::string attention_arithmetic;               ///< ids in use, prefill and decode passes
  int64_t planted = 0;                            ///< rows that options.planting changed
  double seconds = 0;
  results::Json config() const;
};

/// Runs a kernel side on its own engine. `options.slots`, `context` and the slot of a planting are set here. Throws
/// kInvalidArgument when a planting changed nothing: its position was not fed.
SideRun run_side(const std::shared_ptr<const model::Weights>& weights, model::EngineOptions options,
                 const SideRequest& request);

/// True when the two runs launched the same kernels with the same grids and the same M: they were one program.
bool same_launches(const SideRun& a, const SideRun& b);

/// Why the flag kv_aligned did nothing on this side: rows that it read are not from where the flag says.
std::optional<std::string> alignment_ignored(const SideRun& run, bool kv_aligned);

}  // namespace greta::runners
