// Ceilings of the device, measured in the run whose rows they judge, and the judgement: no launch is faster than moving
// its bytes or doing its arithmetic at the device's best. One that looks so did not do its work, or was timed wrongly.
//
// Units: GB = 1e9 bytes, each operand counted once; FLOP = 2 a multiply-add. Peaks are not vendor figures but what the
// kernels of kernels/ceilings reach here and now.
#pragma once

#include <map>
#include <string>

#include "kernels/ceilings/ceilings.hpp"
#include "results/record.hpp"

namespace greta::bench {

class Ceilings {
 public:
  /// GB/s of a copy (bytes read + bytes written), of reading alone, and the larger of both. Measured when first asked
  /// for: the best of several passes over buffers of four times the last-level cache.
  double copy();
  double read();
  double bytes() { return copy() > read() ? copy() : read(); }
  /// TFLOP/s of that arithmetic on the vector units.
  double compute(Compute compute);
  /// Measures what has been measured once more and keeps the better figures: before a row is called too fast, since on
  /// a busy machine the ceiling may be what was wrong.
  void measure_again();
  /// What has been measured so far, by name.
  results::Json as_json() const;
  /// Fixed figures instead of measured ones, for tests.
  static Ceilings fixed(double copy, double read, double compute);

 private:
  void measure_bytes();
  void measure_compute(Compute compute);
  bool fixed_ = false;
  double copy_ = 0, read_ = 0;
  std::map<Compute, double> compute_;
};

/// One timed row against the ceilings.
struct Judgement {
  double gb_per_s = 0, tflop_per_s = 0;
  double copy_pct = 0;   ///< of the copy ceiling
  double flop_pct = 0;   ///< of the compute ceiling; 0 for operators without arithmetic
  double floor_us = 0;   ///< max(bytes / best byte rate, flops / best rate)
  std::string too_fast;  ///< empty, or why the row cannot be true
};
/// Rows may beat a ceiling by 5 % (clocks move). `cold`: the inputs come from memory; when they may come from a cache
/// the byte rate is no limit and only the arithmetic is judged.
inline constexpr double kRooflineSlack = 1.05;
Judgement judge(double seconds, double bytes, double flops, Compute compute, bool cold, Ceilings& ceilings);

}  // namespace greta::bench
