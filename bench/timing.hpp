// Device time of launches: events around batches that are long enough to be measured, statistics over batches.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bench/bench_case.hpp"

namespace greta::bench {

/// Of a set of samples; spread is (p90 - p10) / median.
struct Summary {
  double median = 0, mean = 0, min = 0, p10 = 0, p90 = 0, spread = 0;
  int64_t samples = 0;
};
/// Throws kInvalidArgument for no samples, and for a sample that is no positive finite number: a clock that stood still
/// has measured nothing.
Summary summarise(std::vector<double> samples);

/// Times launches of one workload, going round its slots.
class Timer {
 public:
  /// `seconds_of_delay`: GPU work put before each batch, so that the host has enqueued the batch before it starts; else
  /// launches of a few microseconds would be timed at the pace of the host. 0 on host.
  Timer(Workload& workload, hip::Stream& stream);

  /// Ten launches or 0.2 s, whichever is less; the first loads code. Then chooses the launches a batch: 200 us of work
  /// on a GPU, where events resolve about a microsecond, one launch on host.
  void warm_up();
  int64_t batch() const { return batch_; }
  /// Seconds of one batch, by events on the stream.
  double run_batch();
  /// Launches of each slot so far, warm-up included.
  std::span<const int64_t> launches() const { return launches_; }

 private:
  double time(int64_t n);

  Workload& workload_;
  hip::Stream& stream_;
  hip::Event start_, end_;
  hip::DeviceBuffer<float> sink_;
  std::vector<int64_t> launches_;
  int64_t next_ = 0, batch_ = 1;
  double delay_rounds_per_launch_ = 0;
};

}  // namespace greta::bench
