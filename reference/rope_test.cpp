#include "reference/rope.hpp"

#include <complex>

#include "kernels/hip/error.hpp"
#include "reference/test_support.hpp"

namespace greta::reference {
namespace {

// A quarter turn for pair 0 and none for pair 1 at position 1; identity at position 0.
const std::vector<float> kQuarter = {1, 0, 1, 0, 0, 1, 1, 0};

TEST(RopeReference, ByHandInterleaved) {
  RopeProblem p{.n_tokens = 2, .head_dim = 4, .n_positions = 2, .dtype = DType::kF32};
  const std::vector<float> x = {1, 2, 3, 4, 5, 6, 7, 8};
  const std::vector<int32_t> positions = {1, 0};
  // Pairs (0,1), (2,3): (1,2) turned by a quarter is (-2,1).
  EXPECT_EQ(rope_twin(p, x, positions, kQuarter), (std::vector<float>{-2, 1, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(rope_oracle(p, x, positions, kQuarter).value, (std::vector<double>{-2, 1, 3, 4, 5, 6, 7, 8}));
}

TEST(RopeReference, ByHandHalfSplit) {
  RopeProblem p{.head_dim = 4, .half_split = 1, .n_positions = 2, .dtype = DType::kF32};
  const std::vector<float> x = {1, 2, 3, 4};
  const std::vector<int32_t> positions = {1};
  // Pairs (0,2), (1,3): (1,3) turned by a quarter is (-3,1).
  EXPECT_EQ(rope_twin(p, x, positions, kQuarter), (std::vector<float>{-3, 2, 1, 4}));
}

TEST(RopeReference, TableByHand) {
  const auto table = rope_table(3, 4, 10000.0);
  EXPECT_EQ(table[0], 1.0f);  // position 0: cos 0
  EXPECT_EQ(table[1], 0.0f);
  EXPECT_FLOAT_EQ(table[4 + 0], 0.54030231f);   // position 1, pair 0: cos 1
  EXPECT_FLOAT_EQ(table[4 + 1], 0.84147098f);   // sin 1
  EXPECT_FLOAT_EQ(table[8 + 3], 0.019998666f);  // position 2, pair 1: angle 2 * 10000^(-1/2) = 0.02
}

TEST(RopeReference, OracleIsAComplexRotation) {
  RopeProblem p{.n_tokens = 5, .n_heads = 3, .head_dim = 64, .n_positions = 100, .dtype = DType::kF32};
  const auto x = random_values(p.elements(), 1, 1);
  const auto table = rope_table(p.n_positions, p.head_dim, 500000.0);
  const std::vector<int32_t> positions = {0, 99, 3, 3, 50};
  const Bounded oracle = rope_oracle(p, x, positions, table);
  for (int64_t t = 0; t < p.n_tokens; ++t)
    for (int64_t h = 0; h < p.n_heads; ++h)
      for (int64_t i = 0; i < p.head_dim / 2; ++i) {
        const auto at = static_cast<size_t>((t * p.n_heads + h) * p.head_dim + 2 * i);
        const double angle = positions[static_cast<size_t>(t)] *
                             std::pow(500000.0, -2.0 * static_cast<double>(i) / static_cast<double>(p.head_dim));
        const std::complex<double> want =
            std::complex<double>(static_cast<double>(x[at]), static_cast<double>(x[at + 1])) * std::polar(1.0, angle);
        // The table is rounded to f32: 2^-25 of each coordinate.
        ASSERT_NEAR(oracle.value[at], want.real(), 2e-7 * std::abs(want));
        ASSERT_NEAR(oracle.value[at + 1], want.imag(), 2e-7 * std::abs(want));
      }
}

TEST(RopeReference, TwinWithinTheBound) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16})
    for (const int64_t half_split : {0, 1}) {
      RopeProblem p{
          .n_tokens = 9, .n_heads = 3, .head_dim = 128, .half_split = half_split, .n_positions = 50, .dtype = dtype};
      const auto x = random_values(p.elements(), 2, 3, dtype);
      std::vector<int32_t> positions;
      for (int32_t t = 0; t < 9; ++t) positions.push_back(t * 6);
      const auto table = rope_table(p.n_positions, p.head_dim, 10000.0);
      expect_within(to_line(p).c_str(), rope_oracle(p, x, positions, table), rope_twin(p, x, positions, table), 0.4);
    }
}

TEST(RopeReference, PositionOutsideTheTableIsRefused) {
  RopeProblem p{.head_dim = 4, .n_positions = 2, .dtype = DType::kF32};
  const std::vector<float> x(4, 1.0f);
  const std::vector<int32_t> beyond = {2}, negative = {-1};
  EXPECT_THROW(rope_twin(p, x, beyond, kQuarter), Error);
  EXPECT_THROW(rope_oracle(p, x, negative, kQuarter), Error);
}

}  // namespace
}  // namespace greta::reference
