// greta audit drift: how far the engine's intermediate tensors are from the model in double, over short and long spans,
// and how that grows with layers and positions.
//
// Rows are paired strictly: token, position, layer, stage and width must be there on both sides, and no others; a row
// that one side lacks is a failure. The measure is elementwise: |e - r|_2 / |r|_2 of a row, root of the mean square
// over the span's rows. (The difference of two sums of absolute values, which is sometimes reported as a mean error, is
// zero for a row in any other order.) What the number formats make by themselves is measured by running the reference a
// second time with a rounding wherever the engine rounds; a stage beyond kDriftFactor of that is FAIL, the first one
// named.
#pragma once

#include <span>

#include "model/llama.hpp"
#include "runners/audits/case_sink.hpp"

namespace greta::runners {

inline constexpr double kDriftFactor = 1.3;
inline constexpr int64_t kDriftSpans[] = {32, 128, 512};

struct DriftRequest {
  const model::GgufFile* file = nullptr;
  std::span<const int32_t> ids;  ///< as many as the longest span
  model::EngineOptions options;  ///< a defect or planting among them
  std::vector<int64_t> spans;    ///< the first N tokens of ids, one case each
};
void audit_drift(const DriftRequest& request, const CaseSink& cases);

}  // namespace greta::runners
