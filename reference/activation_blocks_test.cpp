#include "reference/activation_blocks.hpp"

#include "reference/quant_blocks.hpp"
#include "reference/test_support.hpp"

namespace greta::reference {
namespace {

TEST(ActivationBlocksReference, BytesAreThoseOfRowAfterRow) {
  const auto x = random_values(2 * 512, 1, 3);
  const auto bytes = activation_block_bytes(DType::kQ8Act256, x, 512);
  ASSERT_EQ(bytes.size(), 4 * sizeof(BlockQ8Act256));
  const auto second = quantise_activations_256(std::span(x).subspan(512));
  EXPECT_EQ(std::memcmp(bytes.data() + 2 * sizeof(BlockQ8Act256), second.data(), 2 * sizeof(BlockQ8Act256)), 0);
  EXPECT_EQ(activation_block_bytes(DType::kQ8Act32, x, 512).size(), 32 * sizeof(BlockQ8Act32));
}

TEST(ActivationBlocksReference, FieldsByHand) {
  Bounded h{std::vector<double>(32, 0.0), std::vector<double>(32, 0.0)};
  h.value[3] = -254, h.value[7] = 128, h.bound[7] = 2;  // A = 254, E = 2
  const auto fields = activation_block_oracle(DType::kQ8Act32, h);
  ASSERT_EQ(fields.size(), 2u);
  EXPECT_DOUBLE_EQ(fields[0].value[0], 2.0);
  EXPECT_NEAR(fields[0].bound[0], 2.0 / 127, 1e-5);
  EXPECT_DOUBLE_EQ(fields[1].value[3], -127);
  EXPECT_DOUBLE_EQ(fields[1].value[7], 64);
  EXPECT_NEAR(fields[1].bound[7], 0.5 + 127 * (2 + 128 * 2 / 254.0) / 252, 1e-4);
  EXPECT_NEAR(fields[1].bound[0], 0.5, 1e-4) << "a zero without error of its own stays one";
}

TEST(ActivationBlocksReference, BlocksOfDisturbedValuesAreWithin) {
  // Truth, and values within a known error of it: their blocks must lie within the bound, and use it.
  const auto noise = random_values(1024, 1, 5);
  Bounded truth;
  std::vector<float> seen;
  for (const float v : random_values(1024, 1, 4)) {
    truth.value.push_back(static_cast<double>(v));
    truth.bound.push_back(1e-2);
    seen.push_back(v + 1e-2f * std::clamp(noise[seen.size()], -0.99f, 0.99f));
  }
  const auto fields = activation_block_oracle(DType::kQ8Act256, truth);
  std::vector<float> d, q, sums;
  for (const BlockQ8Act256& b : quantise_activations_256(seen)) {
    d.push_back(b.d);
    for (const int8_t v : b.qs) q.push_back(v);
    for (const int16_t v : b.sums) sums.push_back(v);
  }
  expect_within("d of disturbed values", fields[0], d, 0.01);
  expect_within("q of disturbed values", fields[1], q, 0.3);
  expect_within("sums of disturbed values", fields[2], sums, 0.02);
  q[17] += 6;
  EXPECT_GT(worst_ratio(fields[1], q), 1.0);
}

}  // namespace
}  // namespace greta::reference
