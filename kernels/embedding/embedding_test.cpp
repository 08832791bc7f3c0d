#include "kernels/embedding/embedding.hpp"

#include "kernels/quant_matmul/plain_matmul.hpp"

namespace greta {
namespace {
using namespace testing_support;

std::vector<float> run(const EmbeddingProblem& p, const std::vector<uint8_t>& table, const std::vector<int32_t>& ids) {
  hip::Stream stream;
  hip::DeviceTensor rows("table", p.weights, static_cast<size_t>(p.weight_elements()));
  rows.upload_bytes(stream, table.data(), table.size());
  const auto tokens = buffer_of(stream, "ids", ids);
  hip::DeviceBuffer<float> y("y", static_cast<size_t>(p.elements()));
  embedding(stream, embedding_ladder().front(), p, {rows.view(), tokens.cview(), y.view()});
  return y.to_host(stream);
}

std::vector<float> plain(const EmbeddingProblem& p, const std::vector<uint8_t>& table,
                         const std::vector<int32_t>& ids) {
  std::vector<float> y;
  for (const int32_t id : ids)
    for (int64_t c = 0; c < p.width; ++c) {
      const uint8_t* row = table.data() + id * p.row_blocks() * dtype_block_bytes(p.weights);
      if (dtype_block_values(p.weights) == 1) {
        y.push_back(plain_value(p.weights, row, c));
        continue;
      }
      const PlainWeight w = plain_weight(p.weights, row, c);
      const auto q = static_cast<float>(w.q);
      const float d_scale = w.d * static_cast<float>(w.scale), minimum = w.dmin * static_cast<float>(w.min);
      y.push_back(p.weights == DType::kQ4K   ? std::fma(d_scale, q, -minimum)
                  : p.weights == DType::kQ6K ? d_scale * q
                                             : w.d * q);
    }
  return y;
}

constexpr DType kAllWeights[] = {DType::kQ4K, DType::kQ6K, DType::kQ8_0, DType::kF16, DType::kBF16, DType::kF32};

TEST(Embedding, SameBitsAsPlainLoops) {
  for (const DType weights : kAllWeights)
    for (const int64_t blocks : {1, 3, 40}) {
      const int64_t width = blocks * dtype_block_values(weights);
      const EmbeddingProblem p{.n_tokens = 5, .n_vocab = 7, .width = width, .weights = weights};
      const auto table = random_weights(weights, static_cast<size_t>(p.weight_elements()), 11);
      const std::vector<int32_t> ids = {6, 0, 3, 3, 1};
      const auto want = plain(p, table, ids);
      for_every_schedule([&](const std::string& label) {
        EXPECT_EQ(difference(want, run(p, table, ids)), "") << to_line(p) << " " << label;
      });
    }
}

TEST(Embedding, IdsOutsideTheTablePoisonTheirRow) {
  for (const DType weights : kAllWeights) {
    const EmbeddingProblem p{.n_tokens = 4, .n_vocab = 2, .width = 256, .weights = weights};
    const auto y = run(p, random_weights(weights, static_cast<size_t>(p.weight_elements()), 1), {1, 2, -1, 2147483647});
    for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(y[i]), i >= 256) << dtype_name(weights) << " " << i;
  }
}

TEST(Embedding, CostsLinesAndRefusals) {
  const EmbeddingProblem p{.n_tokens = 3, .n_vocab = 10, .width = 512, .weights = DType::kQ6K};
  EXPECT_EQ(p.flops(), 2 * 3 * 512);
  EXPECT_EQ(p.bytes(), 3 * 2 * 210 + 3 * 512 * 4 + 3 * 4);  // blocks, y, ids
  EXPECT_EQ(to_line(from_line<EmbeddingProblem>(to_line(p))), to_line(p));
  expect_refused([] { validate(EmbeddingProblem{.width = 100}); }, {"width", "256", "100"});
  expect_refused([] { validate(EmbeddingProblem{.n_vocab = 0}); }, {"n_vocab", "got 0"});
  hip::Stream stream;
  hip::DeviceTensor table("table", DType::kQ4K, 1);
  const auto ids = buffer_of(stream, "ids", std::vector<int32_t>{0});
  hip::DeviceBuffer<float> y("y", 256);
  expect_refused(
      [&] {
        embedding(stream, embedding_ladder().front(), {.n_vocab = 2}, {table.view(), ids.cview(), y.view()});
      },
      {"embedding_v1", "'table'", "2"});
  expect_refused(
      [&] {
        embedding(stream, embedding_ladder().front(), {.weights = DType::kQ6K}, {table.view(), ids.cview(), y.view()});
      },
      {"table", "q6_k", "q4_k"});
}

}  // namespace
}  // namespace greta
