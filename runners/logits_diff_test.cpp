#include "runners/gates/logits_diff.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/hip/error.hpp"

namespace greta::runners {
namespace {

constexpr int64_t kVocab = 200;

std::vector<float> rows(int64_t n) {
  std::vector<float> v(static_cast<size_t>(n * kVocab));
  for (size_t i = 0; i < v.size(); ++i) v[i] = std::sin(static_cast<float>(i) * 0.7f) * 4.0f;
  return v;
}

TEST(LogitsDiff, EqualBitsAreZeroEverywhere) {
  const auto a = rows(3);
  const LogitsDiff d = compare_logits(a, a, kVocab, 5);
  EXPECT_TRUE(d.bits_equal());
  EXPECT_EQ(d.max_abs_diff(), 0.0);
  EXPECT_EQ(d.p99_abs_diff(), 0.0);
  EXPECT_EQ(d.kl(), 0.0);
  EXPECT_EQ(d.top1_agreement(), 1.0);
}

TEST(LogitsDiff, OneUlpInOneLogitIsSeenAndPlaced) {
  const auto a = rows(3);
  auto b = a;
  b[static_cast<size_t>(kVocab + 17)] = std::nextafter(b[static_cast<size_t>(kVocab + 17)], 100.0f);
  const LogitsDiff d = compare_logits(a, b, kVocab, 5);
  ASSERT_TRUE(d.first_unequal().has_value());
  EXPECT_EQ(*d.first_unequal(), 6);
  EXPECT_EQ(d.at(6).worst_id, 17);
  EXPECT_GT(d.max_abs_diff(), 0.0);
}

TEST(LogitsDiff, NanAndInfinityNeverPass) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    auto a = rows(2);
    a[3] = bad;
    const LogitsDiff d = compare_logits(a, a, kVocab, 0);  // even against itself
    EXPECT_TRUE(d.has_nan());
    EXPECT_FALSE(d.bits_equal());
    EXPECT_EQ(*d.first_above(1e30), 0);
    EXPECT_LT(d.top1_agreement(), 1.0);
  }
}

TEST(LogitsDiff, SignedZerosAreEqual) {
  auto a = rows(1), b = a;
  a[4] = 0.0f, b[4] = -0.0f;
  EXPECT_TRUE(compare_logits(a, b, kVocab, 0).bits_equal());
}

TEST(LogitsDiff, ShiftedPositionsAndSwappedTop1) {
  const auto a = rows(2);
  std::vector<float> shifted(a.begin() + kVocab, a.end());
  shifted.insert(shifted.end(), a.begin(), a.begin() + kVocab);
  const LogitsDiff d = compare_logits(a, shifted, kVocab, 0);
  EXPECT_FALSE(d.bits_equal());
  EXPECT_GT(d.max_relative(), 0.1);
  EXPECT_GT(d.kl(), 0.0);
}

TEST(LogitsDiff, KnownKlAndRelative) {
  const std::vector<float> a = {0.0f, 0.0f}, b = {0.0f, std::log(3.0f)};  // p = (1/2, 1/2), q = (1/4, 3/4)
  const LogitsDiff d = compare_logits(a, b, 2, 0);
  EXPECT_NEAR(d.kl(), 0.5 * std::log(2.0) + 0.5 * std::log(2.0 / 3.0), 1e-7);
  EXPECT_NEAR(d.max_relative(), std::log(3.0) / (std::log(3.0) / std::sqrt(2.0)), 1e-6);
}

TEST(LogitsDiff, MissingDataIsRefused) {
  const auto a = rows(2);
  EXPECT_THROW(compare_logits(a, std::span(a).first(static_cast<size_t>(kVocab)), kVocab, 0), Error);
  EXPECT_THROW(compare_logits({}, {}, kVocab, 0), Error);
}

TEST(LogitsDiff, ConstantRowsAreTrivial) {
  EXPECT_TRUE(logits_are_trivial(std::vector<float>(400, 1.5f), kVocab));
  EXPECT_FALSE(logits_are_trivial(rows(1), kVocab));
  EXPECT_TRUE(logits_are_trivial({}, kVocab));
}

}  // namespace
}  // namespace greta::runners
