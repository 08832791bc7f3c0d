#include "model/reference_model.hpp"

#include <gtest/gtest.h>
#include <Eigen/Core>

#include <fstream>
#include <nlohmann/json.hpp>

#include "kernels/hip/error.hpp"

namespace greta::model {
namespace {

TEST(ReferenceModel, SampleConfig) {
  const LlamaConfig c = read_config(GgufFile::open(GRETA_SOURCE_DIR "/model/samples/sample-llama-a.q4_k_m.gguf"));
  EXPECT_EQ(c.name, "sample-llama-a");
  EXPECT_EQ(c.n_layers, 8);
  EXPECT_EQ(c.context_length, 2048);
  EXPECT_EQ(c.dim, 256);
  EXPECT_EQ(c.ffn_dim, 768);
  EXPECT_EQ(c.n_heads, 4);
  EXPECT_EQ(c.n_kv_heads, 2);
  EXPECT_EQ(c.head_dim, 64);
  EXPECT_EQ(c.vocab_size, 4096);
  EXPECT_EQ(c.rope_dim, 64);
  EXPECT_EQ(c.rope_freq_base, 500000);
  EXPECT_EQ(c.rms_eps, static_cast<double>(1e-5f));
  EXPECT_FALSE(c.tied_output);
  EXPECT_EQ(c.group(), 2);
  EXPECT_EQ(n_parameters(c), 2 * 4096 * 256 + 256 + 8 * (2 * 256 + 256 * (2 * 256 + 2 * 128 + 3 * 768)));
}

// Reader, block formats, RoPE, GQA map and forward pass against logits that were computed elsewhere.
TEST(ReferenceModel, SampleLogits) {
  const GgufFile file = GgufFile::open(GRETA_SOURCE_DIR "/model/samples/sample-llama-a.q4_k_m.gguf");
  const LlamaConfig config = read_config(file);
  const auto expected = nlohmann::json::parse(std::ifstream(GRETA_SOURCE_DIR "/model/samples/expected.q4_k_m.json"));
  const auto ids = expected["ids"].get<std::vector<int32_t>>();
  const reference::RowMatrix logits =
      reference::llama_logits(reference_shape(config), reference_weights(file, config), ids);
  ASSERT_EQ(logits.rows(), 48);
  ASSERT_EQ(logits.cols(), 4096);
  for (int i = 0; i < 48; ++i) {
    Eigen::Index best = -1;
    const double top = logits.row(i).maxCoeff(&best);
    EXPECT_EQ(best, expected["top1"][static_cast<size_t>(i)].get<int>()) << "position " << i;
    EXPECT_NEAR(top, expected["top1_logits"][static_cast<size_t>(i)].get<double>(), 1e-5);
    for (size_t k = 0; k < expected["probe_ids"].size(); ++k)
      EXPECT_NEAR(logits(i, expected["probe_ids"][k].get<int>()),
                  expected["probe_logits"][static_cast<size_t>(i)][k].get<double>(), 1e-5);
  }
}

TEST(ReferenceModel, MissingWeightIsNamed) {
  const GgufFile file = GgufFile::open(GRETA_SOURCE_DIR "/model/samples/sample-llama-a.q4_k_m.gguf");
  EXPECT_THROW(reference_weights(file, read_config(file))("blk.8.attn_q.weight"), Error);
}

}  // namespace
}  // namespace greta::model
