#include "bench/timing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

namespace greta::bench {
namespace {

constexpr double kBatchSeconds = 200e-6;
constexpr int64_t kMostBatch = 1000;
constexpr int kWarmUpLaunches = 10;
constexpr double kWarmUpSeconds = 0.2;
/// Host time that enqueueing a launch may take; the delay before a batch is this long for each launch.
constexpr double kEnqueueSeconds = 15e-6;

bool on_host() { return hip::platform_name() == "host"; }

/// p in [0, 1], between neighbours.
double quantile(const std::vector<double>& sorted, double p) {
  const double at = p * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

}  // namespace

Summary summarise(std::vector<double> samples) {
  if (samples.empty()) throw_invalid("timing: no samples");
  for (const double s : samples)
    if (!(s > 0) || !std::isfinite(s))
      throw_invalid(fmt::format("timing: a batch took {} seconds; the clock or the events do not work", s));
  std::sort(samples.begin(), samples.end());
  Summary summary;
  summary.samples = static_cast<int64_t>(samples.size());
  for (const double s : samples) summary.mean += s / static_cast<double>(samples.size());
  summary.median = quantile(samples, 0.5);
  summary.min = samples.front();
  summary.p10 = quantile(samples, 0.1), summary.p90 = quantile(samples, 0.9);
  summary.spread = (summary.p90 - summary.p10) / summary.median;
  return summary;
}

Timer::Timer(Workload& workload, hip::Stream& stream)
    : workload_(workload),
      stream_(stream),
      sink_("bench.sink", 1),
      launches_(static_cast<size_t>(workload.slots()), 0) {}

double Timer::time(int64_t n) {
  if (delay_rounds_per_launch_ > 0)
    ceiling_compute(stream_, Compute::kF32, static_cast<int>(delay_rounds_per_launch_ * static_cast<double>(n)) + 1,
                    sink_.view());
  start_.record(stream_);
  for (int64_t i = 0; i < n; ++i) {
    workload_.launch(stream_, next_);
    ++launches_[static_cast<size_t>(next_)];
    next_ = (next_ + 1) % workload_.slots();
  }
  end_.record(stream_);
  end_.synchronize();
  return hip::Event::elapsed_ms(start_, end_) * 1e-3;
}

void Timer::warm_up() {
  const auto begin = std::chrono::steady_clock::now();
  double once = time(1);
  for (int i = 1; i < kWarmUpLaunches; ++i) {
    once = std::min(once, time(1));
    if (std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() > kWarmUpSeconds) break;
  }
  if (on_host()) return;
  batch_ = std::clamp<int64_t>(static_cast<int64_t>(std::ceil(kBatchSeconds / std::max(once, 1e-6))), 1, kMostBatch);
  constexpr int kRounds = 1000;
  ceiling_compute(stream_, Compute::kF32, kRounds, sink_.view());
  start_.record(stream_);
  ceiling_compute(stream_, Compute::kF32, kRounds, sink_.view());
  end_.record(stream_);
  end_.synchronize();
  delay_rounds_per_launch_ = kEnqueueSeconds * kRounds / (std::max(hip::Event::elapsed_ms(start_, end_), 1e-3) * 1e-3);
}

double Timer::run_batch() { return time(batch_); }

}  // namespace greta::bench
