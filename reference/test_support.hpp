// For the tests of this room: random tensors, and the check that a twin lies within its oracle's bound and that the
// bound is of some use.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "reference/random.hpp"
#include "reference/rounding.hpp"

namespace greta::reference {

/// Normal values rounded to the type.
inline std::vector<float> random_values(int64_t n, float sigma, uint64_t seed, DType type = DType::kF32) {
  Random random(seed);
  std::vector<float> out(static_cast<size_t>(n));
  for (float& v : out) v = round_to(type, sigma * random.normal());
  return out;
}

/// Largest |twin - value| / bound; infinite for a NaN or where a bound of zero is missed.
inline double worst_ratio(const Bounded& oracle, const std::vector<float>& twin) {
  if (oracle.value.size() != twin.size() || oracle.bound.size() != twin.size())
    return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (size_t i = 0; i < twin.size(); ++i) {
    const double error = std::abs(static_cast<double>(twin[i]) - oracle.value[i]);
    if (!(error <= oracle.bound[i])) {
      if (!std::isfinite(error) || oracle.bound[i] == 0) return std::numeric_limits<double>::infinity();
    }
    if (error > 0) worst = std::max(worst, error / oracle.bound[i]);
  }
  return worst;
}

/// Expects the worst ratio in [at_least, 1] and prints it: below `at_least` the bound is too loose to find anything.
inline void expect_within(const char* what, const Bounded& oracle, const std::vector<float>& twin, double at_least) {
  const double ratio = worst_ratio(oracle, twin);
  std::printf("  %-58s worst error / bound %.3f\n", what, ratio);
  EXPECT_LE(ratio, 1.0) << what;
  EXPECT_GE(ratio, at_least) << what << ": the bound is too loose";
}

}  // namespace greta::reference
