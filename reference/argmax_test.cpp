#include "reference/argmax.hpp"

#include <algorithm>

#include "reference/test_support.hpp"

namespace greta::reference {
namespace {

TEST(ArgmaxReference, ByHand) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  const std::vector<float> logits = {1,     3,    2,     //
                                     5,     5,    5,     // lowest index of equals
                                     -inf,  -inf, -inf,  // still an index
                                     7,     nan,  nan,   // lowest NaN is index 1
                                     -0.0f, 0.0f, -1,    // zeros are equal
                                     0,     inf,  nan};
  EXPECT_EQ(argmax({.n_rows = 6, .width = 3}, logits), (std::vector<int32_t>{1, 0, 0, -2, 0, -3}));
}

TEST(ArgmaxReference, AgreesWithMaxElement) {
  ArgmaxProblem p{.n_rows = 50, .width = 333};
  auto logits = random_values(p.elements(), 1, 1);
  for (float& v : logits) v = std::round(v * 4);  // many equals
  const auto got = argmax(p, logits);
  for (int64_t row = 0; row < p.n_rows; ++row) {
    const auto begin = logits.begin() + row * p.width;
    EXPECT_EQ(got[static_cast<size_t>(row)], std::max_element(begin, begin + p.width) - begin);
  }
}

}  // namespace
}  // namespace greta::reference
