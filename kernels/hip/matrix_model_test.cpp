// The matrix models against vectors worked by hand, and against a second formulation that shares no code with them:
// real numbers in long double, exponents from ilogb, cuts by trunc and floor, and rounding by the FPU's own modes.
#include "kernels/hip/matrix_model.hpp"

#include <gtest/gtest.h>

#include <cfenv>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/hip/error.hpp"

namespace greta {
namespace {

uint16_t bits16(DType type, float v) { return type == DType::kF16 ? half_from_float(v).bits : bf16_from_float(v).bits; }
float wide(DType type, uint16_t h) { return type == DType::kF16 ? half_to_float({h}) : bf16_to_float({h}); }

uint32_t bits32(float f) {
  uint32_t u;
  std::memcpy(&u, &f, 4);
  return u;
}

float dot(MatrixModel model, DType type, const std::vector<float>& a, const std::vector<float>& b, float c) {
  std::vector<uint16_t> x, y;
  for (const float v : a) x.push_back(bits16(type, v));
  for (const float v : b) y.push_back(bits16(type, v));
  return matrix_dot(model, type, static_cast<int>(x.size()), x.data(), y.data(), c);
}

// ------------------------------------------------------------------------------------------------- second formulation

int exponent_of(float v, int smallest, int of_zero) { return v == 0 ? of_zero : std::max(std::ilogb(v), smallest); }

float slow_block(MatrixModel model, DType type, int terms, const uint16_t* a, const uint16_t* b, float c) {
  const int smallest = type == DType::kF16 ? -14 : -126;
  const bool cdna = model == MatrixModel::kCdna3;
  int top = cdna ? -10000 : exponent_of(c, -126, -126);
  for (int k = 0; k < terms; ++k) {
    const float x = wide(type, a[k]), y = wide(type, b[k]);
    if (!cdna && (x == 0 || y == 0)) continue;
    top = std::max(top, exponent_of(x, smallest, -126) + exponent_of(y, smallest, -126));
  }
  const auto cut = [](long double v, int exponent, int bits, long double (*how)(long double)) {
    return std::ldexp(how(std::ldexp(v, bits - exponent)), exponent - bits);
  };
  const auto zero = [](long double v) { return std::trunc(v); };
  const auto down = [](long double v) { return std::floor(v); };
  const int bits = cdna ? 24 : 25;
  long double sum = 0;
  for (int k = 0; k < terms; ++k)
    sum +=
        cut(static_cast<long double>(wide(type, a[k])) * static_cast<long double>(wide(type, b[k])), top, bits, zero);
  if (cdna) {
    const int largest = std::max(top, exponent_of(c, -126, -126));
    sum = cut(sum, largest, 31, down) + cut(c, largest, 24, down);
    return static_cast<float>(sum);
  }
  sum += cut(c, top, bits, zero);
  std::fesetround(FE_TOWARDZERO);
  const volatile long double exact = sum;
  const volatile float rounded = static_cast<float>(exact);
  std::fesetround(FE_TONEAREST);
  return rounded;
}

float slow_dot(MatrixModel model, DType type, int k, const uint16_t* a, const uint16_t* b, float c) {
  const int block = model == MatrixModel::kCdna3 ? 8 : 16;
  for (int k0 = 0; k0 < k; k0 += block) c = slow_block(model, type, std::min(block, k - k0), a + k0, b + k0, c);
  return c;
}

// ------------------------------------------------------------------------------------------------------ random inputs

struct Distribution {
  const char* name;
  uint16_t (*operand)(DType, std::mt19937_64&);
  float (*addend)(std::mt19937_64&);
};

float normal(std::mt19937_64& r) { return std::normal_distribution<float>()(r); }
float scaled(std::mt19937_64& r, int range) {
  return std::ldexp(normal(r), std::uniform_int_distribution<int>(-range, range)(r));
}
uint16_t any_finite(DType type, std::mt19937_64& r) {
  for (;;) {
    const auto h = static_cast<uint16_t>(r());
    if (type == DType::kBF16 && (h >> 7 & 255) > 180) continue;  // products stay below 2^128
    if (std::isfinite(wide(type, h))) return h;
  }
}

const Distribution kDistributions[] = {
    {"normal", [](DType t, auto& r) { return bits16(t, normal(r)); }, [](auto& r) { return normal(r); }},
    {"wide", [](DType t, auto& r) { return bits16(t, scaled(r, 12)); }, [](auto& r) { return scaled(r, 24); }},
    {"any finite bits", any_finite, [](auto& r) { return scaled(r, 100); }},
    {"subnormal", [](DType t, auto& r) { return static_cast<uint16_t>(r() & (t == DType::kF16 ? 0x83ffu : 0x807fu)); },
     [](auto& r) { return scaled(r, 20) * 0x1p-40f; }},
    {"subnormal result",
     [](DType t, auto& r) { return bits16(t, t == DType::kF16 ? normal(r) : normal(r) * 0x1p-66f); },
     [](auto& r) { return normal(r) * 0x1p-130f; }},
    {"half zeros", [](DType t, auto& r) { return r() & 1 ? bits16(t, scaled(r, 10)) : uint16_t{0}; },
     [](auto& r) { return r() & 1 ? 0.0f : scaled(r, 20); }},
    {"zeros beside huge",
     [](DType t, auto& r) {
       const auto kind = r() % 3;
       return kind == 0 ? uint16_t{0}
                        : bits16(t, std::ldexp(normal(r), kind == 1 ? (t == DType::kF16 ? 12 : 60) : -10));
     },
     [](auto& r) { return normal(r); }},
    {"small integers", [](DType t, auto& r) { return bits16(t, static_cast<float>(static_cast<int>(r() % 9) - 4)); },
     [](auto& r) { return static_cast<float>(static_cast<int>(r() % 65) - 32); }},
    {"cancelling", [](DType t, auto& r) { return bits16(t, (r() & 1 ? 1.0f : -1.0f) * (1 + scaled(r, 2) * 0x1p-9f)); },
     [](auto& r) { return scaled(r, 30); }},
};

class MatrixModels : public ::testing::TestWithParam<std::tuple<MatrixModel, DType>> {};

TEST_P(MatrixModels, AgreeWithTheSecondFormulation) {
  const auto [model, type] = GetParam();
  std::mt19937_64 random(20'240 + static_cast<int>(model) * 2 + static_cast<int>(type));
  constexpr int kM = 5, kN = 19, kRepeats = 40;  // 19: a whole strip of columns and a part
  for (const Distribution& from : kDistributions) {
    int different = 0;
    for (int repeat = 0; repeat < kRepeats; ++repeat) {
      const int k = repeat % 4 == 3 ? 37 : 16;
      std::vector<uint16_t> a(kM * k), b(k * kN);
      std::vector<float> c(kM * kN), d(kM * kN);
      for (auto& v : a) v = from.operand(type, random);
      for (auto& v : b) v = from.operand(type, random);
      for (auto& v : c) v = from.addend(random);
      matrix_multiply(model, type, kM, kN, k, a.data(), b.data(), c.data(), d.data());
      for (int i = 0; i < kM; ++i)
        for (int j = 0; j < kN; ++j) {
          std::vector<uint16_t> column(k);
          for (int l = 0; l < k; ++l) column[l] = b[l * kN + j];
          const float want = slow_dot(model, type, k, &a[i * k], column.data(), c[i * kN + j]);
          const float got = d[i * kN + j];
          if (got != want) ++different;
          ASSERT_EQ(got, want) << from.name << " " << matrix_model_name(model) << " i=" << i << " j=" << j;
          ASSERT_EQ(bits32(matrix_dot(model, type, k, &a[i * k], column.data(), c[i * kN + j])), bits32(got));
        }
    }
    EXPECT_EQ(different, 0) << from.name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, MatrixModels,
                         ::testing::Combine(::testing::Values(MatrixModel::kCdna3, MatrixModel::kHopper),
                                            ::testing::Values(DType::kF16, DType::kBF16)));

// --------------------------------------------------------------------------------------------------- worked by hand

TEST(MatrixModel, IntegersAreExactInAllModels) {
  const std::vector<float> a = {1, 2, 3, 4, 5, 6, 7, 8, -1, -2, -3, -4, -5, -6, -7, -8};
  const std::vector<float> b = {8, 7, 6, 5, 4, 3, 2, 1, 1, 1, 1, 1, 2, 2, 2, 2};
  for (const MatrixModel model : {MatrixModel::kCdna3, MatrixModel::kHopper, MatrixModel::kFmaf})
    for (const DType type : {DType::kF16, DType::kBF16}) EXPECT_EQ(dot(model, type, a, b, 100.0f), 158.0f);
}

TEST(MatrixModel, Cdna3CutsASmallAddendDownward) {
  // E = 0 from 1*1. C = -2^-30 is floored at 24 fraction bits to -2^-24: the sum is 1 - 2^-24, an f32.
  EXPECT_EQ(dot(MatrixModel::kCdna3, DType::kF16, {1}, {1}, -0x1p-30f), 1.0f - 0x1p-24f);
  EXPECT_EQ(dot(MatrixModel::kCdna3, DType::kF16, {1}, {1}, 0x1p-30f), 1.0f);
  // Hopper cuts it toward zero, to nothing.
  EXPECT_EQ(dot(MatrixModel::kHopper, DType::kF16, {1}, {1}, -0x1p-30f), 1.0f);
  // Its 25 bits keep -2^-25; 1 - 2^-25 toward zero is 1 - 2^-24.
  EXPECT_EQ(dot(MatrixModel::kHopper, DType::kF16, {1}, {1}, -0x1p-25f), 1.0f - 0x1p-24f);
  EXPECT_EQ(dot(MatrixModel::kFmaf, DType::kF16, {1}, {1}, -0x1p-30f), 1.0f);
}

TEST(MatrixModel, RoundingOfTheResult) {
  // 2^12 + 3 * 2^-12 lies at 1.5 steps of 2^-11: nearest is two, toward zero one.
  const std::vector<float> a = {64, 0.03125f}, b = {64, 0x1.8p-6f};
  const float exact_low = 4096.0f + 0x1p-11f, exact_high = 4096.0f + 0x1p-10f;
  EXPECT_EQ(dot(MatrixModel::kCdna3, DType::kF16, a, b, 0.0f), exact_high);
  EXPECT_EQ(dot(MatrixModel::kHopper, DType::kF16, a, b, 0.0f), exact_low);
}

TEST(MatrixModel, BlocksOfEightRoundInBetween) {
  // Terms 0 and 8 of 2^-24 each beside C = 1. CDNA3 adds them in two blocks and each is a tie that goes to even: 1. In
  // one block they make 2^-23, and Hopper's single step keeps that.
  std::vector<float> a(16, 0.0f), b(16, 0.0f);
  a[0] = a[8] = 0x1p-12f;
  b[0] = b[8] = 0x1p-12f;
  EXPECT_EQ(dot(MatrixModel::kCdna3, DType::kF16, a, b, 1.0f), 1.0f);
  EXPECT_EQ(dot(MatrixModel::kHopper, DType::kF16, a, b, 1.0f), 1.0f + 0x1p-23f);
  std::swap(a[8], a[1]);
  std::swap(b[8], b[1]);
  EXPECT_EQ(dot(MatrixModel::kCdna3, DType::kF16, a, b, 1.0f), 1.0f + 0x1p-23f);
}

TEST(MatrixModel, AZeroBesideAHugeValue) {
  // bf16: 0 * 2^127 has product exponent 1 on CDNA3 and cuts 2^-24 to nothing; Hopper leaves it out.
  const std::vector<float> a = {0.0f, 0x1p-12f}, b = {0x1p127f, 0x1p-12f};
  EXPECT_EQ(dot(MatrixModel::kCdna3, DType::kBF16, a, b, 0.0f), 0.0f);
  EXPECT_EQ(dot(MatrixModel::kHopper, DType::kBF16, a, b, 0.0f), 0x1p-24f);
}

TEST(MatrixModel, SubnormalsCount) {
  const float half_tiny = 0x1p-24f;  // smallest f16
  for (const MatrixModel model : {MatrixModel::kCdna3, MatrixModel::kHopper, MatrixModel::kFmaf}) {
    EXPECT_EQ(dot(model, DType::kF16, {half_tiny}, {1.0f}, 0.0f), half_tiny);
    EXPECT_EQ(dot(model, DType::kF16, {half_tiny}, {half_tiny}, 0.0f), 0x1p-48f);
    EXPECT_EQ(dot(model, DType::kBF16, {0x1p-100f}, {0x1p-40f}, 0.0f), 0x1p-140f);  // subnormal f32
  }
}

TEST(MatrixModel, NotFinite) {
  const float inf = INFINITY, nan = NAN;
  for (const MatrixModel model : {MatrixModel::kCdna3, MatrixModel::kHopper, MatrixModel::kFmaf}) {
    EXPECT_TRUE(std::isnan(dot(model, DType::kF16, {1, nan}, {1, 1}, 0.0f)));
    EXPECT_TRUE(std::isnan(dot(model, DType::kF16, {1}, {1}, nan)));
    EXPECT_TRUE(std::isnan(dot(model, DType::kF16, {inf}, {0}, 0.0f)));
    EXPECT_TRUE(std::isnan(dot(model, DType::kF16, {inf, inf}, {1, -1}, 0.0f)));
    EXPECT_EQ(dot(model, DType::kF16, {inf}, {-1}, 5.0f), -inf);
    EXPECT_EQ(dot(model, DType::kBF16, {0x1p100f}, {0x1p100f}, 0.0f), inf);
  }
  EXPECT_EQ(bits32(dot(MatrixModel::kHopper, DType::kBF16, {nan}, {1}, 0.0f)), 0x7fffffffu);
  // Two huge products of opposite sign: each is infinite on CDNA3.
  EXPECT_TRUE(std::isnan(dot(MatrixModel::kCdna3, DType::kBF16, {0x1p100f, 0x1p100f}, {0x1p100f, -0x1p100f}, 0.0f)));
  // Overflow in the first block stays.
  std::vector<float> a(9, 1.0f), b(9, 1.0f);
  a[0] = b[0] = 0x1p100f;
  EXPECT_EQ(dot(MatrixModel::kCdna3, DType::kBF16, a, b, 0.0f), inf);
}

TEST(MatrixModel, Names) {
  for (const MatrixModel model : {MatrixModel::kCdna3, MatrixModel::kHopper, MatrixModel::kFmaf})
    EXPECT_EQ(matrix_model_from_name(matrix_model_name(model)), model);
  EXPECT_THROW(matrix_model_from_name("ampere"), Error);
  uint16_t x = 0;
  float c = 0;
  EXPECT_THROW(matrix_multiply(MatrixModel::kCdna3, DType::kF32, 1, 1, 1, &x, &x, &c, &c), Error);
}

}  // namespace
}  // namespace greta
