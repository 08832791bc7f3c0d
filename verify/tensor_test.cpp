#include "verify/tensor.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/hip/error.hpp"

namespace greta::verify {
namespace {

TEST(Tensor, PlacesAreNamed) {
  const Tensor o("O", DType::kF16, {{"t", 3}, {"h", 4}, {"d", 8}});
  EXPECT_EQ(o.count(), 96);
  EXPECT_EQ(o.bytes.size(), 192u);
  EXPECT_EQ(o.place(2 * 32 + 3 * 8 + 5), "O[t=2,h=3,d=5]");
  EXPECT_EQ(o.coordinates(95), (std::vector<int64_t>{2, 3, 7}));
}

TEST(Tensor, NumbersOfEveryType) {
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kI32, DType::kI8}) {
    Tensor t("x", type, {{"i", 2}});
    t.set(1, -3.0f);
    EXPECT_EQ(t.number(0), 0.0) << dtype_name(type);
    EXPECT_EQ(t.number(1), -3.0) << dtype_name(type);
  }
  Tensor h("x", DType::kF16, {{"i", 1}});
  h.set(0, 0.1f);
  EXPECT_EQ(h.bits(0), 0x2e66u);
  EXPECT_EQ(show(h, 0), "0.0999756 (0x2e66)");
  EXPECT_EQ(h.floats()[0], half_to_float({0x2e66}));
  EXPECT_THROW(Tensor("w", DType::kQ4K, {{"block", 1}}).number(0), Error);
}

TEST(Tensor, UlpDistance) {
  EXPECT_EQ(ulp_distance(DType::kF16, 0x3c00, 0x3c01), 1u);
  EXPECT_EQ(ulp_distance(DType::kF16, 0x0001, 0x8001), 2u) << "across zero";
  EXPECT_EQ(ulp_distance(DType::kF32, 0x00000000, 0x80000000), 0u) << "both zeros";
  EXPECT_EQ(ulp_distance(DType::kBF16, 0x3f80, 0xbf80), 2u * 0x3f80);
  EXPECT_EQ(ulp_distance(DType::kF32, 0x7f800000, 0xff800000), 2u * 0x7f800000u);
}

TEST(Tensor, NanAndZero) {
  EXPECT_TRUE(is_nan(DType::kF16, 0x7e01));
  EXPECT_FALSE(is_nan(DType::kF16, 0x7c00));
  EXPECT_TRUE(is_nan(DType::kBF16, 0xffc0));
  EXPECT_FALSE(is_nan(DType::kI32, 0x7fc00000));
  EXPECT_TRUE(is_zero(DType::kF32, 0x80000000));
  EXPECT_FALSE(is_zero(DType::kBF16, 0x0001));
}

}  // namespace
}  // namespace greta::verify
