// Embedding gather on the device: launch function and ladder. Problem and arithmetic: embedding_problem.hpp.
#pragma once

#include <span>

#include "kernels/embedding/embedding_problem.hpp"
#include "kernels/hip/ladder.hpp"
#include "kernels/hip/tensor.hpp"

namespace greta {

struct EmbeddingArgs {
  hip::AnyView table;                  ///< [n_vocab, width / block] of problem.weights
  hip::DeviceView<const int32_t> ids;  ///< [n_tokens]
  hip::DeviceView<float> y;            ///< [n_tokens, width]
};

using EmbeddingLaunch = void (*)(hip::Stream&, const EmbeddingProblem&, const EmbeddingArgs&);
using EmbeddingRung = Rung<EmbeddingProblem, EmbeddingLaunch>;

/// Every rung, slowest first.
std::span<const EmbeddingRung> embedding_ladder();

/// Validates, asks the rung, launches. An id outside [0, n_vocab) is data the host cannot check here: the device reads
/// nothing for it and makes the token's row NaN. Callers that know the ids check them first.
/// Fails with kInvalidArgument naming field, got and wanted.
void embedding(hip::Stream& stream, const EmbeddingRung& rung, const EmbeddingProblem& problem,
               const EmbeddingArgs& args);

}  // namespace greta
