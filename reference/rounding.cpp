#include "reference/rounding.hpp"

#include <string>

#include "kernels/hip/error.hpp"

namespace greta::reference {
namespace {

struct Format {
  int digits;  ///< of the significand, the leading one included
  int emin;    ///< exponent of the smallest normal number
};

Format format_of(DType type) {
  switch (type) {
    case DType::kF32:
      return {24, -126};
    case DType::kF16:
      return {11, -14};
    case DType::kBF16:
      return {8, -126};
    default:
      throw_invalid("reference: '" + std::string(dtype_name(type)) + "' is no floating-point type of a tensor");
  }
}

}  // namespace

double unit_roundoff(DType type) { return std::ldexp(1.0, -format_of(type).digits); }

double tiny(DType type) {
  const Format f = format_of(type);
  return std::ldexp(1.0, f.emin - f.digits);
}

double output_rounding(DType type, double magnitude) {
  return type == DType::kF32 ? 0.0 : unit_roundoff(type) * magnitude + tiny(type);
}

float round_to(DType type, float v) {
  switch (type) {
    case DType::kF16:
      return half_to_float(half_from_float(v));
    case DType::kBF16:
      return bf16_to_float(bf16_from_float(v));
    default:
      format_of(type);
      return v;
  }
}

float round_once(DType type, double v) {
  const Format f = format_of(type);
  if (v == 0 || !std::isfinite(v)) return static_cast<float>(v);
  int exponent;
  std::frexp(v, &exponent);  // |v| in [2^(exponent-1), 2^exponent)
  const int last = std::max(exponent - 1, f.emin) - (f.digits - 1);
  // The scaling is exact, nearbyint rounds to nearest even, and the result has few enough digits for a float.
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(v, -last)), last);
  return type == DType::kF32 ? static_cast<float>(rounded) : round_to(type, static_cast<float>(rounded));
}

float tree_sum(std::span<float> v) {
  for (size_t distance = 1; distance < v.size(); distance *= 2)
    for (size_t i = 0; i + distance < v.size(); i += 2 * distance) v[i] = v[i] + v[i + distance];
  return v.empty() ? 0.0f : v[0];
}

}  // namespace greta::reference
