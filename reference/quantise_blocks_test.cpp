// Quality and safety of the weight quantiser, and the statistics of random blocks.
#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/hip/error.hpp"
#include "reference/quant_blocks.hpp"
#include "reference/random.hpp"

namespace greta::reference {
namespace {

const DType kQuantised[] = {DType::kQ8_0, DType::kQ4K, DType::kQ6K};

std::vector<double> round_trip(DType type, const std::vector<float>& x, int64_t* n_clipped = nullptr) {
  std::vector<char> row(row_bytes(type, static_cast<int64_t>(x.size())));
  const int64_t n = quantise_row(type, x, row.data());
  if (n_clipped != nullptr) *n_clipped = n;
  std::vector<double> out(x.size());
  dequantise_row(type, row.data(), std::span<double>(out));
  return out;
}

double relative_rmse(const std::vector<float>& x, const std::vector<double>& y) {
  double error = 0, size = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += (y[i] - x[i]) * (y[i] - x[i]);
    size += static_cast<double>(x[i]) * x[i];
  }
  return std::sqrt(error / size);
}

std::vector<float> bell(size_t n, float sigma, uint64_t seed) {
  Random random(seed);
  std::vector<float> x(n);
  for (float& v : x) v = sigma * random.normal();
  return x;
}

/// The error of the plainest grid, with exact (unrounded) scales: steps (max - min) / n_steps over groups.
double plain_grid_rmse(const std::vector<float>& x, size_t group, int n_steps, bool symmetric) {
  std::vector<double> y(x.size());
  for (size_t start = 0; start < x.size(); start += group) {
    float lo = 0, hi = 0;
    for (size_t i = start; i < start + group; ++i) {
      lo = std::min(lo, x[i]);
      hi = std::max(hi, x[i]);
    }
    if (symmetric) {
      hi = std::max(hi, -lo);
      lo = -hi;
    }
    const double step = (hi - lo) / n_steps;
    for (size_t i = start; i < start + group; ++i) y[i] = lo + step * std::nearbyint((x[i] - lo) / step);
  }
  return relative_rmse(x, y);
}

TEST(QuantiseBlocks, ErrorOfABellIsWhatTheFormatAllows) {
  const std::vector<float> x = bell(256 * 200, 0.02f, 3);
  const double q4k = relative_rmse(x, round_trip(DType::kQ4K, x));
  const double q6k = relative_rmse(x, round_trip(DType::kQ6K, x));
  // Better than a plain grid with unrounded scales, though ours are rounded to 6 and 8 bits.
  EXPECT_LT(q4k, plain_grid_rmse(x, 32, 15, false));
  EXPECT_LT(q6k, plain_grid_rmse(x, 16, 62, true));
  // Measured when the search was written: 0.00507, 0.0684, 0.0162, 0.00021. A drift upwards is a loss of quality.
  EXPECT_LT(relative_rmse(x, round_trip(DType::kQ8_0, x)), 0.0052);
  EXPECT_LT(q4k, 0.0700);
  EXPECT_LT(q6k, 0.0166);
  EXPECT_LT(relative_rmse(x, round_trip(DType::kF16, x)), 0.00022);
}

TEST(QuantiseBlocks, ScaleDoesNotMatter) {
  // Powers of two scale the error with them while d stays a normal F16.
  const std::vector<float> x = bell(256 * 8, 0.5f, 4);
  for (const DType type : kQuantised) {
    const double base = relative_rmse(x, round_trip(type, x));
    for (const float factor : {0x1p-6f, 0x1p8f}) {
      std::vector<float> y = x;
      for (float& v : y) v *= factor;
      EXPECT_NEAR(relative_rmse(y, round_trip(type, y)), base, 0.05 * base) << dtype_name(type) << " " << factor;
    }
  }
}

TEST(QuantiseBlocks, ExactWhereTheFormatIsExact) {
  std::vector<float> x(256);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 16);  // q = value, s = 1, m = 0
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(round_trip(DType::kQ4K, x)[i], x[i], 1e-2) << i;
  for (float& v : x) v = -0.75f;  // a constant sub-block is its minimum alone
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(round_trip(DType::kQ4K, x)[i], -0.75, 1e-3) << i;
  for (const DType type : kQuantised) {
    for (const double v : round_trip(type, std::vector<float>(512, 0.0f))) EXPECT_EQ(v, 0.0);
  }
}

TEST(QuantiseBlocks, AnyFiniteInputGivesFiniteWeights) {
  Random random(5);
  for (int trial = 0; trial < 300; ++trial) {
    std::vector<float> x(256);
    const int spread = static_cast<int>(random.below(270));
    for (float& v : x) {
      v = std::ldexp(random.normal(), static_cast<int>(random.below(static_cast<uint64_t>(spread) + 1)) - 146);
      if (random.below(4) == 0) v = 0;
      if (trial % 10 == 1) v = random.below(2) == 0 ? FLT_MAX : -FLT_MAX;
      if (trial % 10 == 2) v = FLT_TRUE_MIN;
    }
    for (const DType type : kQuantised) {
      int64_t n_clipped = -1;
      const std::vector<double> y = round_trip(type, x, &n_clipped);
      float amax = 0;
      for (const float v : x) amax = std::max(amax, std::fabs(v));
      for (const double v : y) {
        ASSERT_TRUE(std::isfinite(v)) << dtype_name(type) << " trial " << trial;
        ASSERT_LE(std::fabs(v), 1.2 * amax + 1e-4) << dtype_name(type) << " trial " << trial;
      }
      if (trial % 10 == 1) {
        ASSERT_GT(n_clipped, 0);
      }
    }
  }
}

TEST(QuantiseBlocks, ClippingIsCounted) {
  std::vector<float> x(256, 1.0f);
  int64_t n = -1;
  for (const DType type : {DType::kQ8_0, DType::kQ4K, DType::kQ6K, DType::kF16, DType::kBF16}) {
    round_trip(type, x, &n);
    EXPECT_EQ(n, 0) << dtype_name(type);
  }
  x[40] = 1e9f;
  for (const DType type : {DType::kQ8_0, DType::kQ4K, DType::kQ6K, DType::kF16}) {
    round_trip(type, x, &n);
    EXPECT_EQ(n, 1) << dtype_name(type);
  }
  EXPECT_EQ(round_trip(DType::kF16, x)[40], 65504.0);
  x[40] = FLT_MAX;
  EXPECT_EQ(round_trip(DType::kBF16, x, &n)[40], 0x1.fep127);
  EXPECT_EQ(n, 1);
}

TEST(QuantiseBlocks, RefusesNaNAndInfinity) {
  std::vector<float> x(256, 1.0f);
  std::vector<char> out(1024);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    x[77] = bad;
    for (const DType type : {DType::kQ8_0, DType::kQ4K, DType::kQ6K, DType::kF16, DType::kF32}) {
      try {
        quantise_row(type, x, out.data());
        FAIL() << dtype_name(type) << " accepted " << bad;
      } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find("value 77"), std::string::npos) << e.what();
      }
    }
  }
}

TEST(RandomBlocks, WeightsHaveTheSigmaAskedFor) {
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4K, DType::kQ6K}) {
    for (const float sigma : {0.02f, 1.0f}) {
      std::vector<char> row(row_bytes(type, 1 << 16));
      random_row(type, RandomBlocks::kWeights, sigma, 42, 1 << 16, row.data());
      std::vector<double> w(1 << 16);
      dequantise_row(type, row.data(), std::span<double>(w));
      double mean = 0, square = 0, fourth = 0;
      for (const double v : w) {
        mean += v / sigma;
        square += v / sigma * (v / sigma);
        fourth += std::pow(v / sigma, 4);
      }
      const double n = static_cast<double>(w.size());
      EXPECT_NEAR(mean / n, 0, 0.03) << dtype_name(type);
      EXPECT_NEAR(std::sqrt(square / n), 1, 0.02) << dtype_name(type);
      EXPECT_GT(fourth / n, 2.2) << dtype_name(type);  // uniform would be 1.8, normal 3
      EXPECT_LT(fourth / n, 3.4) << dtype_name(type);
    }
  }
}

TEST(RandomBlocks, SeedDecidesEveryBit) {
  for (const DType type : {DType::kF16, DType::kQ8_0, DType::kQ4K, DType::kQ6K}) {
    for (const RandomBlocks kind : {RandomBlocks::kWeights, RandomBlocks::kAnyBits}) {
      std::vector<char> a(row_bytes(type, 1024)), b(a.size()), c(a.size());
      random_row(type, kind, 0.1f, 1, 1024, a.data());
      random_row(type, kind, 0.1f, 1, 1024, b.data());
      random_row(type, kind, 0.1f, 2, 1024, c.data());
      EXPECT_EQ(a, b);
      EXPECT_NE(a, c);
      EXPECT_NE(std::vector<char>(a.begin(), a.begin() + 34), std::vector<char>(a.end() - 34, a.end()));
    }
  }
}

TEST(RandomBlocks, AnyBitsReachesTheExtremes) {
  bool seen_q4_zero_scale = false, seen_q4_top = false, seen_q6_lowest = false, seen_negative_d = false;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    BlockQ4K a;
    BlockQ6K b;
    random_row(DType::kQ4K, RandomBlocks::kAnyBits, 1.0f, seed, 256, &a);
    random_row(DType::kQ6K, RandomBlocks::kAnyBits, 1.0f, seed, 256, &b);
    const Q4KParts pa = unpack(a);
    const Q6KParts pb = unpack(b);
    for (int j = 0; j < 8; ++j) {
      seen_q4_zero_scale |= pa.scale[j] == 0;
      seen_q4_top |= pa.scale[j] == 63 && pa.min[j] > 60;
    }
    for (const int s : pb.scale) seen_q6_lowest |= s == -128;
    seen_negative_d |= pa.d < 0 && pa.dmin < 0;
    std::vector<double> w(256);
    dequantise_row(DType::kQ6K, &b, std::span<double>(w));
    for (const double v : w) EXPECT_LT(std::fabs(v), 65.0);
  }
  EXPECT_TRUE(seen_q4_zero_scale && seen_q4_top && seen_q6_lowest && seen_negative_d);
}

}  // namespace
}  // namespace greta::reference
