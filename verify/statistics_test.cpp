#include <gtest/gtest.h>

#include <cmath>

#include "reference/random.hpp"
#include "verify/compare.hpp"

namespace greta::verify {
namespace {

constexpr int64_t kRows = 64, kWidth = 64;

struct Sample {
  Tensor got{"y", DType::kBF16, {{"row", kRows}, {"c", kWidth}}};
  reference::Bounded oracle;

  /// Values as `round` makes them of exact doubles.
  template <class Round>
  explicit Sample(Round&& round) {
    reference::Random random(5);
    for (int64_t i = 0; i < got.count(); ++i) {
      const auto exact = static_cast<double>(random.normal());
      oracle.value.push_back(exact);
      oracle.bound.push_back(1);
      got.set(i, round(exact));
    }
  }
  Statistics figures() const { return statistics(got, oracle, {}); }
};

float nearest(double v) { return reference::round_once(DType::kBF16, v); }
float towards_zero(double v) {
  const float f = static_cast<float>(v);
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  bits &= 0xffff0000u;
  float out;
  std::memcpy(&out, &bits, 4);
  return out;
}
float downwards(double v) {
  const float down = towards_zero(v);
  return static_cast<double>(down) <= v ? down : nearest(static_cast<double>(down) * (1 + 0x1p-8));
}

const Ceilings kCeilings{
    .nmse = 0x1p-16, .worst_row_nmse = 0x1p-16, .p99_ulp = 0, .one_minus_cos = 0x1p-16, .bias = 0.2};

TEST(Statistics, NearestRoundingIsWithinItsCeilings) {
  const Statistics s = Sample(nearest).figures();
  EXPECT_EQ(exceeded(s, kCeilings), "");
  EXPECT_EQ(s.max_ulp, 0);
  EXPECT_GT(s.nmse, 1e-7);
  EXPECT_EQ(s.elements, kRows * kWidth);
}

TEST(Statistics, RoundingTowardsZeroIsABias) {
  const Statistics s = Sample(towards_zero).figures();
  EXPECT_LT(s.bias_to_zero, -0.95);
  EXPECT_LT(std::abs(s.bias), 0.2);
  EXPECT_NE(exceeded(s, kCeilings).find("towards or away from zero"), std::string::npos);
}

TEST(Statistics, RoundingDownIsABias) {
  const Statistics s = Sample(downwards).figures();
  EXPECT_LT(s.bias, -0.95);
  EXPECT_NE(exceeded(s, kCeilings).find("bias (mean error"), std::string::npos);
}

TEST(Statistics, OneBadRowShowsInTheWorstRow) {
  Sample sample(nearest);
  for (int64_t c = 0; c < kWidth; ++c) sample.got.set(17 * kWidth + c, 0.0f);
  const Statistics s = sample.figures();
  EXPECT_EQ(s.worst_row, 17);
  EXPECT_DOUBLE_EQ(s.worst_row_nmse, 1.0);
  EXPECT_LT(s.nmse, 0.03) << "the mean hides it";
  EXPECT_NE(exceeded(s, kCeilings).find("NMSE of row 17"), std::string::npos);
}

TEST(Statistics, NanExceedsEveryCeiling) {
  Sample sample(nearest);
  sample.got.set(5, std::nanf(""));
  const std::string text = exceeded(sample.figures(), kCeilings);
  EXPECT_NE(text.find("NMSE is nan"), std::string::npos) << text;
  EXPECT_NE(text.find("1 - cos"), std::string::npos) << text;
}

TEST(Statistics, ByHand) {
  Tensor got("y", DType::kF32, {{"c", 2}});
  got.set(0, 3.0f), got.set(1, 5.0f);
  const Statistics s = statistics(got, {{3.0, 4.0}, {1, 1}}, {});
  EXPECT_DOUBLE_EQ(s.nmse, 1.0 / 25);
  EXPECT_DOUBLE_EQ(s.one_minus_cos, 1 - 29.0 / (5 * std::sqrt(34.0)));
  EXPECT_DOUBLE_EQ(s.bias, 1.0);
  EXPECT_EQ(s.max_ulp, static_cast<double>(1 << 21));
  EXPECT_EQ(statistics(got, {{3.0, 4.0}, {1, 1}}, {1, 0}).nmse, 0.0) << "only what is written counts";
}

TEST(Statistics, ZerosAgainstNumbers) {
  const Statistics s = Sample([](double) { return 0.0f; }).figures();
  EXPECT_DOUBLE_EQ(s.nmse, 1.0);
  EXPECT_DOUBLE_EQ(s.one_minus_cos, 1.0);
}

}  // namespace
}  // namespace greta::verify
