// The whole Llama forward pass in double precision, from dequantised weights: what every path of the engine is held to.
//
//   x = embed[ids];  per layer:  x += Wo attention(rope(Wq h), rope(Wk h), Wv h), h = rms_norm(x);   x += Wdown
//   (silu(Wgate g) * Wup g), g = rms_norm(x);   logits = Wout rms_norm(x)
// Causal; query head h reads KV head h / (n_heads / n_kv_heads); RoPE pairs (2i, 2i+1).
// Exact as it stands: no quantised activations, no rounding of intermediates. With a Rounding hook the same pass rounds
// where the engine rounds (16-bit storage, 8-bit activation blocks) and nowhere else: the distance of the two passes is
// the size of the error that the engine's number formats alone cause on this model and prompt, from which the gate
// takes its bound.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// Declared only: half of the program passes these matrices on without looking into one, and Eigen costs each such file
// seconds. Who does look includes <Eigen/Core>.
namespace Eigen {
template <typename Scalar, int kRows, int kCols, int kOptions, int kMaxRows, int kMaxCols>
class Matrix;
}

namespace greta::reference {

/// Eigen's dynamic matrix, rows one after the other.
using RowMatrix = Eigen::Matrix<double, -1, -1, 1, -1, -1>;

struct LlamaShape {
  int64_t n_layers = 0, dim = 0, n_heads = 0, n_kv_heads = 0, head_dim = 0, ffn_dim = 0, vocab = 0;
  double rms_eps = 1e-5;
  std::vector<double> rope_frequencies;  ///< radians per position of each pair, [head_dim / 2]
};

/// Dequantised weights by GGUF tensor name ("blk.0.attn_q.weight"): [outputs, inputs]; norm weights are [1, dim]. Asked
/// for once a use, so that a large model never lies in memory as doubles.
using WeightSource = std::function<RowMatrix(std::string_view name)>;

/// Rounds in place the rows about to be stored as `stage` (names as in the engine's stages), or, when `matrix` is not
/// empty, a copy of the rows about to be multiplied by that matrix.
using Rounding = std::function<void(std::string_view stage, std::string_view matrix, RowMatrix& rows)>;

/// Called with each stage's rows [n_tokens, width] as they stand; layer is -1 outside layers.
using StageObserver = std::function<void(std::string_view stage, int64_t layer, const RowMatrix& rows)>;

struct LlamaRun {
  Rounding rounding;        ///< optional
  StageObserver observer;   ///< optional
  int64_t logits_from = 0;  ///< rows [logits_from, n) are multiplied by the output matrix
};

/// Logits [n - logits_from, vocab] of ids at positions 0, 1, ... Throws kInvalidArgument when a weight has the wrong
/// shape or an id is outside the vocabulary.
RowMatrix llama_logits(const LlamaShape& shape, const WeightSource& weights, std::span<const int32_t> ids,
                       const LlamaRun& run = {});

}  // namespace greta::reference
