// greta audit contradictions: observations that cannot both be true fail; no explanation is accepted.
//
//   sound              two paths that agree: what the output matrix read is the same, and so are the logits
//   control            a mistake planted in the residual stream of the last layer: both must show it
//   faster than light  no pass takes less time than its arithmetic at the device's measured best
// What the output matrix read are the rows of final_norm as its kernel sees them (8-bit blocks): smaller differences of
// the residual stream may vanish in that rounding, differences of those blocks cannot vanish in every logit.
//   CONTRADICTION  the matrix read other rows and gave the same logits, or the same rows and other logits; a pass beats
//                  the roofline             VACUOUS  the planted mistake shows nowhere
// (Knobs that must change something: greta audit dtype, batch, kv-aligned, attention, output.)
#pragma once

#include <span>

#include "runners/audits/case_sink.hpp"
#include "runners/gates/side.hpp"

namespace greta::runners {

struct ContradictionRequest {
  const model::GgufFile* file = nullptr;
  std::span<const int32_t> ids;
  model::EngineOptions options;
  uint64_t seed = 1;
  /// Planted in the audit: the logits of side b are those of side a, whatever b computed; or those of b get a bit that
  /// no row explains; or a pass is said to have taken no time.
  bool deaf_logits = false, stray_logits = false, no_time = false;
};

inline constexpr int64_t kContradictionCases = 3;
void audit_contradictions(const ContradictionRequest& request, const CaseSink& cases);

/// One position.
results::Outcome judge_internal(bool read_differs, bool logits_differ, int64_t position);
/// `peak` in FLOP/s.
results::Outcome judge_roofline(double seconds, double flops, double peak);

}  // namespace greta::runners
