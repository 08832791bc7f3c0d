// Float rows to stored blocks.
//
// Every block is first scaled by a power of two so that its largest magnitude lies in [0.5, 1): exact, and the search
// never meets overflow or subnormals. Then
//   Q8_0  d = amax / 127, rounded to F16; q = rint(x / d).
//   Q4_K  each sub-block of 32 looks for the affine grid  s * q - m  (q in 0..15, s, m >= 0)  of least weighted squared
//         error: several starting steps, each improved by alternating "round to the grid" and "least squares for s, m".
//         The eight pairs share d and dmin, so they are rounded to 6-bit multiples; then each pair tries its
//         neighbouring multiples, with the error measured on the numbers that are really stored; then d and dmin are
//         fitted once more to all 256 values.
//   Q6_K  the same with a symmetric grid  s * q  (q in -32..31, s of either sign) of 16 values and signed 8-bit scales.
// The weight of a value is 1 + |x| / rms(sub-block).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/hip/error.hpp"
#include "reference/quant_blocks.hpp"

namespace greta::reference {
namespace {

constexpr float kHalfMax = 65504.0f;
constexpr int kLanes = 8;  // partial sums a loop keeps, so that it maps onto vector registers without -ffast-math

/// F16 nearest to v, clipped to the finite range; counts a clip.
half_t clipped_half(double v, int64_t& n_clipped) {
  const float f = static_cast<float>(std::clamp(v, -1e30, 1e30));
  const half_t h = half_from_float(f);
  if ((h.bits & 0x7fff) < 0x7c00) return h;
  ++n_clipped;
  return half_from_float(std::copysign(kHalfMax, f));
}

/// x scaled by 2^-exponent so that the largest magnitude is in [0.5, 1); exponent 0 for a block of zeros.
template <int kN>
int normalise(const float* x, float* y) {
  float amax = 0;
  for (int i = 0; i < kN; ++i) amax = std::max(amax, std::fabs(x[i]));
  int exponent = 0;
  if (amax > 0) std::frexp(amax, &exponent);
  const double factor = std::ldexp(1.0, -exponent);
  for (int i = 0; i < kN; ++i) y[i] = static_cast<float>(x[i] * factor);
  return exponent;
}

template <int kN>
void importance(const float* x, float* w) {
  double sum = 0;
  for (int i = 0; i < kN; ++i) sum += static_cast<double>(x[i]) * x[i];
  const auto rms = static_cast<float>(std::sqrt(sum / kN));
  for (int i = 0; i < kN; ++i) w[i] = rms > 0 ? 1.0f + std::fabs(x[i]) / rms : 1.0f;
}

/// q[i] = rint((x[i] + offset) * inverse_step) clamped to [lo, hi], kept as float for the sums that follow.
template <int kN>
void round_to_grid(const float* x, float offset, float inverse_step, float lo, float hi, float* q) {
  for (int i = 0; i < kN; ++i) q[i] = std::min(hi, std::max(lo, std::nearbyintf((x[i] + offset) * inverse_step)));
}

/// Sum of w (s q - m - x)^2.
template <int kN>
double weighted_error(const float* x, const float* w, const float* q, float s, float m) {
  float lane[kLanes] = {};
  for (int i = 0; i < kN; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const float e = s * q[i + l] - m - x[i + l];
      lane[l] += w[i + l] * e * e;
    }
  }
  double sum = 0;
  for (float v : lane) sum += v;
  return sum;
}

struct Moments {
  double w, q, qq, x, xq;  // sums of w, w q, w q^2, w x, w x q
};

template <int kN>
Moments moments(const float* x, const float* w, const float* q) {
  float sw[kLanes] = {}, sq[kLanes] = {}, sqq[kLanes] = {}, sx[kLanes] = {}, sxq[kLanes] = {};
  for (int i = 0; i < kN; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const float wq = w[i + l] * q[i + l];
      sw[l] += w[i + l];
      sq[l] += wq;
      sqq[l] += wq * q[i + l];
      sx[l] += w[i + l] * x[i + l];
      sxq[l] += wq * x[i + l];
    }
  }
  Moments m = {};
  for (int l = 0; l < kLanes; ++l) {
    m.w += sw[l];
    m.q += sq[l];
    m.qq += sqq[l];
    m.x += sx[l];
    m.xq += sxq[l];
  }
  return m;
}

struct Affine {
  float s = 0, m = 0;  // w = s * q - m
};

/// Least squares for s and m with m >= 0 and s >= 0.
Affine solve(const Moments& k) {
  const double det = k.w * k.qq - k.q * k.q;
  double s = 0, m = 0;
  if (det > 0) {
    s = (k.w * k.xq - k.q * k.x) / det;
    m = (k.q * k.xq - k.qq * k.x) / det;
  }
  if (det <= 0 || m < 0 || s < 0) {
    m = 0;
    s = k.qq > 0 ? std::max(0.0, k.xq / k.qq) : 0.0;
  }
  return {static_cast<float>(s), static_cast<float>(m)};
}

/// The affine grid of 16 levels for 32 values.
Affine fit_affine(const float* x, const float* w) {
  float lo = 0, hi = x[0];
  for (int i = 0; i < 32; ++i) {
    lo = std::min(lo, x[i]);
    hi = std::max(hi, x[i]);
  }
  if (hi <= lo) return {0, -lo};  // all values equal and not positive: the minimum alone holds them
  Affine best;
  double best_error = std::numeric_limits<double>::infinity();
  float q[32];
  // Steps from a little coarser than the range needs to one that clips both ends by a tenth.
  for (int trial = 0; trial < 8; ++trial) {
    const float step = (hi - lo) / (14.4f + 0.4f * static_cast<float>(trial));
    Affine grid = {step, -lo};
    for (int pass = 0; pass < 3; ++pass) {
      if (grid.s <= 0) break;
      round_to_grid<32>(x, grid.m, 1.0f / grid.s, 0, 15, q);
      grid = solve(moments<32>(x, w, q));
      const double error = weighted_error<32>(x, w, q, grid.s, grid.m);
      if (error >= best_error) break;
      best_error = error;
      best = grid;
    }
  }
  return best;
}

/// The symmetric grid -32..31 for 16 values; s may be negative (the larger end then holds the largest magnitude).
float fit_symmetric(const float* x, const float* w) {
  float extreme = 0;
  for (int i = 0; i < 16; ++i)
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  if (extreme == 0) return 0;
  float best = 0, q[16];
  double best_error = std::numeric_limits<double>::infinity();
  for (int trial = -6; trial <= 6; trial += 2) {
    for (const float end : {-32.0f, 31.0f}) {
      float s = extreme / (end * (1.0f + 0.008f * static_cast<float>(trial)));
      for (int pass = 0; pass < 2; ++pass) {
        round_to_grid<16>(x, 0, 1.0f / s, -32, 31, q);
        const Moments k = moments<16>(x, w, q);
        if (k.qq <= 0 || k.xq == 0) break;
        s = static_cast<float>(k.xq / k.qq);
        const double error = weighted_error<16>(x, w, q, s, 0);
        if (error >= best_error) break;
        best_error = error;
        best = s;
      }
    }
  }
  return best;
}

BlockQ8_0 quantise_q8_0(const float* x, int64_t& n_clipped) {
  float amax = 0;
  for (int i = 0; i < kSmallBlock; ++i) amax = std::max(amax, std::fabs(x[i]));
  BlockQ8_0 block = {};
  block.d = clipped_half(static_cast<double>(amax) / 127, n_clipped);
  const double d = half_to_float(block.d);
  for (int i = 0; i < kSmallBlock; ++i)
    block.qs[i] = static_cast<int8_t>(d > 0 ? std::clamp(std::nearbyint(x[i] / d), -127.0, 127.0) : 0.0);
  return block;
}

/// For given d and dmin (as seen at the block's own scale): the best multiples near `fit`, and the quants. Returns the
/// weighted error.
double choose_multiples(const float* x, const float* w, const Affine* fit, float step, float min_step, Q4KParts& p) {
  const auto multiple = [](float v, float unit) {
    return unit > 0 ? static_cast<int>(std::clamp(std::nearbyintf(v / unit), 0.0f, 63.0f)) : 0;
  };
  double total = 0;
  for (int j = 0; j < 8; ++j, x += 32, w += 32) {
    const int sc0 = multiple(fit[j].s, step), m0 = multiple(fit[j].m, min_step);
    double best_error = std::numeric_limits<double>::infinity();
    for (int sc = std::max(0, sc0 - 1); sc <= std::min(63, sc0 + 1); ++sc) {
      for (int m = std::max(0, m0 - 1); m <= std::min(63, m0 + 1); ++m) {
        const float s = step * static_cast<float>(sc), offset = min_step * static_cast<float>(m);
        float q[32];
        round_to_grid<32>(x, offset, s > 0 ? 1.0f / s : 0.0f, 0, 15, q);
        const double error = weighted_error<32>(x, w, q, s, offset);
        if (error >= best_error) continue;
        best_error = error;
        p.scale[j] = sc;
        p.min[j] = m;
        for (int i = 0; i < 32; ++i) p.q[32 * j + i] = static_cast<int>(q[i]);
      }
    }
    total += best_error;
  }
  return total;
}

/// Least squares for d and dmin of the whole block with everything else fixed; unchanged if that has no answer.
void refit_units(const float* x, const float* w, const Q4KParts& p, float& step, float& min_step) {
  double aa = 0, ab = 0, bb = 0, ax = 0, bx = 0;  // a = sc q, b = m:  x ~ d a - dmin b
  for (int i = 0; i < 256; ++i) {
    const double a = p.scale[i / 32] * p.q[i], b = p.min[i / 32], weight = w[i];
    aa += weight * a * a;
    ab += weight * a * b;
    bb += weight * b * b;
    ax += weight * a * x[i];
    bx += weight * b * x[i];
  }
  const double det = aa * bb - ab * ab;
  if (det <= 1e-9 * aa * bb) return;
  const double d = (bb * ax - ab * bx) / det, dmin = (ab * ax - aa * bx) / det;
  if (d <= 0 || dmin <= 0) return;
  step = static_cast<float>(d);
  min_step = static_cast<float>(dmin);
}

BlockQ4K quantise_q4k(const float* in, int64_t& n_clipped) {
  float x[256], w[256];
  const int exponent = normalise<256>(in, x);
  const double unit = std::ldexp(1.0, exponent);
  Affine fit[8];
  float step = 0, min_step = 0;
  for (int j = 0; j < 8; ++j) {
    importance<32>(x + 32 * j, w + 32 * j);
    fit[j] = fit_affine(x + 32 * j, w + 32 * j);
    step = std::max(step, fit[j].s / 63.0f);
    min_step = std::max(min_step, fit[j].m / 63.0f);
  }
  Q4KParts p = {}, best = {};
  half_t best_d = {0}, best_dmin = {0};
  double best_error = std::numeric_limits<double>::infinity();
  for (int pass = 0; pass < 2; ++pass) {
    // The stored numbers decide: d and dmin as F16 rounds them.
    const half_t d = clipped_half(step * unit, n_clipped), dmin = clipped_half(min_step * unit, n_clipped);
    step = static_cast<float>(half_to_float(d) / unit);
    min_step = static_cast<float>(half_to_float(dmin) / unit);
    const double error = choose_multiples(x, w, fit, step, min_step, p);
    if (error >= best_error) break;
    best_error = error;
    best = p;
    best_d = d;
    best_dmin = dmin;
    refit_units(x, w, p, step, min_step);
  }
  BlockQ4K block = pack(best);
  block.d = best_d;
  block.dmin = best_dmin;
  return block;
}

BlockQ6K quantise_q6k(const float* in, int64_t& n_clipped) {
  float x[256], w[256], fit[16], extreme = 0;
  const int exponent = normalise<256>(in, x);
  const double unit = std::ldexp(1.0, exponent);
  for (int g = 0; g < 16; ++g) {
    importance<16>(x + 16 * g, w + 16 * g);
    fit[g] = fit_symmetric(x + 16 * g, w + 16 * g);
    if (std::fabs(fit[g]) > std::fabs(extreme)) extreme = fit[g];
  }
  const half_t d = clipped_half(extreme / -128.0 * unit, n_clipped);
  const auto step = static_cast<float>(half_to_float(d) / unit);
  Q6KParts p = {};
  for (int g = 0; g < 16; ++g) {
    const int sc0 = step != 0 ? static_cast<int>(std::clamp(std::nearbyintf(fit[g] / step), -128.0f, 127.0f)) : 0;
    double best_error = std::numeric_limits<double>::infinity();
    for (int sc = std::max(-128, sc0 - 1); sc <= std::min(127, sc0 + 1); ++sc) {
      const float s = step * static_cast<float>(sc);
      float q[16];
      round_to_grid<16>(x + 16 * g, 0, s != 0 ? 1.0f / s : 0.0f, -32, 31, q);
      const double error = weighted_error<16>(x + 16 * g, w + 16 * g, q, s, 0);
      if (error >= best_error) continue;
      best_error = error;
      p.scale[g] = sc;
      for (int i = 0; i < 16; ++i) p.q[16 * g + i] = static_cast<int>(q[i]);
    }
  }
  BlockQ6K block = pack(p);
  block.d = d;
  return block;
}

/// Calls quantise(values, n_clipped) for every block of the row and stores the results.
template <class Block, int kValues, class Quantise>
int64_t quantise_blocks(std::span<const float> in, void* out, Quantise quantise) {
  int64_t n_clipped_blocks = 0;
  for (size_t b = 0; b < in.size() / kValues; ++b) {
    int64_t n_clipped = 0;
    const Block block = quantise(in.data() + b * kValues, n_clipped);
    n_clipped_blocks += n_clipped > 0 ? 1 : 0;
    std::memcpy(static_cast<char*>(out) + b * sizeof(Block), &block, sizeof(Block));
  }
  return n_clipped_blocks;
}

}  // namespace

int64_t quantise_row(DType type, std::span<const float> in, void* out) {
  row_bytes(type, static_cast<int64_t>(in.size()));
  for (size_t i = 0; i < in.size(); ++i)
    if (!std::isfinite(in[i]))
      throw_invalid(fmt::format("quantise to {}: value {} of a row of {} is {}; wanted a finite number",
                                dtype_name(type), i, in.size(), in[i]));
  switch (type) {
    case DType::kF32:
      std::memcpy(out, in.data(), in.size_bytes());
      return 0;
    case DType::kF16:
      return quantise_blocks<half_t, 1>(in, out, [](const float* x, int64_t& n) { return clipped_half(*x, n); });
    case DType::kBF16:
      return quantise_blocks<bf16_t, 1>(in, out, [](const float* x, int64_t& n) {
        bf16_t b = bf16_from_float(*x);
        if ((b.bits & 0x7f80) == 0x7f80) {  // rounded up to infinity
          --b.bits;
          ++n;
        }
        return b;
      });
    case DType::kQ8_0:
      return quantise_blocks<BlockQ8_0, kSmallBlock>(in, out, quantise_q8_0);
    case DType::kQ4K:
      return quantise_blocks<BlockQ4K, kSuperblock>(in, out, quantise_q4k);
    default:
      return quantise_blocks<BlockQ6K, kSuperblock>(in, out, quantise_q6k);
  }
}

}  // namespace greta::reference
