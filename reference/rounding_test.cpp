#include "reference/rounding.hpp"

#include <gtest/gtest.h>

#include "kernels/hip/error.hpp"
#include "reference/random.hpp"

namespace greta::reference {
namespace {

TEST(Rounding, UnitsOfTheTypes) {
  EXPECT_EQ(unit_roundoff(DType::kF32), 0x1p-24);
  EXPECT_EQ(unit_roundoff(DType::kF16), 0x1p-11);
  EXPECT_EQ(unit_roundoff(DType::kBF16), 0x1p-8);
  EXPECT_EQ(tiny(DType::kF32), 0x1p-150);
  EXPECT_EQ(tiny(DType::kF16), 0x1p-25);
  EXPECT_EQ(tiny(DType::kBF16), 0x1p-134);
  EXPECT_EQ(kTinyF32, tiny(DType::kF32));
  EXPECT_THROW(unit_roundoff(DType::kQ4K), Error);
}

TEST(Rounding, NearestEvenByHand) {
  EXPECT_EQ(round_to(DType::kF16, 1.0f + 0x1p-11f), 1.0f);               // tie to even
  EXPECT_EQ(round_to(DType::kF16, 1.0f + 0x1.8p-10f), 1.0f + 0x1p-9f);   // tie to even, upwards
  EXPECT_EQ(round_to(DType::kBF16, 1.0f + 0x1p-8f), 1.0f);               // tie to even
  EXPECT_EQ(round_to(DType::kBF16, 1.0f + 0x1.02p-8f), 1.0f + 0x1p-7f);  // just above the tie
  EXPECT_EQ(round_to(DType::kF16, 0x1p-25f), 0.0f);                      // half of the smallest subnormal
  EXPECT_EQ(round_to(DType::kF16, 0x1.8p-25f), 0x1p-24f);
  EXPECT_EQ(round_to(DType::kF16, 65520.0f), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(round_to(DType::kBF16, std::nanf(""))));
}

TEST(Rounding, OnceDiffersFromTwice) {
  // Rounded to f32 first, 1 + 2^-11 + 2^-40 becomes the tie 1 + 2^-11 and goes down; rounded once it goes up.
  const double v = 1.0 + 0x1p-11 + 0x1p-40;
  EXPECT_EQ(round_once(DType::kF16, v), 1.0f + 0x1p-10f);
  EXPECT_EQ(round_to(DType::kF16, static_cast<float>(v)), 1.0f);
}

TEST(Rounding, OnceAgreesWithConversionsWhereTheInputIsAFloat) {
  Random random(7);
  for (int i = 0; i < 200000; ++i) {
    const auto v = static_cast<float>(std::ldexp(random.uniform(-1, 1), static_cast<int>(random.below(60)) - 40));
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16})
      ASSERT_EQ(round_once(type, static_cast<double>(v)), round_to(type, v)) << v << " " << dtype_name(type);
  }
}

TEST(Rounding, ErrorStaysInItsBound) {
  Random random(8);
  for (int i = 0; i < 200000; ++i) {
    const auto v = static_cast<float>(std::ldexp(random.uniform(-1, 1), static_cast<int>(random.below(40)) - 26));
    for (const DType type : {DType::kF16, DType::kBF16}) {
      const double error = std::abs(static_cast<double>(round_to(type, v)) - static_cast<double>(v));
      ASSERT_LE(error, output_rounding(type, std::abs(static_cast<double>(v)))) << v;
    }
  }
  EXPECT_EQ(output_rounding(DType::kF32, 5.0), 0.0);
}

TEST(Rounding, TreePairsNeighboursFirst) {
  // 2^24 + 1 is lost, 1 + 1 is not: the tree gives 2^24 + 2 only when the two ones meet first.
  std::vector<float> late = {0x1p24f, 0.0f, 1.0f, 1.0f};
  EXPECT_EQ(tree_sum(late), 0x1p24f + 2.0f);
  std::vector<float> early = {0x1p24f, 1.0f, 1.0f, 0.0f};
  EXPECT_EQ(tree_sum(early), 0x1p24f);
  std::vector<float> one = {3.0f};
  EXPECT_EQ(tree_sum(one), 3.0f);
}

TEST(Rounding, Gamma) {
  EXPECT_DOUBLE_EQ(gamma(1, 0.25), 0.25 / 0.75);
  EXPECT_TRUE(std::isinf(gamma(4, 0.25)));
  EXPECT_DOUBLE_EQ(compound(0.5, 0.5), 1.25);
}

}  // namespace
}  // namespace greta::reference
