#include "reference/swiglu.hpp"

#include "reference/test_support.hpp"

namespace greta::reference {
namespace {

TEST(SwigluReference, ByHand) {
  SwigluProblem p{.n_rows = 1, .width = 4, .dtype = DType::kF32};
  // silu(0) = 0; silu(200) = 200 (e underflows against 1); silu(-1000) is 0 to every practical end.
  const std::vector<float> gate = {0, 200, -1000, 1}, up = {5, -2, 1, 2};
  const Bounded oracle = swiglu_oracle(p, ExpMode::kPortable, gate, up);
  const auto twin = swiglu_twin(p, gate, up);
  EXPECT_EQ(twin[0], 0.0f);
  EXPECT_EQ(twin[1], -400.0f);
  EXPECT_LT(std::abs(twin[2]), 1e-34f);
  EXPECT_NEAR(oracle.value[3], 1.4621171572600098, 1e-15);  // 2 / (1 + exp(-1))
  EXPECT_FLOAT_EQ(twin[3], 1.46211716f);
}

TEST(SwigluReference, OracleAgreesWithTheTanhForm) {
  // silu(g) = g/2 (1 + tanh(g/2)), in long double.
  SwigluProblem p{.n_rows = 1, .width = 2000, .dtype = DType::kF32};
  const auto gate = random_values(p.elements(), 6, 1), up = random_values(p.elements(), 1, 2);
  const Bounded oracle = swiglu_oracle(p, ExpMode::kPortable, gate, up);
  for (size_t i = 0; i < gate.size(); ++i) {
    const long double g = gate[i];
    const long double want = g / 2 * (1 + std::tanh(g / 2)) * up[i];
    ASSERT_NEAR(oracle.value[i], static_cast<double>(want), 1e-14) << g;
  }
}

TEST(SwigluReference, TwinWithinTheBound) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16})
    for (const float sigma : {0.1f, 3.0f, 40.0f}) {
      SwigluProblem p{.n_rows = 3, .width = 3000, .dtype = dtype};
      const auto gate = random_values(p.elements(), sigma, 3, dtype), up = random_values(p.elements(), 1, 4, dtype);
      expect_within((to_line(p) + " sigma " + std::to_string(sigma)).c_str(),
                    swiglu_oracle(p, ExpMode::kPortable, gate, up), swiglu_twin(p, gate, up), 0.3);
    }
}

TEST(SwigluReference, FarTailsStayInTheBound) {
  SwigluProblem p{.n_rows = 1, .width = 2000, .dtype = DType::kF32};
  std::vector<float> gate, up(2000, 1.0f);
  for (int i = 0; i < 2000; ++i) gate.push_back(-80.0f - static_cast<float>(i) * 0.01f);
  EXPECT_LE(worst_ratio(swiglu_oracle(p, ExpMode::kPortable, gate, up), swiglu_twin(p, gate, up)), 1.0);
}

}  // namespace
}  // namespace greta::reference
