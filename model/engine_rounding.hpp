// The double reference of a model file, exact or rounding where the engine rounds.
#pragma once

#include <optional>
#include <span>

#include "model/reference_model.hpp"

namespace greta::model {

/// Where the engine rounds: storage types of attention tensors and of other activations. Quantised weights see 8-bit
/// activation blocks besides.
struct EngineRounding {
  DType kv = DType::kF16;
  DType activations = DType::kF16;
};

/// Logits [n - logits_from, vocab] in double. Without `rounding` nothing but double arithmetic happens; with it, the
/// same pass rounds at the engine's rounding points.
reference::RowMatrix reference_logits(const GgufFile& file, const LlamaConfig& config, std::span<const int32_t> ids,
                                      int64_t logits_from = 0, std::optional<EngineRounding> rounding = std::nullopt,
                                      reference::StageObserver observer = {});

}  // namespace greta::model
