#include "reference/rope_table.hpp"

#include <fmt/format.h>

#include <cmath>

#include "kernels/hip/error.hpp"

namespace greta::reference {
namespace {

void check(const RopeAngles& a) {
  const auto refuse = [](const char* field, double got, const char* wanted) {
    throw_invalid(fmt::format("RoPE table: {}: got {}, wanted {}", field, got, wanted));
  };
  if (a.head_dim < 2 || a.head_dim % 2 != 0)
    refuse("head_dim", static_cast<double>(a.head_dim), "an even number from 2");
  if (a.rope_dim < 2 || a.rope_dim % 2 != 0 || a.rope_dim > a.head_dim)
    refuse("rope_dim", static_cast<double>(a.rope_dim), "an even number from 2 to head_dim");
  if (!(a.freq_base > 0) || !std::isfinite(a.freq_base)) refuse("freq_base", a.freq_base, "a finite number above 0");
  if (!(a.position_scale > 0) || !std::isfinite(a.position_scale))
    refuse("position_scale", a.position_scale, "a finite number above 0");
  if (!a.freq_factors.empty() && static_cast<int64_t>(a.freq_factors.size()) != a.rope_dim / 2)
    refuse("number of freq_factors", static_cast<double>(a.freq_factors.size()), "rope_dim / 2");
  for (const float f : a.freq_factors)
    if (!(f > 0) || !std::isfinite(f)) refuse("freq_factor", f, "a finite number above 0");
}

}  // namespace

std::vector<double> rope_frequencies(const RopeAngles& a) {
  check(a);
  std::vector<double> frequencies(static_cast<size_t>(a.head_dim / 2), 0.0);
  for (int64_t i = 0; i < a.rope_dim / 2; ++i) {
    double f = std::pow(a.freq_base, -2.0 * static_cast<double>(i) / static_cast<double>(a.rope_dim));
    if (!a.freq_factors.empty()) f /= a.freq_factors[static_cast<size_t>(i)];
    frequencies[static_cast<size_t>(i)] = f * a.position_scale;
  }
  return frequencies;
}

std::vector<float> rope_table(const RopeAngles& angles, int64_t n_positions) {
  const std::vector<double> frequencies = rope_frequencies(angles);
  if (n_positions < 1) throw_invalid(fmt::format("RoPE table: n_positions: got {}, wanted at least 1", n_positions));
  std::vector<float> table;
  table.reserve(static_cast<size_t>(n_positions) * frequencies.size() * 2);
  for (int64_t p = 0; p < n_positions; ++p) {
    for (const double f : frequencies) {
      const double angle = static_cast<double>(p) * f;
      table.push_back(static_cast<float>(std::cos(angle)));
      table.push_back(static_cast<float>(std::sin(angle)));
    }
  }
  return table;
}

}  // namespace greta::reference
