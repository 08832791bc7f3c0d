// exp2_portable against 2^x in double: error over the whole domain, exact powers, both ends, NaN; and against the same
// definition written the textbook way (rint, integer addition to the exponent).
#include "kernels/tile/exp2_portable.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <span>

namespace greta {
namespace {

/// Distance in units of the last place of the f32 nearest to `want`.
double ulp_error(float got, double want) {
  const double spacing = std::ldexp(1.0, std::ilogb(want) - 23);
  return std::abs(static_cast<double>(got) - want) / spacing;
}

constexpr float kCoefficients[] = {1.0f,           0x1.62e43p-1f,   0x1.ebfbep-3f,  0x1.c6af6cp-5f,
                                   0x1.3b2a54p-7f, 0x1.5f0890p-10f, 0x1.44138ap-13f};

float textbook(float x, std::span<const float, 7> c = kCoefficients) {
  x = std::min(std::max(x, -126.0f), 127.0f);
  const float n = std::rint(x);
  const float f = x - n;
  float p = c[6];
  for (int k = 5; k >= 0; --k) p = std::fma(p, f, c[k]);
  return std::bit_cast<float>(std::bit_cast<int32_t>(p) + (static_cast<int32_t>(n) << 23));
}

template <class F>
void for_dense_sample(F&& f) {
  // Every 1021st float from -126 to -2^-30 and from 2^-30 to 127, so that all exponents and low bits occur.
  for (const float end : {-126.0f, 127.0f}) {
    const uint32_t sign = std::bit_cast<uint32_t>(end) & 0x80000000u;
    const uint32_t first = std::bit_cast<uint32_t>(0x1p-30f), last = std::bit_cast<uint32_t>(std::abs(end));
    for (uint32_t u = first; u <= last; u += 1021) f(std::bit_cast<float>(u | sign));
  }
  // An even grid as well: most floats of the sample above lie near zero.
  for (int i = -126 * 4096; i <= 127 * 4096; ++i) f(static_cast<float>(i) / 4096.0f);
}

/// Largest error over the sample; NaN counts as infinite.
template <class F>
double worst_error(F&& function) {
  double worst = 0.0;
  for_dense_sample([&](float x) {
    const double error = ulp_error(function(x), std::exp2(static_cast<double>(x)));
    if (!(error <= worst)) worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
  });
  return worst;
}

TEST(Exp2Portable, ErrorBelow0p9UlpOnTheDomain) {
  const double worst = worst_error(exp2_portable);
  EXPECT_LT(worst, 0.9);
  EXPECT_GT(worst, 0.5) << "a sample that exercises nothing";
}

TEST(Exp2Portable, TheErrorCheckCanFail) {
  for (int k = 1; k <= 6; ++k) {  // one coefficient off by 2^-10 of itself (the last one by a tenth)
    std::array<float, 7> c;
    std::copy(std::begin(kCoefficients), std::end(kCoefficients), c.begin());
    c[k] *= k == 6 ? 1.1f : 1.0f + 0x1p-10f;
    EXPECT_GT(worst_error([&](float x) { return textbook(x, c); }), 0.9) << "coefficient " << k;
  }
  EXPECT_GT(worst_error([](float x) { return x == 5.0f ? std::nanf("") : exp2_portable(x); }), 0.9);
}

TEST(Exp2Portable, SameBitsAsTheTextbookForm) {
  size_t differing = 0;
  for_dense_sample(
      [&](float x) { differing += std::bit_cast<uint32_t>(exp2_portable(x)) != std::bit_cast<uint32_t>(textbook(x)); });
  EXPECT_EQ(differing, 0u);
}

TEST(Exp2Portable, IntegersAreExact) {
  for (int n = -126; n <= 127; ++n) EXPECT_EQ(exp2_portable(static_cast<float>(n)), std::ldexp(1.0f, n)) << n;
}

TEST(Exp2Portable, Ends) {
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(exp2_portable(-inf), 0x1p-126f);
  EXPECT_EQ(exp2_portable(-126.5f), 0x1p-126f);
  EXPECT_EQ(exp2_portable(-1e30f), 0x1p-126f);
  EXPECT_EQ(exp2_portable(inf), 0x1p127f);
  EXPECT_EQ(exp2_portable(1e30f), 0x1p127f);
  EXPECT_EQ(exp2_portable(-0.0f), 1.0f);
  EXPECT_EQ(exp2_portable(std::numeric_limits<float>::denorm_min()), 1.0f);
  EXPECT_TRUE(std::isnan(exp2_portable(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(exp2_portable(-std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(exp2_portable(std::bit_cast<float>(0x7fa5a5a5u))));  // a signalling NaN: the executor's poison
}

}  // namespace
}  // namespace greta
