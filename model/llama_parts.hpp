// Inside the engine: intermediate tensors, what a pass is, and how rungs are chosen. For model/llama*.cpp only.
#pragma once

#include <fmt/format.h>

#include <map>
#include <tuple>

#include "kernels/hip/graph.hpp"
#include "model/llama.hpp"

namespace greta::model {

/// Rows of logits computed at once: bounds the workspace of a long prompt with a large vocabulary.
inline constexpr int64_t kLogitsChunk = 64;

/// The rung that the options name for the operator, or the last one of the ladder that accepts the problem. A named
/// rung that does not accept it is refused when it is launched, with its reason.
template <class R, class P>
const R& rung_of(const EngineOptions& options, const std::string& name, std::span<const R> ladder, const P& problem) {
  if (const auto it = options.rungs.find(name); it != options.rungs.end()) return find_rung(name, ladder, it->second);
  for (size_t i = ladder.size(); i > 0; --i)
    if (ladder[i - 1].accepts(problem).empty()) return ladder[i - 1];
  throw_invalid(fmt::format("{}: no rung accepts {}; {}: {}", name, to_line(problem), ladder.front().name,
                            ladder.front().accepts(problem)));
}

struct Llama::Pass {
  bool decode = false;
  int64_t rows = 0;
  int64_t slot = 0;    ///< prefill
  int64_t start = 0;   ///< prefill: position of the first row
  int64_t max_kv = 0;  ///< decode: no sequence of the batch has more keys
};

/// What a decode step launches depends on these alone: a recorded step serves every step of its key.
struct Llama::StepKey {
  int64_t rows = 0, max_kv = 0;
  bool logits = false, argmax = false;
  auto operator<=>(const StepKey&) const = default;
};
struct Llama::Step {
  bool launched = false;  ///< eagerly, once: every buffer it needs exists
  hip::Graph graph{"decode"};
};

/// Intermediate tensors of a pass, grown to the largest pass so far.
struct Llama::Scratch {
  int64_t rows = 0;
  hip::DeviceTensor residual, normed, q, k, v, attn_out, branch, gate, up, hidden;
  hip::DeviceTensor act256, act32;
  hip::DeviceTensor attention_workspace;
  hip::DeviceTensor logits, logits_input, chosen;
  /// One buffer, so that a step uploads once: ids, positions, positions of queries, slots, n_kv, each as long
  /// as the pass has rows.
  hip::DeviceBuffer<int32_t> step_inputs;
  hip::DeviceTensor rope_table;
  int64_t rope_rows = 0;
  const void* blocks_of = nullptr;  ///< whose quantised form act256 or act32 hold now
  DType blocks_type = DType::kU8;
  bool branch_pending = false;  ///< `branch` is still to be added to the residual stream: the next norm does that
  std::map<StepKey, Step> steps;

  enum Input { kIds, kPositions, kRopePositions, kSlots, kNKv, kInputs };
  hip::DeviceView<const int32_t> input(Input which, int64_t n) const {
    return step_inputs.cview().slice(static_cast<size_t>(which * n), static_cast<size_t>(n));
  }
};

}  // namespace greta::model
