// Bisection: the first point at which two sides of a model part, what kind of stage it is, and which side is wrong.
//
//   first     by position, then in the order of computation: in a causal model nothing depends on what comes later, so
//             the first point that differs holds the cause or is the cause
//   differs   in bits, where both sides have one arithmetic id and the same types; else (and against the reference) by
//             more than kBoundFactor times what the number formats alone do to that stage of that layer, measured by
//             running the reference twice, exactly and with the engine's rounding (as the equivalence gate does)
//   wrong     each side's point is computed again in double from the inputs that this side itself had
//             (gates/recompute.hpp): diverging is not yet wrong
// A pass that makes logits of its last rows only reads them from elsewhere than one that makes all: a mistake there
// needs the gate's `span` to show. So does the copy of KV rows under kv_aligned, whose points are the rows as copied.
// Verdicts: PASS (no difference), FAIL, VACUOUS (the two sides did the same), INCOMPLETE (a saved trace lacks points).
#pragma once

#include <optional>

#include "model/trace_file.hpp"
#include "runners/gates/recompute.hpp"

namespace greta::runners {

struct StageClass {
  std::string_view stage, name;
};
/// ROUTING/SELECTION, ATTN_KERNEL_INPUTS, ATTENTION_MECHANISM, RESIDUAL_ADD, FFN_NORM_PATH, MLP_OUTPUT or LOGITS for
/// each stage, in the order of computation.
std::span<const StageClass> stage_classes();
/// "UNKNOWN" for a stage that is not in the table.
std::string_view class_of(std::string_view stage);

struct BisectRequest {
  ModelAtHand* model = nullptr;
  std::vector<int32_t> ids;
  TracedSide a, b;
  std::vector<int64_t> positions;  ///< to compare; empty: all
  std::vector<int64_t> layers;     ///< empty: all
  int64_t span = 0;                ///< final_norm and logits of the last N positions alone are made; 0: of all
  bool kv_aligned = false;         ///< as the gate's: k_cache and v_cache are then the rows that later positions read
  uint64_t seed = 1;
};

struct FirstFail {
  model::PointKey key;
  std::string stage, stage_class;
  bool by_bits = false;
  // Over the row; absent when a saved trace has no raw tensors.
  bool has_values = false;
  double mae = 0, max = 0;
  double relative = 0, bound = 0;  ///< against the noise of the formats; bound 0: by bits
  int64_t element = 0, differing = 0, width = 0;
  double value_a = 0, value_b = 0;
  std::string place;  ///< "row 4, head 2 of 4 (KV head 1), channel 21 of 64, key tile 0, split 0"
  Recomputed a, b;
  std::string wrong;   ///< "a", "b", "both" or "unknown"
  std::string reason;  ///< how that was found out
};

struct BisectResult {
  results::Outcome outcome;
  std::optional<FirstFail> first;
  int64_t points = 0, differing = 0;  ///< compared; and how many of them differ
  SideRun a, b;
  double seconds = 0;
  results::Json measured = results::Json::object(), config = results::Json::object();
};

/// Throws kInvalidArgument for sides that cannot be compared (two references, a trace of other tokens).
BisectResult run_bisect(const BisectRequest& request);

}  // namespace greta::runners
