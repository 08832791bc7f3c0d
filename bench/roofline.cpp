#include "bench/roofline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "kernels/hip/runtime.hpp"

namespace greta::bench {
namespace {

bool on_host() { return hip::platform_name() == "host"; }

/// Best seconds of several passes; the first, which loads code, does not count. pass(i) enqueues pass i.
double best_seconds(hip::Stream& stream, int passes, const std::function<void(int)>& pass) {
  hip::Event start, end;
  pass(0);
  double best = 0;
  for (int i = 0; i < passes; ++i) {
    start.record(stream);
    pass(i);
    end.record(stream);
    end.synchronize();
    const double seconds = hip::Event::elapsed_ms(start, end) * 1e-3;
    if (best == 0 || seconds < best) best = seconds;
  }
  if (!(best > 0)) throw_invalid("roofline: a ceiling took no time; the events do not work");
  return best;
}

}  // namespace

// A pass of the host platform is short, so that on a machine that has other work too some passes run undisturbed; the
// buffer is as large as elsewhere, and passes go through it.
void Ceilings::measure_bytes() {
  const auto& device = hip::device_info();
  const size_t wanted =
      std::clamp<size_t>(4 * device.last_level_cache_bytes, size_t{64} << 20, device.memory_bytes / 8);
  const size_t piece = on_host() ? size_t{2} << 18 : wanted / sizeof(float) / 4 * 4;  // elements: 2 MiB on host
  const size_t pieces = std::max<size_t>(1, wanted / sizeof(float) / piece);
  hip::Stream stream("ceilings");
  hip::DeviceBuffer<float> from("ceiling.from", piece * pieces), to("ceiling.to", piece * pieces);
  const int passes = std::max(5, static_cast<int>(pieces));
  const auto at = [&](int pass) { return static_cast<size_t>(pass) % pieces * piece; };
  const double copy = best_seconds(stream, passes, [&](int i) {
    ceiling_copy(stream, from.cview().slice(at(i), piece), to.view().slice(at(i), piece));
  });
  const double read = best_seconds(
      stream, passes, [&](int i) { ceiling_read(stream, from.cview().slice(at(i), piece), to.view().slice(0, 1)); });
  copy_ = std::max(copy_, 8.0 * static_cast<double>(piece) / copy * 1e-9);
  read_ = std::max(read_, 4.0 * static_cast<double>(piece) / read * 1e-9);
}

void Ceilings::measure_compute(Compute compute) {
  hip::Stream stream("ceilings");
  hip::DeviceBuffer<float> sink("ceiling.sink", 1);
  const double wanted = on_host() ? 1e-3 : 5e-3;  // seconds of a pass
  const int passes = on_host() ? 20 : 5;
  int rounds = 16;
  for (;;) {
    double flops = 0;
    const double seconds =
        best_seconds(stream, passes, [&](int) { flops = ceiling_compute(stream, compute, rounds, sink.view()); });
    compute_[compute] = std::max(compute_[compute], flops / seconds * 1e-12);
    if (seconds > wanted / 2 || rounds > (1 << 22)) return;
    rounds = static_cast<int>(std::min(8.0, std::max(2.0, wanted / seconds)) * rounds);
  }
}

void Ceilings::measure_again() {
  if (fixed_) return;
  if (copy_ > 0) measure_bytes();
  for (const auto& [compute, rate] : std::map<Compute, double>(compute_)) measure_compute(compute);
}

double Ceilings::copy() {
  if (copy_ == 0) measure_bytes();
  return copy_;
}
double Ceilings::read() {
  if (copy_ == 0) measure_bytes();
  return read_;
}

double Ceilings::compute(Compute compute) {
  if (!compute_.contains(compute)) measure_compute(compute);
  return compute_[compute];
}

results::Json Ceilings::as_json() const {
  results::Json json = results::Json::object();
  if (copy_ > 0) json["copy_gb_per_s"] = copy_, json["read_gb_per_s"] = read_;
  for (const auto& [compute, rate] : compute_) json[std::string(compute_name(compute)) + " tflop_per_s"] = rate;
  return json;
}

Ceilings Ceilings::fixed(double copy, double read, double compute) {
  Ceilings c;
  c.fixed_ = true;
  c.copy_ = copy, c.read_ = read;
  c.compute_ = {
      {Compute::kF32, compute}, {Compute::kI8, compute}, {Compute::kI8Matrix, compute}, {Compute::kMatrix, compute}};
  return c;
}

Judgement judge(double seconds, double bytes, double flops, Compute compute, bool cold, Ceilings& ceilings) {
  Judgement j;
  if (!(seconds > 0) || !std::isfinite(seconds)) {
    j.too_fast = fmt::format("took {} seconds", seconds);
    return j;
  }
  const double best_bytes = ceilings.bytes() * 1e9, best_flops = flops > 0 ? ceilings.compute(compute) * 1e12 : 0;
  j.gb_per_s = bytes / seconds * 1e-9, j.tflop_per_s = flops / seconds * 1e-12;
  j.copy_pct = 100 * j.gb_per_s / ceilings.copy();
  const double byte_floor = bytes / best_bytes, flop_floor = flops > 0 ? flops / best_flops : 0;
  if (flops > 0) j.flop_pct = 100 * flop_floor / seconds;
  j.floor_us = std::max(byte_floor, flop_floor) * 1e6;
  if (flop_floor > seconds * kRooflineSlack)
    j.too_fast = fmt::format("{:.4g} us is faster than its {:.4g} GFLOP at the measured {} ceiling of {:.4g} TFLOP/s",
                             seconds * 1e6, flops * 1e-9, compute_name(compute), best_flops * 1e-12);
  else if (cold && byte_floor > seconds * kRooflineSlack)
    j.too_fast = fmt::format("{:.4g} us is faster than moving its {:.4g} MB at the measured ceiling of {:.4g} GB/s",
                             seconds * 1e6, bytes * 1e-6, best_bytes * 1e-9);
  return j;
}

}  // namespace greta::bench
