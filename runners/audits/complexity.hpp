// greta audit complexity: does the time of a prefill pass grow with its length as its work does?
//
// A power law t = c n^e is fitted to (length, median time) by least squares on logarithms; e comes with its 95 %
// interval (Student's t). The same fit over the pass's arithmetic, 2 multiply-adds of every weight and token and the
// causal pairs of attention, says what e should be over these lengths. fit_power() and judge_complexity() are pure and
// are what the tests judge: a verdict on figures that a clock gave is for people, and no timed test has one.
//   MISTRUSTED     fewer than four lengths, or an interval too wide to tell linear from quadratic
//   FAIL           e is above what the work asks for, or the longest step costs more than 1.5 times the square of its
//                  length: something grows that should not
//   CONTRADICTION  a pass is faster than the device can do its arithmetic: the work was not done, or not timed
#pragma once

#include <cstdint>
#include <span>

#include "model/config.hpp"
#include "runners/audits/case_sink.hpp"

namespace greta::runners {

struct PowerFit {
  double exponent = 0, low = 0, high = 0;  ///< of the 95 % interval
  double r2 = 0;
  int64_t points = 0;
};
/// Throws kInvalidArgument for fewer than three points, equal lengths, or times that are not positive and finite.
PowerFit fit_power(std::span<const double> lengths, std::span<const double> seconds);

/// Multiply-adds times two of a prefill pass over n tokens.
double prefill_flops(const model::LlamaConfig& config, int64_t n);

struct ComplexityBounds {
  double expected = 1;    ///< exponent of the work over the same lengths
  double peak_flops = 0;  ///< per second; 0: unknown, nothing is contradicted
  double slack = 0.35;    ///< how far above `expected` the interval's lower end may lie
  double widest = 0.8;    ///< of an interval that decides
};
/// Names "exponent", "last step", "spread", "lengths" or "clock".
Judgement judge_complexity(const PowerFit& fit, std::span<const double> lengths, std::span<const double> seconds,
                           std::span<const double> flops, const ComplexityBounds& bounds);

}  // namespace greta::runners
