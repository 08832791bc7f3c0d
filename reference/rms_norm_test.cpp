#include "reference/rms_norm.hpp"

#include "reference/test_support.hpp"

namespace greta::reference {
namespace {

TEST(RmsNormReference, ByHand) {
  // mean of squares of (3, 4) is 12.5; eps 3.5 makes 16, the root 4.
  RmsNormProblem p{.n_rows = 1, .width = 2, .eps = 3.5f, .y = DType::kF32};
  const std::vector<float> x = {3, 4}, w = {1, -2};
  const Bounded oracle = rms_norm_oracle(p, x, w);
  EXPECT_DOUBLE_EQ(oracle.value[0], 0.75);
  EXPECT_DOUBLE_EQ(oracle.value[1], -2.0);
  EXPECT_EQ(rms_norm_twin(p, x, w), (std::vector<float>{0.75f, -2.0f}));
}

TEST(RmsNormReference, EveryRowHasItsOwnMean) {
  RmsNormProblem p{.n_rows = 2, .width = 4, .eps = 0.0f, .y = DType::kF32};
  const std::vector<float> x = {1, -1, 1, 1, 8, 8, -8, 8}, w = {1, 2, 3, 4};
  EXPECT_EQ(rms_norm_twin(p, x, w), (std::vector<float>{1, -2, 3, 4, 1, 2, -3, 4}));
}

TEST(RmsNormReference, OracleAgreesWithTheFormulaInLongDouble) {
  RmsNormProblem p{.n_rows = 3, .width = 777, .y = DType::kF32};
  const auto x = random_values(p.elements(), 2, 1), w = random_values(p.width, 1, 2);
  const Bounded oracle = rms_norm_oracle(p, x, w);
  for (int64_t row = 0; row < p.n_rows; ++row) {
    long double sum = 0;
    for (int64_t c = 0; c < p.width; ++c) {
      const long double v = x[static_cast<size_t>(row * p.width + c)];
      sum += v * v;
    }
    const long double root = std::sqrt(sum / p.width + static_cast<long double>(p.eps));
    for (int64_t c = 0; c < p.width; ++c) {
      const auto i = static_cast<size_t>(row * p.width + c);
      const auto want = static_cast<double>(static_cast<long double>(x[i]) * w[static_cast<size_t>(c)] / root);
      ASSERT_NEAR(oracle.value[i], want, 1e-14 * std::abs(want));
    }
  }
}

TEST(RmsNormReference, TwinOrderByHand) {
  // Thread 0 holds 2^12 (square 2^24), thread 1 holds four ones (columns 4-7): its chain gives 4, which survives.
  // Column after column into one sum would lose each 1 against 2^24.
  RmsNormProblem p{.n_rows = 1, .width = 8, .eps = 0.0f, .y = DType::kF32};
  const std::vector<float> x = {0x1p12f, 0, 0, 0, 1, 1, 1, 1}, w(8, 1.0f);
  const float r = 1.0f / std::sqrt((0x1p24f + 4.0f) / 8.0f);
  EXPECT_EQ(rms_norm_twin(p, x, w)[4], r);
  EXPECT_NE(r, 1.0f / std::sqrt(0x1p24f / 8.0f));
}

TEST(RmsNormReference, TwinWithinTheBound) {
  for (const int64_t width : {1, 2, 63, 256, 1000, 1024, 1025, 4096, 14336})
    for (const DType y : {DType::kF32, DType::kF16, DType::kBF16}) {
      RmsNormProblem p{.n_rows = 4, .width = width, .y = y};
      const auto x = random_values(p.elements(), 3, 10 + static_cast<uint64_t>(width));
      const auto w = random_values(p.width, 1, 11);
      expect_within(to_line(p).c_str(), rms_norm_oracle(p, x, w), rms_norm_twin(p, x, w),
                    y == DType::kF32 ? (width > 4096 ? 0.02 : 0.03) : 0.3);
    }
}

TEST(RmsNormReference, TinyValuesStayInTheBound) {
  RmsNormProblem p{.n_rows = 4, .width = 300, .eps = 0.0f, .y = DType::kF32};
  const auto x = random_values(p.elements(), 1e-21f, 4), w = random_values(p.width, 1, 5);
  EXPECT_LE(worst_ratio(rms_norm_oracle(p, x, w), rms_norm_twin(p, x, w)), 1.0);
}

}  // namespace
}  // namespace greta::reference
