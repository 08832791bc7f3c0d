// What every oracle and every twin of this room is made of: roundings, their bounds, and the one summation tree.
//
// Tensors      come in as float or double spans. A tensor of a 16-bit type is handed over widened (exact), and what a
//              twin returns has been rounded to the output's type, so comparing floats is comparing bits.
// Oracle       the operator in double, each element with a bound on the error that an f32 kernel of the stated
//              arithmetic may make (Bounded). The double's own error is 2^-29 of what is bounded and is not counted.
// Twin         the operator in f32 in exactly the order of its arithmetic id: it predicts the bits. Built as plain C++
//              with contraction off; fmaf is written out; no libm transcendental.
//
// Bounds       u is half a unit in the last place relative to the value (2^-24 for f32), gamma(n) = n u / (1 - n u)
//              bounds the product of n factors (1 + d), |d| <= u (Higham, "Accuracy and Stability of Numerical
//              Algorithms", chapter 3). Bounds scale with the sum of the terms' magnitudes, not with the result, which
//              may cancel.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "kernels/hip/dtype.hpp"

namespace greta::reference {

/// What an oracle says of each element of an output: |got - value| <= bound.
struct Bounded {
  std::vector<double> value;
  std::vector<double> bound;
};

inline constexpr double kUnitF32 = 0x1p-24;
/// Half the distance of f32 subnormals: the absolute error of one operation that underflows.
inline constexpr double kTinyF32 = 0x1p-150;

/// n u / (1 - n u); infinite when n u >= 1.
inline double gamma(double n, double u = kUnitF32) {
  return n * u < 1 ? n * u / (1 - n * u) : std::numeric_limits<double>::infinity();
}
/// Relative error of a product of factors with relative errors a and b.
inline double compound(double a, double b) { return a + b + a * b; }

/// f32 2^-24, f16 2^-11, bf16 2^-8; throws kInvalidArgument for other types.
double unit_roundoff(DType type);
/// Half the distance of the type's subnormals: f32 2^-150, f16 2^-25, bf16 2^-134.
double tiny(DType type);
/// Error of rounding an f32 of at most this magnitude to the type: 0 for f32.
double output_rounding(DType type, double magnitude);
/// v rounded to nearest even to the type, as a float.
float round_to(DType type, float v);
/// A double rounded once to the type (not through float), as a float; for exact tiers.
float round_once(DType type, double v);

/// Sum over the tree of distances 1, 2, 4, ...: ((v0+v1)+(v2+v3))+...; v.size() is a power of two. Destroys v.
float tree_sum(std::span<float> v);

}  // namespace greta::reference
