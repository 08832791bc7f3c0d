#include "reference/rope_table.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/hip/error.hpp"

namespace greta::reference {
namespace {

TEST(RopeTable, ByHand) {
  // head_dim 4, base 100: frequencies 1 and 100^(-1/2) = 0.1.
  const RopeAngles a = {.head_dim = 4, .rope_dim = 4, .freq_base = 100, .freq_factors = {}};
  EXPECT_EQ(rope_frequencies(a)[0], 1.0);
  EXPECT_NEAR(rope_frequencies(a)[1], 0.1, 1e-16);
  const std::vector<float> t = rope_table(a, 11);
  ASSERT_EQ(t.size(), 11u * 2 * 2);
  EXPECT_EQ(t[0], 1.0f);
  EXPECT_EQ(t[1], 0.0f);
  EXPECT_EQ(t[4 * 10 + 0], static_cast<float>(std::cos(10.0)));
  EXPECT_EQ(t[4 * 10 + 1], static_cast<float>(std::sin(10.0)));
  EXPECT_FLOAT_EQ(t[4 * 10 + 2], 0.54030230586f);  // cos 1
  EXPECT_FLOAT_EQ(t[4 * 10 + 3], 0.84147098480f);  // sin 1
}

TEST(RopeTable, LinearScalingAndFactors) {
  RopeAngles a = {.head_dim = 4, .rope_dim = 4, .freq_base = 100, .position_scale = 0.25, .freq_factors = {1.0f, 8.0f}};
  EXPECT_EQ(rope_frequencies(a)[0], 0.25);
  EXPECT_NEAR(rope_frequencies(a)[1], 0.1 / 8 * 0.25, 1e-18);
  a.freq_factors = {1.0f};
  EXPECT_THROW(rope_table(a, 1), Error);
  a.freq_factors = {1.0f, 0.0f};
  EXPECT_THROW(rope_table(a, 1), Error);
}

TEST(RopeTable, PartialRotationLeavesTheRest) {
  const RopeAngles a = {.head_dim = 8, .rope_dim = 4, .freq_base = 100, .freq_factors = {}};
  const std::vector<float> t = rope_table(a, 3);
  for (int p = 0; p < 3; ++p) {
    for (int i = 2; i < 4; ++i) {
      EXPECT_EQ(t[static_cast<size_t>((p * 4 + i) * 2)], 1.0f);
      EXPECT_EQ(t[static_cast<size_t>((p * 4 + i) * 2 + 1)], 0.0f);
    }
  }
  EXPECT_EQ(t[(2 * 4 + 1) * 2], static_cast<float>(std::cos(2 * 0.1)));
}

TEST(RopeTable, Refuses) {
  const auto with = [](auto change) {
    RopeAngles a;
    change(a);
    return a;
  };
  EXPECT_THROW(rope_table(with([](RopeAngles& a) { a.head_dim = 63; }), 1), Error);
  EXPECT_THROW(rope_table(with([](RopeAngles& a) { a.rope_dim = 66; }), 1), Error);
  EXPECT_THROW(rope_table(with([](RopeAngles& a) { a.freq_base = NAN; }), 1), Error);
  EXPECT_THROW(rope_table(with([](RopeAngles& a) { a.position_scale = 0; }), 1), Error);
  EXPECT_THROW(rope_table({}, 0), Error);
}

}  // namespace
}  // namespace greta::reference
