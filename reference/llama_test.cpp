#include "reference/llama.hpp"

#include <gtest/gtest.h>
#include <Eigen/Core>

#include <cmath>
#include <map>
#include <random>

#include "kernels/hip/error.hpp"

namespace greta::reference {
namespace {

/// A model so small that its logits can be worked out by hand: one layer, one head of two channels, two tokens of
/// vocabulary.
struct TinyModel {
  LlamaShape shape;
  std::map<std::string, RowMatrix, std::less<>> weights;
  int asked = 0;

  TinyModel() {
    shape.n_layers = 1, shape.dim = 2, shape.n_heads = 1, shape.n_kv_heads = 1, shape.head_dim = 2, shape.ffn_dim = 1;
    shape.vocab = 2, shape.rms_eps = 0.0, shape.rope_frequencies = {M_PI / 2};
    const RowMatrix one = RowMatrix::Ones(1, 2), zero = RowMatrix::Zero(2, 2), identity = RowMatrix::Identity(2, 2);
    weights["token_embd.weight"] = (RowMatrix(2, 2) << 1, 1, 1, -1).finished();
    weights["blk.0.attn_norm.weight"] = one;
    weights["blk.0.attn_q.weight"] = identity;
    weights["blk.0.attn_k.weight"] = identity;
    weights["blk.0.attn_v.weight"] = identity;
    weights["blk.0.attn_output.weight"] = identity;
    weights["blk.0.ffn_norm.weight"] = one;
    weights["blk.0.ffn_gate.weight"] = RowMatrix::Zero(1, 2);
    weights["blk.0.ffn_up.weight"] = RowMatrix::Ones(1, 2);
    weights["blk.0.ffn_down.weight"] = RowMatrix::Ones(2, 1);
    weights["output_norm.weight"] = one;
    weights["output.weight"] = identity;
  }
  WeightSource source() {
    return [this](std::string_view name) {
      ++asked;
      return weights.find(name)->second;
    };
  }
};

TEST(ReferenceLlama, HandWorkedSecondToken) {
  TinyModel m;
  const std::vector<int32_t> ids = {0, 1};
  const RowMatrix logits = llama_logits(m.shape, m.source(), ids);
  // Token 0 at position 0 is (1,1), already of unit mean square; its attention sees itself alone, so x = (2,2); silu(0)
  // = 0 silences the feed-forward; normalised (1,1).
  EXPECT_NEAR(logits(0, 0), 1.0, 1e-12);
  EXPECT_NEAR(logits(0, 1), 1.0, 1e-12);
  // Token 1 at position 1 is (1,-1), turned by 90 degrees to (1,1) as query and key; the key of position 0 is (1,1):
  // both scores are 2/sqrt(2), both probabilities 1/2, the mixed value (1,0); x = (2,-1), mean square 5/2.
  EXPECT_NEAR(logits(1, 0), 2.0 / std::sqrt(2.5), 1e-12);
  EXPECT_NEAR(logits(1, 1), -1.0 / std::sqrt(2.5), 1e-12);
}

TEST(ReferenceLlama, LaterTokensDoNotChangeEarlierLogits) {
  TinyModel m;
  m.weights["blk.0.ffn_gate.weight"] = (RowMatrix(1, 2) << 0.3, -0.7).finished();
  const std::vector<int32_t> three = {0, 1, 1}, two = {0, 1};
  const RowMatrix a = llama_logits(m.shape, m.source(), three), b = llama_logits(m.shape, m.source(), two);
  EXPECT_LT((a.topRows(2) - b).cwiseAbs().maxCoeff(), 1e-14);
  LlamaRun last;
  last.logits_from = 2;
  const RowMatrix c = llama_logits(m.shape, m.source(), three, last);
  ASSERT_EQ(c.rows(), 1);
  EXPECT_LT((a.row(2) - c.row(0)).cwiseAbs().maxCoeff(), 1e-14);
}

TEST(ReferenceLlama, StagesComeInOrderAndRoundingReachesEveryMatrix) {
  TinyModel m;
  const std::vector<int32_t> ids = {0, 1};
  std::vector<std::string> stages, matrices;
  LlamaRun run;
  run.observer = [&](std::string_view stage, int64_t, const RowMatrix&) { stages.emplace_back(stage); };
  run.rounding = [&](std::string_view, std::string_view matrix, RowMatrix&) {
    if (!matrix.empty()) matrices.emplace_back(matrix);
  };
  llama_logits(m.shape, m.source(), ids, run);
  EXPECT_EQ(stages.front(), "embed_out");
  EXPECT_EQ(stages.back(), "logits");
  EXPECT_EQ(matrices.size(), 8u);  // q, k, v, output, gate, up, down, logits
}

TEST(ReferenceLlama, RefusesWrongShapesAndIds) {
  TinyModel m;
  const std::vector<int32_t> outside = {0, 2}, ids = {0};
  EXPECT_THROW(llama_logits(m.shape, m.source(), outside), Error);
  m.weights["output.weight"] = RowMatrix::Zero(2, 3);
  EXPECT_THROW(llama_logits(m.shape, m.source(), ids), Error);
}

}  // namespace
}  // namespace greta::reference
