// The equivalence gate: do two paths through the engine give the same logits, and are they right?
//
//   path against path    bits, when both use one arithmetic id of attention; else the reference's bound
//   against reference    relative difference |e - r|_2 / |r - mean(r)|_2 at every position <= bound. The bound is
//   measured on this model and
//                        prompt: the reference pass is run twice, once exact (r) and once rounding exactly where the
//                        engine rounds (t); a right engine stays close to t, so |e - r| stays close to |t - r|. bound =
//                        kBoundFactor * max over positions of |t - r| / |r - mean(r)|, and never below kBoundFloor (f32
//                        accumulation).
//   not vacuous          the two sides launched different kernels, grids or M; KV rows were read from where
//   --kv-aligned says
// Order of verdicts: FAIL (NaN, bits, reference), MISTRUSTED (logits without information), VACUOUS, PASS.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/gguf.hpp"
#include "results/record.hpp"
#include "runners/gates/logits_diff.hpp"
#include "runners/gates/side.hpp"

namespace greta::runners {

inline constexpr double kBoundFactor = 2.0;
inline constexpr double kBoundFloor = 1e-5;

enum class DefectSide { kA, kB, kBoth };

struct GateRequest {
  const model::GgufFile* file = nullptr;
  std::vector<int32_t> ids;
  int64_t span = 0;  ///< last positions to compare; 0: all
  SideSpec a{SideSpec::Kind::kPrefill, 0};
  SideSpec b{SideSpec::Kind::kDecode, 0};
  bool kv_aligned = false;
  model::EngineOptions options;  ///< kv, activations, exp, rungs
  model::Defect defect = model::Defect::kNone;
  DefectSide defect_side = DefectSide::kB;
  uint64_t seed = 1;
};

struct GateResult {
  results::Outcome outcome;
  std::optional<int64_t> first_bad_position;
  std::optional<LogitsDiff> between;      ///< absent when a side is the reference
  std::optional<LogitsDiff> reference_a;  ///< a against the reference
  std::optional<LogitsDiff> reference_b;
  double noise = 0;  ///< max over positions of |t - r| / |r - mean(r)|
  double bound = 0;
  SideRun a, b;
  results::Json measured;  ///< max_abs_diff, p99_abs_diff, top1_agreement, kl, reference {...}, ...
  results::Json config;    ///< effective configuration of both sides
};

/// Throws kInvalidArgument for requests that make no sense (defect on a side it cannot change, prompt longer than the
/// context).
GateResult run_equivalence_gate(const GateRequest& request);

}  // namespace greta::runners
