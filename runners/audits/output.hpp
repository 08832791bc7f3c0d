// greta audit output: do the logits come from the hidden row they should come from, through the output matrix of the
// file, by the kernel that was asked for?
//
//   hidden row        the normed row that the output matrix read is recomputed in double from the residual stream: it
//                     must be that of its own position, and not of a neighbour's
//   route NAME        sampled logits recomputed in double from that row and the file's rows (controls: the rows before
//                     and after); the rung's symbol must be among the launches, else VACUOUS; and all routes have the
//                     same bits
//   FAIL  another row was read, or the logits are not those of the file's rows      MISTRUSTED  controls are as near
#pragma once

#include <span>

#include "model/llama.hpp"
#include "runners/audits/case_sink.hpp"

namespace greta::runners {

struct OutputRequest {
  const model::GgufFile* file = nullptr;
  std::span<const int32_t> ids;  ///< at least two
  model::EngineOptions options;  ///< a defect among them
  uint64_t seed = 1;
  int64_t sampled = 24;  ///< vocabulary ids recomputed
};

int64_t output_cases(const OutputRequest& request);
void audit_output(const OutputRequest& request, const CaseSink& cases);

/// The normed row must be met to the rounding of its type, and other rows must be this far away.
inline constexpr double kHiddenNear = 2e-2, kHiddenFar = 0.1;

}  // namespace greta::runners
