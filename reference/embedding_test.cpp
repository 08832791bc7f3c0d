#include "reference/embedding.hpp"

#include "kernels/hip/error.hpp"
#include "reference/quant_blocks.hpp"
#include "reference/test_support.hpp"

namespace greta::reference {
namespace {

TEST(EmbeddingReference, ByHandF32) {
  EmbeddingProblem p{.n_tokens = 3, .n_vocab = 2, .width = 2, .weights = DType::kF32};
  const std::vector<float> table = {1, 2, 3, 4};
  const std::vector<int32_t> ids = {1, 0, 1};
  EXPECT_EQ(embedding_twin(p, ids, table.data()), (std::vector<float>{3, 4, 1, 2, 3, 4}));
}

TEST(EmbeddingReference, ByHandQ4K) {
  EmbeddingProblem p{.n_tokens = 1, .n_vocab = 1, .width = 256, .weights = DType::kQ4K};
  Q4KParts parts{.d = 0.5, .dmin = 0.25, .scale = {}, .min = {}, .q = {}};
  parts.scale[1] = 3, parts.min[1] = 5, parts.q[32] = 7;
  const BlockQ4K block = pack(parts);
  const std::vector<int32_t> ids = {0};
  const auto y = embedding_twin(p, ids, &block);
  EXPECT_EQ(y[0], 0.0f);
  EXPECT_EQ(y[32], 0.5f * 3 * 7 - 0.25f * 5);
  EXPECT_EQ(y[33], -1.25f);
}

TEST(EmbeddingReference, TwinIsTheExactValueRoundedOnce) {
  const std::vector<int32_t> ids = {2, 0, 1, 2};
  for (const DType type : {DType::kQ4K, DType::kQ6K, DType::kQ8_0, DType::kF16, DType::kBF16, DType::kF32}) {
    EmbeddingProblem p{.n_tokens = 4, .n_vocab = 3, .width = 512, .weights = type};
    std::vector<unsigned char> table(3 * row_bytes(type, p.width));
    for (uint64_t r = 0; r < 3; ++r)
      random_row(type, RandomBlocks::kAnyBits, 1.0f, r, p.width, table.data() + r * row_bytes(type, p.width));
    const Bounded oracle = embedding_oracle(p, ids, table.data());
    const auto twin = embedding_twin(p, ids, table.data());
    for (size_t i = 0; i < twin.size(); ++i)
      ASSERT_EQ(twin[i], round_once(DType::kF32, oracle.value[i])) << dtype_name(type) << " " << i;
    EXPECT_LE(worst_ratio(oracle, twin), 1.0) << dtype_name(type);
  }
}

TEST(EmbeddingReference, Q4KRoundsWhereItsTwoTermsLieFarApart) {
  EmbeddingProblem p{.n_tokens = 1, .n_vocab = 1, .width = 256, .weights = DType::kQ4K};
  Q4KParts parts{.d = 1000.0, .dmin = 0x1.004p-14, .scale = {}, .min = {}, .q = {}};
  parts.scale[0] = 61, parts.min[0] = 59, parts.q[0] = 13;
  const BlockQ4K block = pack(parts);
  const std::vector<int32_t> ids = {0};
  const Bounded oracle = embedding_oracle(p, ids, &block);
  EXPECT_NE(oracle.value[0], static_cast<double>(embedding_twin(p, ids, &block)[0]));
  expect_within("q4_k, terms far apart", oracle, embedding_twin(p, ids, &block), 0.01);
}

TEST(EmbeddingReference, IdOutsideTheVocabularyIsRefused) {
  EmbeddingProblem p{.n_tokens = 1, .n_vocab = 1, .width = 1, .weights = DType::kF32};
  const float table = 1;
  const std::vector<int32_t> beyond = {1}, negative = {-1};
  EXPECT_THROW(embedding_twin(p, beyond, &table), Error);
  EXPECT_THROW(embedding_oracle(p, negative, &table), Error);
}

}  // namespace
}  // namespace greta::reference
