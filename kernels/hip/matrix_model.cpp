#include "kernels/hip/matrix_model.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "kernels/hip/error.hpp"

namespace greta {
namespace {

// Columns of B are worked on in strips of 16: every loop over a strip becomes vector instructions.
constexpr int kStrip = 16;
constexpr int kNeverLargest = -1000;

/// Operands as integers: value = significand * 2^(exponent - fraction bits). Each row is `pitch` wide.
struct Operands {
  std::vector<int32_t> significand;
  std::vector<int32_t> exponent;
};

struct Format {
  int fraction_bits;
  int bias;
  int special;  ///< exponent field of infinities and NaN
  float (*widen)(uint16_t);
};
constexpr Format kF16Format = {10, 15, 31, [](uint16_t h) { return half_to_float({h}); }};
constexpr Format kBF16Format = {7, 127, 255, [](uint16_t h) { return bf16_to_float({h}); }};

Operands decode(const Format& f, int zero_exponent, const uint16_t* from, int rows, int columns, int pitch) {
  Operands to;
  to.significand.resize(static_cast<size_t>(rows) * pitch);  // padding columns are zeros
  to.exponent.resize(static_cast<size_t>(rows) * pitch);
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < columns; ++c) {
      const int bits = from[static_cast<size_t>(r) * columns + c];
      const int field = (bits & 0x7fff) >> f.fraction_bits;
      const int fraction = bits & ((1 << f.fraction_bits) - 1);
      const int magnitude = field ? fraction | 1 << f.fraction_bits : fraction;
      const size_t at = static_cast<size_t>(r) * pitch + c;
      to.significand[at] = bits & 0x8000 ? -magnitude : magnitude;
      to.exponent[at] = magnitude == 0 ? zero_exponent : std::max(field, 1) - f.bias;
    }
  return to;
}

bool any_special(const Format& f, const uint16_t* from, size_t count) {
  bool any = false;
  for (size_t i = 0; i < count; ++i) any |= (from[i] & 0x7fff) >> f.fraction_bits == f.special;
  return any;
}

/// 2^n as a double, -1022 <= n <= 1023.
inline double power_of_two(int n) {
  const uint64_t bits = static_cast<uint64_t>(static_cast<int64_t>(n) + 1023) << 52;
  double d;
  std::memcpy(&d, &bits, 8);
  return d;
}

struct Accumulator {
  int32_t significand;  ///< value = significand * 2^(exponent - 23)
  int32_t exponent;
};
inline Accumulator decode(float f) {
  int32_t bits;
  std::memcpy(&bits, &f, 4);
  const int32_t field = bits >> 23 & 255;
  const int32_t magnitude = (bits & 0x7fffff) | (field ? 0x800000 : 0);
  return {bits < 0 ? -magnitude : magnitude, (field ? field : 1) - 127};
}

/// Sum of `terms` products cut toward zero to `kept` fraction bits below 2^top[j]. 16 products of 4 * 2^25 fit 32 bits.
inline void sum_products(int terms, const int32_t* a, const int32_t* ea, const int32_t* b, const int32_t* eb, int pitch,
                         const int32_t* top, int lift, int32_t* sum) {
  for (int j = 0; j < kStrip; ++j) sum[j] = 0;
  for (int k = 0; k < terms; ++k)
    for (int j = 0; j < kStrip; ++j) {
      const int32_t product = a[k] * b[k * pitch + j];
      const int32_t below = top[j] - ea[k] - eb[k * pitch + j];
      const int32_t cut = (std::abs(product) << lift) >> std::min(below, 31);
      sum[j] += product < 0 ? -cut : cut;
    }
}

// The last steps are done in double, where every value is exact: integers below 2^53 times powers of two.

void cdna3_block(int terms, int fraction_bits, int bits_short, const int32_t* a, const int32_t* ea, const int32_t* b,
                 const int32_t* eb, int pitch, float* acc) {
  int32_t top[kStrip], sum[kStrip];
  for (int j = 0; j < kStrip; ++j) top[j] = kNeverLargest;
  for (int k = 0; k < terms; ++k)
    for (int j = 0; j < kStrip; ++j) top[j] = std::max(top[j], ea[k] + eb[k * pitch + j]);
  const int kept = 24 - bits_short;
  sum_products(terms, a, ea, b, eb, pitch, top, kept - 2 * fraction_bits, sum);
  for (int j = 0; j < kStrip; ++j) {
    const Accumulator c = decode(acc[j]);
    const int32_t largest = std::max(top[j], c.exponent);
    const double products = std::floor(sum[j] * power_of_two(31 - kept + top[j] - largest));
    const double addend = std::floor(c.significand * power_of_two(24 - 23 + c.exponent - largest));
    acc[j] = static_cast<float>((products + addend * 128.0) * power_of_two(largest - 31));
  }
}

/// Toward zero; exact zero and overflow as the cast has them.
inline float toward_zero(double v) {
  uint64_t bits;
  std::memcpy(&bits, &v, 8);
  bits &= ~((uint64_t{1} << 29) - 1);  // 52 fraction bits to 23
  double normal;
  std::memcpy(&normal, &bits, 8);
  const double subnormal = std::trunc(v * 0x1p149) * 0x1p-149;
  return static_cast<float>(std::fabs(v) < 0x1p-126 ? subnormal : normal);
}

void hopper_block(int terms, int fraction_bits, int bits_short, const int32_t* a, const int32_t* ea, const int32_t* b,
                  const int32_t* eb, int pitch, float* acc) {
  int32_t top[kStrip], sum[kStrip];
  for (int j = 0; j < kStrip; ++j) top[j] = decode(acc[j]).exponent;
  for (int k = 0; k < terms; ++k)
    for (int j = 0; j < kStrip; ++j) top[j] = std::max(top[j], ea[k] + eb[k * pitch + j]);
  const int kept = 25 - bits_short;
  sum_products(terms, a, ea, b, eb, pitch, top, kept - 2 * fraction_bits, sum);
  for (int j = 0; j < kStrip; ++j) {
    const Accumulator c = decode(acc[j]);
    const double addend = std::trunc(c.significand * power_of_two(kept - 23 + c.exponent - top[j]));
    acc[j] = toward_zero((sum[j] + addend) * power_of_two(top[j] - kept));
  }
}

// ---------------------------------------------------------------------------------------------- results not finite

/// The result of a block that the integer steps cannot do; false when they can.
bool special_block(MatrixModel model, const Format& f, int terms, const uint16_t* a, const uint16_t* b, float c,
                   float* result) {
  double sum = c;
  bool up = false, down = false;
  for (int k = 0; k < terms; ++k) {
    const double product = static_cast<double>(f.widen(a[k])) * static_cast<double>(f.widen(b[k]));
    sum += product;
    up |= product >= 0x1p128;
    down |= product <= -0x1p128;
  }
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const uint32_t nan_bits = model == MatrixModel::kHopper ? 0x7fffffffu : 0x7fc00000u;
  float nan;
  std::memcpy(&nan, &nan_bits, 4);
  if (std::isnan(sum)) {
    *result = nan;
  } else if (std::isinf(sum)) {
    *result = sum > 0 ? kInfinity : -kInfinity;
  } else if (model == MatrixModel::kCdna3 && (up || down)) {
    *result = up && down ? nan : up ? kInfinity : -kInfinity;
  } else {
    return false;
  }
  return true;
}

/// One element, block by block, with every block looked at for values that are not finite.
float careful_dot(MatrixModel model, const Format& f, int bits_short, int k, const uint16_t* a, const uint16_t* b,
                  float acc) {
  const int block = matrix_model_block(model);
  const int zero_exponent = model == MatrixModel::kHopper ? kNeverLargest : -126;
  for (int k0 = 0; k0 < k; k0 += block) {
    const int terms = std::min(block, k - k0);
    if (special_block(model, f, terms, a + k0, b + k0, acc, &acc)) continue;
    const Operands x = decode(f, zero_exponent, a + k0, 1, terms, terms);
    const Operands y = decode(f, zero_exponent, b + k0, terms, 1, kStrip);
    float strip[kStrip] = {acc};
    const auto run = model == MatrixModel::kHopper ? hopper_block : cdna3_block;
    run(terms, f.fraction_bits, bits_short, x.significand.data(), x.exponent.data(), y.significand.data(),
        y.exponent.data(), kStrip, strip);
    acc = strip[0];
  }
  return acc;
}

void fmaf_multiply(const Format& f, int m, int n, int k, const uint16_t* a, const uint16_t* b, const float* c,
                   float* d) {
  std::vector<float> wide(static_cast<size_t>(k) * n), row(n);
  for (size_t i = 0; i < wide.size(); ++i) wide[i] = f.widen(b[i]);
  for (int i = 0; i < m; ++i) {
    std::copy(c + static_cast<size_t>(i) * n, c + static_cast<size_t>(i + 1) * n, row.begin());
    for (int l = 0; l < k; ++l) {
      const float x = f.widen(a[static_cast<size_t>(i) * k + l]);
      for (int j = 0; j < n; ++j) row[j] = fmaf(x, wide[static_cast<size_t>(l) * n + j], row[j]);
    }
    std::copy(row.begin(), row.end(), d + static_cast<size_t>(i) * n);
  }
}

template <class T>
bool zero_row(const T* from, int n) {
  return std::all_of(from, from + n, [](T v) { return v == 0; });
}

}  // namespace

std::string_view matrix_model_name(MatrixModel model) {
  switch (model) {
    case MatrixModel::kCdna3:
      return "cdna3";
    case MatrixModel::kHopper:
      return "hopper";
    case MatrixModel::kFmaf:
      return "fmaf";
  }
  return "?";
}

MatrixModel matrix_model_from_name(std::string_view name) {
  for (const MatrixModel model : {MatrixModel::kCdna3, MatrixModel::kHopper, MatrixModel::kFmaf})
    if (matrix_model_name(model) == name) return model;
  throw_invalid("unknown matrix model '" + std::string(name) + "'; known: cdna3, hopper, fmaf");
}

int matrix_model_block(MatrixModel model) {
  switch (model) {
    case MatrixModel::kCdna3:
      return 8;
    case MatrixModel::kHopper:
      return 16;
    case MatrixModel::kFmaf:
      return 1;
  }
  return 1;
}

void matrix_multiply(MatrixModel model, DType dtype, int m, int n, int k, const uint16_t* a, const uint16_t* b,
                     const float* c, float* d, int bits_short) {
  if (dtype != DType::kF16 && dtype != DType::kBF16)
    throw_invalid("matrix_multiply: dtype must be f16 or bf16, got " + std::string(dtype_name(dtype)));
  const Format& f = dtype == DType::kF16 ? kF16Format : kBF16Format;
  if (m <= 0 || n <= 0 || k < 0) throw_invalid("matrix_multiply: sizes must be positive");
  if (bits_short < 0 || bits_short > 2) throw_invalid("matrix_multiply: bits_short must be 0, 1 or 2");
  if (model == MatrixModel::kFmaf || k == 0) return fmaf_multiply(f, m, n, k, a, b, c, d);

  const bool special = any_special(f, a, static_cast<size_t>(m) * k) || any_special(f, b, static_cast<size_t>(k) * n);
  const int zero_exponent = model == MatrixModel::kHopper ? kNeverLargest : -126;
  const int pitch = (n + kStrip - 1) / kStrip * kStrip;
  const Operands x = decode(f, zero_exponent, a, m, k, k);
  const Operands y = decode(f, zero_exponent, b, k, n, pitch);
  const int block = matrix_model_block(model);
  const auto run = model == MatrixModel::kHopper ? hopper_block : cdna3_block;
  const int32_t largest_b = *std::max_element(y.exponent.begin(), y.exponent.end());
  std::vector<uint16_t> column(k);
  for (int i = 0; i < m; ++i) {
    // A bf16 product of 2^128 or more is infinite on CDNA3.
    const size_t row = static_cast<size_t>(i) * k;
    if (!special && zero_row(&x.significand[row], k) && zero_row(c + static_cast<size_t>(i) * n, n)) {
      std::fill_n(d + static_cast<size_t>(i) * n, n, 0.0f);  // a padding row of a tile
      continue;
    }
    bool careful = special;
    for (int l = 0; l < k; ++l) careful |= x.exponent[row + l] + largest_b >= 127;
    for (int j0 = 0; j0 < n; j0 += kStrip) {
      float acc[kStrip] = {};
      const int columns = std::min(kStrip, n - j0);
      const float* const from = c + static_cast<size_t>(i) * n + j0;
      float* const to = d + static_cast<size_t>(i) * n + j0;
      for (int j = 0; j < columns; ++j) acc[j] = from[j];
      bool finite = !careful;
      for (int j = 0; j < columns; ++j) finite &= std::fabs(acc[j]) < 0x1p126f;
      for (int l = 0; l < k && finite; l += block) {
        const size_t at = static_cast<size_t>(l) * pitch + j0;
        run(std::min(block, k - l), f.fraction_bits, bits_short, &x.significand[row + l], &x.exponent[row + l],
            &y.significand[at], &y.exponent[at], pitch, acc);
        for (int j = 0; j < kStrip; ++j) finite &= std::fabs(acc[j]) < 0x1p126f;
      }
      for (int j = 0; j < columns; ++j) {
        if (!finite) {
          for (int l = 0; l < k; ++l) column[l] = b[static_cast<size_t>(l) * n + j0 + j];
          acc[j] = careful_dot(model, f, bits_short, k, a + row, column.data(), from[j]);
        }
      }
      for (int j = 0; j < columns; ++j) to[j] = acc[j];
    }
  }
}

}  // namespace greta
