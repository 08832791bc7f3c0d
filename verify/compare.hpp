// Comparing what a kernel wrote with what it should have written. Tested first (compare_test.cpp): a comparator that
// passes a NaN, a tensor nobody wrote or an answer of zeros makes every test above it worthless.
//
// Rules of all comparisons
//   NaN         never passes where a number is wanted. Where a NaN is wanted (bits only), any NaN will do: its payload
//               and sign differ between platforms.
//   zeros       +0 and -0 are equal.
//   unwritten   an element that still has the bits of the poison it was filled with is named as never written.
//   untouched   elements that the call must not write (`written` is 0 there) must keep their bits.
//   weak data   fewer kinds of answers than a defect needs to show: a wanted tensor of at least 16 elements that are
//               all alike is MISTRUSTED, whatever the kernel answered.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "reference/rounding.hpp"
#include "results/record.hpp"
#include "verify/tensor.hpp"

namespace greta::verify {

/// What was in an output before the launch, and which elements the launch is to write.
struct Surroundings {
  Tensor before;                 ///< same shape as the output
  bool poisoned = true;          ///< `before` is poison (false: input that is changed in place)
  std::vector<uint8_t> written;  ///< one byte an element; empty: all
};

/// Buckets of the ulp histogram: 0, 1, 2, 3-4, 5-8, 9-16, ..., 2^14+1 and more; then not comparable (NaN, unwritten).
inline constexpr int kUlpBuckets = 18;
std::string ulp_bucket_name(int bucket);

struct Comparison {
  results::Outcome outcome;
  int64_t elements = 0;
  int64_t outside = 0;                      ///< elements that are wrong
  int64_t unwritten = 0;                    ///< of those, still poison
  int64_t touched = 0;                      ///< of those, written though they must not be
  int64_t nans = 0;                         ///< of those, NaN where a number is wanted
  double worst_ratio = 0;                   ///< bound: largest |got - want| / bound; infinite for NaN
  int64_t worst = -1;                       ///< index of the first of the worst elements
  std::array<int64_t, kUlpBuckets> ulps{};  ///< bits only
  std::string detail;                       ///< for people, several lines; empty when all is well
};

/// Bits against bits: the exact tiers.
Comparison compare_bits(const Tensor& got, const Tensor& want, const Surroundings& around);

/// |got - value| <= bound of a double oracle. `rounds`: rounding errors are expected, so an output with at least 64
/// elements of positive bound whose worst ratio is below kTooGood is MISTRUSTED: it exercised nothing, or the oracle is
/// the kernel. (A bound of 0 says that the element is a copy.)
inline constexpr double kTooGood = 1e-4;
Comparison compare_bound(const Tensor& got, const reference::Bounded& oracle, const Surroundings& around, bool rounds);

/// Figures of a whole tensor against the oracle, over elements that are written.
struct Statistics {
  int64_t elements = 0;
  double nmse = 0;            ///< sum (got-want)^2 / sum want^2
  double worst_row_nmse = 0;  ///< of the worst row (innermost dimension)
  int64_t worst_row = -1;
  double p99_ulp = 0;  ///< of the output's type, against the oracle rounded once to that type
  double max_ulp = 0;
  double one_minus_cos = 0;
  double bias = 0;          ///< mean(err) / mean|err|: -1 for rounding down
  double bias_to_zero = 0;  ///< mean(err * sign(want)) / mean|err|: -1 for rounding towards zero
};
Statistics statistics(const Tensor& got, const reference::Bounded& oracle, const std::vector<uint8_t>& written);

/// Ceilings for statistics, derived where they are made (verify/tiers.cpp). Empty text: all hold.
struct Ceilings {
  double nmse = 0;
  double worst_row_nmse = 0;
  double p99_ulp = 0;
  double one_minus_cos = 0;
  double bias = 0;  ///< of both biases; 0: not judged
};
std::string exceeded(const Statistics& s, const Ceilings& c);

}  // namespace greta::verify
