#include "reference/add_rms_norm.hpp"

#include <cstring>

#include "reference/test_support.hpp"

namespace greta::reference {
namespace {

TEST(AddRmsNormReference, ByHand) {
  // (1, -4) + (2, 8) = (3, 4); their mean square is 12.5, with eps 3.5 the root is 4.
  const AddRmsNormProblem p{.n_rows = 1, .width = 2, .eps = 3.5f, .y = DType::kF32, .out = DType::kF32};
  const std::vector<float> x = {1, -4}, addend = {2, 8}, w = {1, -2};
  const AddRmsNormTwin twin = add_rms_norm_twin(p, x, addend, w);
  EXPECT_EQ(twin.x, (std::vector<float>{3, 4}));
  EXPECT_EQ(twin.y, (std::vector<float>{0.75f, -2.0f}));
  const auto oracle = add_rms_norm_oracle(p, x, addend, w);
  ASSERT_EQ(oracle.size(), 2u);
  EXPECT_DOUBLE_EQ(oracle[0].value[1], 4);
  EXPECT_DOUBLE_EQ(oracle[1].value[1], -2);
}

TEST(AddRmsNormReference, QuantisesWhatWasRounded) {
  // All alike but one: 1/3 in bf16 is 0.333984375, and it is that number whose blocks come out.
  AddRmsNormProblem p{.n_rows = 1, .width = 256, .add = 0, .eps = 0, .y = DType::kBF16};
  const std::vector<float> x(256, 1.0f);
  std::vector<float> w(256, 1.0f / 3);
  const AddRmsNormTwin twin = add_rms_norm_twin(p, x, {}, w);
  float d = 0;
  std::memcpy(&d, twin.blocks.data(), 4);
  EXPECT_EQ(d, 0.333984375f / 127.0f);
  EXPECT_EQ(twin.x, x) << "without add the stream stays";
}

TEST(AddRmsNormReference, TwinWithinOracle) {
  for (const DType out : {DType::kF16, DType::kQ8Act256, DType::kQ8Act32}) {
    const AddRmsNormProblem p{.n_rows = 3, .width = 768, .y = DType::kF16, .out = out};
    const auto x = random_values(p.elements(), 2, 1), a = random_values(p.elements(), 1, 2),
               w = random_values(p.width, 1, 3);
    const auto oracle = add_rms_norm_oracle(p, x, a, w);
    const AddRmsNormTwin twin = add_rms_norm_twin(p, x, a, w);
    expect_within("add_rms_norm: x", oracle[0], twin.x, 0.5);
    if (!p.quantised()) expect_within("add_rms_norm: y", oracle[1], twin.y, 0.5);
    if (!p.quantised()) continue;
    std::vector<float> q;
    const auto block = static_cast<size_t>(dtype_block_bytes(out)),
               values = static_cast<size_t>(dtype_block_values(out));
    for (size_t at = 0; at < twin.blocks.size(); at += block)
      for (size_t i = 0; i < values; ++i) q.push_back(static_cast<int8_t>(twin.blocks[at + block - values + i]));
    expect_within("add_rms_norm: q", oracle[2], q, 0.5);
  }
}

}  // namespace
}  // namespace greta::reference
