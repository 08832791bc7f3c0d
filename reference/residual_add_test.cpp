#include "reference/residual_add.hpp"

#include "reference/test_support.hpp"

namespace greta::reference {
namespace {

TEST(ResidualAddReference, ByHand) {
  ResidualAddProblem p{.n_rows = 1, .width = 3};
  const std::vector<float> x = {1.5f, -2.0f, 0x1p24f}, y = {0.25f, 2.0f, 1.0f};
  EXPECT_EQ(residual_add_twin(p, x, y), (std::vector<float>{1.75f, 0.0f, 0x1p24f}));
  EXPECT_EQ(residual_add_oracle(p, x, y).value, (std::vector<double>{1.75, 0.0, 0x1p24 + 1}));
}

TEST(ResidualAddReference, TwinWithinTheBound) {
  ResidualAddProblem p{.n_rows = 7, .width = 1000};
  const auto x = random_values(p.elements(), 3, 1), y = random_values(p.elements(), 1, 2);
  expect_within(to_line(p).c_str(), residual_add_oracle(p, x, y), residual_add_twin(p, x, y), 0.8);
}

}  // namespace
}  // namespace greta::reference
