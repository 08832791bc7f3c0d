#include "verify/compare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/hip/error.hpp"

namespace greta::verify {
namespace {

using results::Verdict;

constexpr int kNotComparable = kUlpBuckets - 1;
constexpr int64_t kEnoughToVary = 16;
constexpr int64_t kEnoughToRound = 64;
constexpr size_t kShown = 4;

int bucket_of(uint32_t ulps) {
  return ulps <= 1 ? static_cast<int>(ulps)
                   : std::min(static_cast<int>(std::bit_width(ulps - 1)) + 1, kNotComparable - 1);
}

void check_shapes(const Tensor& got, int64_t want, DType want_type, const Surroundings& around) {
  const int64_t n = got.count();
  if (want != n || got.dtype != want_type || around.before.count() != n || around.before.dtype != got.dtype ||
      (!around.written.empty() && static_cast<int64_t>(around.written.size()) != n))
    throw_invalid(fmt::format("compare {}: {} elements of {}, wanted {} of {}; before {} of {}, written flags {}",
                              got.name, n, dtype_name(got.dtype), want, dtype_name(want_type), around.before.count(),
                              dtype_name(around.before.dtype), around.written.size()));
}

/// Collects wrong elements and writes the report.
class Findings {
 public:
  Findings(const Tensor& got, const Surroundings& around) : got_(got), around_(around), low_(got.coordinates(0)) {
    high_ = low_;
    std::fill(low_.begin(), low_.end(), std::numeric_limits<int64_t>::max());
    std::fill(high_.begin(), high_.end(), -1);
    for (const Dim& d : got.dims) seen_.emplace_back(static_cast<size_t>(d.size), uint8_t{0});
  }

  bool to_write(int64_t i) const { return around_.written.empty() || around_.written[static_cast<size_t>(i)] != 0; }
  bool changed(int64_t i) const { return got_.bits(i) != around_.before.bits(i); }
  bool still_poison(int64_t i) const { return around_.poisoned && !changed(i); }

  void add(int64_t i, const std::string& text) {
    const std::vector<int64_t> at = got_.coordinates(i);
    for (size_t d = 0; d < at.size(); ++d) {
      low_[d] = std::min(low_[d], at[d]);
      high_[d] = std::max(high_[d], at[d]);
      seen_[d][static_cast<size_t>(at[d])] = 1;
    }
    if (shown_.size() < kShown) shown_.push_back(text);
  }

  /// First wrong elements, counts, and where in each dimension they lie.
  std::string report(const Comparison& c, const std::string& worst) const {
    std::string out;
    for (const std::string& line : shown_) out += "  " + line + "\n";
    if (!worst.empty()) out += "  worst: " + worst + "\n";
    std::string kinds;
    if (c.unwritten) kinds += fmt::format(", {} never written", c.unwritten);
    if (c.touched) kinds += fmt::format(", {} written that must stay untouched", c.touched);
    if (c.nans) kinds += fmt::format(", {} NaN", c.nans);
    out += fmt::format("  outside: {} of {} elements{};", c.outside, c.elements, kinds);
    for (size_t d = 0; d < got_.dims.size(); ++d)
      out += fmt::format(" {} in {}..{} ({} of {})", got_.dims[d].name, low_[d], high_[d],
                         std::count(seen_[d].begin(), seen_[d].end(), 1), got_.dims[d].size);
    return out + "\n";
  }

 private:
  const Tensor& got_;
  const Surroundings& around_;
  std::vector<int64_t> low_, high_;
  std::vector<std::vector<uint8_t>> seen_;
  std::vector<std::string> shown_;
};

/// Elements that must keep their bits; returns true when i is one of them and dealt with.
bool untouched(const Tensor& got, const Surroundings& around, int64_t i, Comparison& c, Findings& findings) {
  if (findings.to_write(i)) return false;
  if (findings.changed(i)) {
    ++c.outside, ++c.touched;
    findings.add(i, fmt::format("{}: must stay {}, got {}", got.place(i), show(around.before, i), show(got, i)));
  }
  return true;
}

void conclude(Comparison& c, bool alike, const std::string& name) {
  if (c.outside > 0) {
    std::string what = fmt::format("{} of {} elements of {} are wrong", c.outside, c.elements, name);
    if (c.unwritten > 0) what += "; output element never written (poison found)";
    c.outcome = {Verdict::kFail, what};
  } else if (alike) {
    c.outcome = {Verdict::kMistrusted,
                 fmt::format("all {} wanted elements of {} are alike: this data decides nothing", c.elements, name)};
  } else {
    c.outcome = {Verdict::kPass, {}};
  }
}

std::string histogram_line(const Comparison& c) {
  std::string out = "  ulp:";
  for (int b = 0; b < kUlpBuckets; ++b)
    if (c.ulps[static_cast<size_t>(b)])
      out += fmt::format(" {}: {}", ulp_bucket_name(b), c.ulps[static_cast<size_t>(b)]);
  return out + "\n";
}

}  // namespace

std::string ulp_bucket_name(int bucket) {
  if (bucket == kNotComparable) return "not comparable";
  if (bucket <= 2) return std::to_string(bucket);
  const uint32_t low = (1u << (bucket - 2)) + 1;
  return bucket == kNotComparable - 1 ? fmt::format("{}+", low) : fmt::format("{}-{}", low, 1u << (bucket - 1));
}

Comparison compare_bits(const Tensor& got, const Tensor& want, const Surroundings& around) {
  check_shapes(got, want.count(), want.dtype, around);
  Comparison c;
  Findings findings(got, around);
  const bool floats = is_float(got.dtype);
  bool alike = true;
  int64_t first = -1, worst_ulps = -1;
  for (int64_t i = 0; i < got.count(); ++i) {
    if (untouched(got, around, i, c, findings)) continue;
    ++c.elements;
    const uint32_t g = got.bits(i), w = want.bits(i);
    if (first < 0) first = i;
    alike = alike && w == want.bits(first);
    const bool got_nan = is_nan(got.dtype, g), want_nan = is_nan(got.dtype, w);
    const bool equal = g == w || (got_nan && want_nan) || (is_zero(got.dtype, g) && is_zero(got.dtype, w));
    if (equal) {
      ++c.ulps[0];
      continue;
    }
    ++c.outside;
    const bool unwritten = findings.still_poison(i);
    const bool comparable = floats && !got_nan && !want_nan && !unwritten;
    const uint32_t ulps = comparable ? ulp_distance(got.dtype, g, w) : 0;
    ++c.ulps[static_cast<size_t>(comparable ? bucket_of(ulps) : kNotComparable)];
    c.unwritten += unwritten;
    c.nans += got_nan && !unwritten;
    if (comparable && static_cast<int64_t>(ulps) > worst_ulps) worst_ulps = ulps, c.worst = i;
    std::string text = fmt::format("{}: want {}, got {}", got.place(i), show(want, i), show(got, i));
    if (unwritten) text += ", never written: the poison is still there";
    if (comparable) text += fmt::format(", {} ulp", ulps);
    findings.add(i, text);
  }
  conclude(c, alike && c.elements >= kEnoughToVary, got.name);
  if (c.outside > 0) {
    const std::string worst = c.worst < 0 ? ""
                                          : fmt::format("{}, {} ulp", got.place(c.worst),
                                                        ulp_distance(got.dtype, got.bits(c.worst), want.bits(c.worst)));
    c.detail = findings.report(c, worst) + (floats ? histogram_line(c) : "");
  }
  return c;
}

Comparison compare_bound(const Tensor& got, const reference::Bounded& oracle, const Surroundings& around, bool rounds) {
  check_shapes(got, static_cast<int64_t>(oracle.value.size()), got.dtype, around);
  Comparison c;
  Findings findings(got, around);
  bool alike = true;
  int64_t first = -1, may_round = 0;
  std::string worst;
  for (int64_t i = 0; i < got.count(); ++i) {
    if (untouched(got, around, i, c, findings)) continue;
    ++c.elements;
    const auto at = static_cast<size_t>(i);
    const double want = oracle.value[at], bound = oracle.bound[at], value = got.number(i);
    if (first < 0) first = i;
    may_round += bound > 0;
    alike = alike && want == oracle.value[static_cast<size_t>(first)];
    const double error = std::abs(value - want);
    const bool unwritten = findings.still_poison(i);
    // Written so that NaN in any of the three is outside; an infinite bound promises nothing and is outside too.
    const bool inside = error <= bound && std::isfinite(bound);
    double ratio = std::numeric_limits<double>::infinity();
    if (error == 0 && inside)
      ratio = 0;
    else if (bound > 0 && std::isfinite(error))
      ratio = error / bound;
    if (ratio > c.worst_ratio || c.worst < 0) {
      c.worst_ratio = ratio, c.worst = i;
      worst = fmt::format("{}: want {:.9g}, got {}, diff {:.3g}, bound {:.3g}, ratio {:.3g}", got.place(i), want,
                          show(got, i), error, bound, ratio);
    }
    if (inside) continue;
    ++c.outside;
    c.unwritten += unwritten;
    c.nans += std::isnan(value) && !unwritten;
    findings.add(
        i, fmt::format("{}: want {:.9g}, got {}, diff {:.3g}, bound {:.3g}{}", got.place(i), want, show(got, i), error,
                       bound, unwritten ? ", never written: the poison is still there" : ""));
  }
  conclude(c, alike && c.elements >= kEnoughToVary, got.name);
  if (c.outside > 0) {
    c.detail = findings.report(c, worst);
  } else if (c.outcome.verdict == Verdict::kPass && rounds && may_round >= kEnoughToRound && c.worst_ratio < kTooGood) {
    c.outcome = {Verdict::kMistrusted,
                 fmt::format("too good: worst error is {:.2g} of the bound over {} elements of {}, where rounding is "
                             "expected (at least {:.0e})",
                             c.worst_ratio, c.elements, got.name, kTooGood)};
  }
  return c;
}

}  // namespace greta::verify
