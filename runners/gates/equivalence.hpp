// The equivalence gate: do two paths through the engine give the same logits, and are they right?
//
//   path against path    bits, when both use one arithmetic id of attention; else the reference's bound
//   against reference    relative difference |e - r|_2 / |r - mean(r)|_2. Its bounds are measured on this model and
//                        prompt: the reference pass is run twice, once exact (r) and once rounding exactly where the
//                        engine rounds (t). A right engine makes errors of the size of |t - r|, which are the number
//                        formats' own (the "noise").
//                          every position <= kBoundFactor * the noisiest position (and kBoundFloor, f32 accumulation)
//                          root mean square over positions <= rms_factor(n) * that of the noise
//                        The second is the sharp one: over 64 positions a right engine stays within 1.05 of the noise
//                        on the sample models, and one sub-block scale of one matrix read wrongly gives 1.36.
//   not vacuous          the two sides launched different kernels, grids or M; KV rows were read from where
//                        --kv-aligned says
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
/// Few positions scatter more: 1.17 at 64 positions, 1.28 at 12, 2.65 at one.
constexpr double rms_factor(double positions) { return 1.15 + 1.5 / positions; }

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
  double noise = 0;      ///< max over positions of |t - r| / |r - mean(r)|
  double noise_rms = 0;  ///< root mean square over positions of the same
  double bound = 0;      ///< on every position
  double bound_rms = 0;  ///< on the root mean square
  SideRun a, b;
  results::Json measured;  ///< max_abs_diff, p99_abs_diff, top1_agreement, kl, reference {...}, ...
  results::Json config;    ///< effective configuration of both sides
};

/// Throws kInvalidArgument for requests that make no sense (defect on a side it cannot change, prompt longer than the
/// context).
GateResult run_equivalence_gate(const GateRequest& request);

}  // namespace greta::runners
