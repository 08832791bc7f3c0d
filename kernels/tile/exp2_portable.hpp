// 2^x from IEEE operations alone: the same bits in a kernel on any platform and in the reference. HIP-free.
//
//   x clamped to [-126, 127];  n = rint(x);  f = x - n (exact, |f| <= 1/2);
//   p = degree-6 Horner in f, all steps fmaf;  result = p * 2^n (exact: the result is a normal number)
//
// Domain    every float. NaN gives NaN. Below -126 (and -inf) the result is 2^-126, not 0: a masked score needs a
// select
//           to zero. Above 127 (and +inf) it is 2^127.
// Error     below 0.9 ulp on the domain (exp2_test.cpp); 2^n is exact for every integer n of the domain
// Needs     round to nearest, subnormals and contraction irrelevant, no fast math (it would fold the rounding constant)
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/hip/host_device.hpp"

namespace greta {

GRETA_HOST_DEVICE inline float exp2_portable(float x) {
  // Selects, not fmaxf/fminf: those would turn NaN into a limit.
  x = x < -126.0f ? -126.0f : x;
  x = x > 127.0f ? 127.0f : x;
  // Adding 1.5 * 2^23 rounds x to an integer n (nearest even) and leaves n in the low bits of the sum. Unlike a float
  // to int conversion this is defined for NaN.
  constexpr float kRounder = 0x1.8p23f;
  const float sum = x + kRounder;
  const float f = x - (sum - kRounder);
  float p = 0x1.44138ap-13f;  // ln(2)^k / k! rounded to f32, k = 6 ... 0
  p = fmaf(p, f, 0x1.5f0890p-10f);
  p = fmaf(p, f, 0x1.3b2a54p-7f);
  p = fmaf(p, f, 0x1.c6af6cp-5f);
  p = fmaf(p, f, 0x1.ebfbep-3f);
  p = fmaf(p, f, 0x1.62e43p-1f);
  p = fmaf(p, f, 1.0f);
  // (n << 23) + bits(1) are the bits of 2^n; the rounder's own bits leave at the top. A product, not an integer
  // addition to p's exponent, so that NaN stays NaN.
  const uint32_t scale = (__builtin_bit_cast(uint32_t, sum) << 23) + 0x3f800000u;
  return p * __builtin_bit_cast(float, scale);
}

}  // namespace greta
