#include "runners/gates/logits_diff.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/hip/error.hpp"

namespace greta::runners {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

bool same_bits(float a, float b) {
  if (a == 0 && b == 0) return true;
  return std::memcmp(&a, &b, sizeof a) == 0;
}

/// log(sum(exp(x))) of a row.
double log_sum_exp(std::span<const float> x, double max) {
  double sum = 0;
  for (const float v : x) sum += std::exp(static_cast<double>(v) - max);
  return max + std::log(sum);
}

PositionDiff compare_position(std::span<const float> a, std::span<const float> b) {
  PositionDiff d;
  std::vector<double> differences(a.size());
  double sum_b = 0, squares = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    d.bits_equal = d.bits_equal && same_bits(a[i], b[i]);
    d.nan = d.nan || std::isnan(a[i]) || std::isnan(b[i]) || std::isinf(a[i]) || std::isinf(b[i]);
    const double difference = std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    differences[i] = std::isnan(difference) ? kInfinity : difference;
    squares += difference * difference;
    sum_b += static_cast<double>(b[i]);
    if (differences[i] > d.max_abs || i == 0) {
      d.max_abs = differences[i], d.worst_id = static_cast<int64_t>(i);
      d.worst_a = a[i], d.worst_b = b[i];
    }
  }
  const auto p99 = differences.begin() + static_cast<std::ptrdiff_t>((differences.size() - 1) * 99 / 100);
  std::nth_element(differences.begin(), p99, differences.end());
  d.p99_abs = *p99;
  if (d.nan) {
    d.bits_equal = false, d.top1_equal = false;
    d.relative = d.kl = d.max_abs = kInfinity;
    return d;
  }
  const double mean = sum_b / static_cast<double>(b.size());
  double spread = 0;
  for (const float v : b) spread += (static_cast<double>(v) - mean) * (static_cast<double>(v) - mean);
  d.relative = squares == 0 ? 0 : (spread > 0 ? std::sqrt(squares / spread) : kInfinity);
  const auto top_a = std::max_element(a.begin(), a.end()), top_b = std::max_element(b.begin(), b.end());
  d.top1_equal = top_a - a.begin() == top_b - b.begin();
  if (!d.bits_equal) {
    const double za = log_sum_exp(a, static_cast<double>(*top_a)), zb = log_sum_exp(b, static_cast<double>(*top_b));
    double kl = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      const double log_pa = static_cast<double>(a[i]) - za, log_pb = static_cast<double>(b[i]) - zb;
      kl += std::exp(log_pa) * (log_pa - log_pb);
    }
    d.kl = std::max(kl, 0.0);  // rounding can leave a hair below zero
  }
  return d;
}

}  // namespace

LogitsDiff compare_logits(std::span<const float> a, std::span<const float> b, int64_t vocab, int64_t first_position) {
  if (vocab < 1 || a.size() != b.size() || a.empty() || a.size() % static_cast<size_t>(vocab))
    throw_invalid(
        fmt::format("logits to compare: {} and {} values, want the same positive multiple of the vocabulary ({})",
                    a.size(), b.size(), vocab));
  LogitsDiff diff;
  diff.vocab = vocab, diff.first_position = first_position;
  const auto width = static_cast<size_t>(vocab);
  for (size_t at = 0; at < a.size(); at += width)
    diff.positions.push_back(compare_position(a.subspan(at, width), b.subspan(at, width)));
  return diff;
}

bool logits_are_trivial(std::span<const float> logits, int64_t vocab) {
  if (logits.empty()) return true;
  for (size_t at = 0; at < logits.size(); at += static_cast<size_t>(vocab))
    for (size_t i = 1; i < static_cast<size_t>(vocab); ++i)
      if (!same_bits(logits[at], logits[at + i])) return false;
  return true;
}

double LogitsDiff::max_abs_diff() const {
  double v = 0;
  for (const auto& p : positions) v = std::max(v, p.max_abs);
  return v;
}
double LogitsDiff::p99_abs_diff() const {
  double v = 0;
  for (const auto& p : positions) v = std::max(v, p.p99_abs);
  return v;
}
double LogitsDiff::max_relative() const {
  double v = 0;
  for (const auto& p : positions) v = std::max(v, p.relative);
  return v;
}
double LogitsDiff::rms_relative() const {
  double squares = 0;
  for (const auto& p : positions) squares += p.relative * p.relative;
  return positions.empty() ? 0 : std::sqrt(squares / static_cast<double>(positions.size()));
}
double LogitsDiff::kl() const {
  double v = 0;
  for (const auto& p : positions) v = std::max(v, p.kl);
  return v;
}
double LogitsDiff::top1_agreement() const {
  const auto equal = std::count_if(positions.begin(), positions.end(), [](const auto& p) { return p.top1_equal; });
  return positions.empty() ? 0 : static_cast<double>(equal) / static_cast<double>(positions.size());
}
bool LogitsDiff::bits_equal() const { return !first_unequal(); }
bool LogitsDiff::has_nan() const {
  return std::any_of(positions.begin(), positions.end(), [](const auto& p) { return p.nan; });
}
std::optional<int64_t> LogitsDiff::first_unequal() const {
  for (size_t i = 0; i < positions.size(); ++i)
    if (!positions[i].bits_equal) return first_position + static_cast<int64_t>(i);
  return std::nullopt;
}
std::optional<int64_t> LogitsDiff::first_above(double bound) const {
  for (size_t i = 0; i < positions.size(); ++i)
    if (!(positions[i].relative <= bound)) return first_position + static_cast<int64_t>(i);
  return std::nullopt;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && !a.empty() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace greta::runners
