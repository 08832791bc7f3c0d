// Figures of a whole tensor against its oracle (declared in verify/compare.hpp).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "verify/compare.hpp"

namespace greta::verify {
namespace {

/// Running sums of errors and values.
struct Sums {
  double squared_error = 0, squared_want = 0, squared_got = 0, product = 0;
  double error = 0, error_outward = 0, magnitude = 0;

  void add(double got, double want) {
    const double e = got - want;
    squared_error += e * e, squared_want += want * want, squared_got += got * got, product += got * want;
    error += e, error_outward += want < 0 ? -e : e, magnitude += std::abs(e);
  }
  double nmse() const {
    if (std::isnan(squared_error)) return squared_error;
    if (squared_error == 0) return 0;
    return squared_want > 0 ? squared_error / squared_want : std::numeric_limits<double>::infinity();
  }
};

double ulps(const Tensor& got, int64_t i, double want) {
  if (std::isnan(got.number(i)) || std::isnan(want)) return std::numeric_limits<double>::infinity();
  Tensor rounded("", got.dtype, {{"", 1}});
  rounded.set(0, reference::round_once(got.dtype, want));
  return ulp_distance(got.dtype, got.bits(i), rounded.bits(0));
}

}  // namespace

Statistics statistics(const Tensor& got, const reference::Bounded& oracle, const std::vector<uint8_t>& written) {
  Statistics s;
  Sums all, row;
  std::vector<double> distances;
  const int64_t width = got.dims.empty() ? 1 : got.dims.back().size;
  int64_t in_row = 0;
  for (int64_t i = 0; i < got.count(); ++i) {
    if (written.empty() || written[static_cast<size_t>(i)]) {
      const double want = oracle.value[static_cast<size_t>(i)];
      all.add(got.number(i), want);
      row.add(got.number(i), want);
      distances.push_back(ulps(got, i, want));
      ++in_row;
    }
    if ((i + 1) % width == 0) {
      const double nmse = row.nmse();
      if (in_row > 0 && !(nmse <= s.worst_row_nmse)) s.worst_row_nmse = nmse, s.worst_row = i / width;
      row = {}, in_row = 0;
    }
  }
  s.elements = static_cast<int64_t>(distances.size());
  if (distances.empty()) return s;
  std::sort(distances.begin(), distances.end());
  s.max_ulp = distances.back();
  s.p99_ulp = distances[std::min(distances.size() - 1, distances.size() * 99 / 100)];
  s.nmse = all.nmse();
  const double lengths = std::sqrt(all.squared_want) * std::sqrt(all.squared_got);
  s.one_minus_cos = lengths > 0 ? std::max(0.0, 1 - all.product / lengths) : (all.squared_error == 0 ? 0.0 : 1.0);
  if (std::isnan(lengths)) s.one_minus_cos = lengths;
  if (all.magnitude > 0) s.bias = all.error / all.magnitude, s.bias_to_zero = all.error_outward / all.magnitude;
  return s;
}

std::string exceeded(const Statistics& s, const Ceilings& c) {
  std::string out;
  const auto check = [&](const char* what, double value, double ceiling) {
    if (value <= ceiling) return;  // a NaN is not
    out += fmt::format("{}{} is {:.3g}, at most {:.3g} allowed", out.empty() ? "" : "; ", what, value, ceiling);
  };
  check("NMSE", s.nmse, c.nmse);
  check(fmt::format("NMSE of row {}", s.worst_row).c_str(), s.worst_row_nmse, c.worst_row_nmse);
  check("99th percentile of ulp", s.p99_ulp, c.p99_ulp);
  check("1 - cos", s.one_minus_cos, c.one_minus_cos);
  if (c.bias > 0) {
    check("bias (mean error / mean magnitude)", std::abs(s.bias), c.bias);
    check("bias towards or away from zero", std::abs(s.bias_to_zero), c.bias);
  }
  return out;
}

}  // namespace greta::verify
