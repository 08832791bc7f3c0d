// Streams, events, device facts and launches of the host platform: everything is done when the call returns.
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <numeric>
#include <thread>

#include "kernels/hip/blame.hpp"
#include "kernels/hip/host/executor.hpp"
#include "kernels/hip/text.hpp"

namespace greta::hip {

struct Stream::Impl {
  std::string name;
};
Stream::Stream(std::string name) : impl_(std::make_unique<Impl>()) { impl_->name = std::move(name); }
Stream::~Stream() = default;
Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&&) noexcept = default;
void Stream::synchronize() { neutral::throw_if_faulted(); }
const std::string& Stream::name() const { return impl_->name; }

struct Event::Impl {
  std::chrono::steady_clock::time_point at;
  bool recorded = false;
};
Event::Event() : impl_(std::make_unique<Impl>()) {}
Event::~Event() = default;
Event::Event(Event&&) noexcept = default;
Event& Event::operator=(Event&&) noexcept = default;
void Event::record(Stream&) {
  impl_->at = std::chrono::steady_clock::now();
  impl_->recorded = true;
}
void Event::synchronize() { neutral::throw_if_faulted(); }
double Event::elapsed_ms(const Event& start, const Event& end) {
  if (!start.impl_->recorded || !end.impl_->recorded) throw_invalid("elapsed_ms: an event was not recorded");
  return std::chrono::duration<double, std::milli>(end.impl_->at - start.impl_->at).count();
}

namespace {

std::string first_value(const char* file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);)
    if (line.compare(0, key.size(), key) == 0 && line.find(':') != std::string::npos) {
      const size_t at = line.find_first_not_of(" \t", line.find(':') + 1);
      return at == std::string::npos ? "" : line.substr(at);
    }
  return "";
}

/// What the kernel says of core 0; sysconf() only where it says nothing, since glibc counts all caches of a socket as
/// one.
size_t last_level_cache() {
  size_t most = 0;
  for (int index = 0; index < 8; ++index) {
    std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/size");
    size_t size = 0;
    char unit = 0;
    if (file >> size) file >> unit;
    most = std::max(most, size << (unit == 'K' ? 10 : unit == 'M' ? 20 : 0));
  }
  if (most == 0)
    for (const int name : {_SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE, _SC_LEVEL4_CACHE_SIZE})
      most = std::max(most, static_cast<size_t>(std::max(0L, sysconf(name))));
  return most ? most : size_t{32} << 20;
}

/// Bits of results depend on these: round to nearest even, denormals kept.
void require_ieee_mode() {
  constexpr unsigned kRoundingFlushDenormals = 0x6000 | 0x8000 | 0x0040;
  if (_mm_getcsr() & kRoundingFlushDenormals)
    throw_invalid(
        "this thread's floating-point mode (MXCSR) rounds other than to nearest even or flushes denormals: "
        "something in the process was linked with -ffast-math");
}

}  // namespace

namespace platform {

DeviceInfo query_device() {
  DeviceInfo info;
  info.platform = "host";
  info.name = first_value("/proc/cpuinfo", "model name");
  if (info.name.empty()) info.name = "CPU";
  info.architecture = "x86-64-v3";
  info.wave_size = exec_config().wave;
  info.compute_units = static_cast<int>(std::thread::hardware_concurrency());
  info.lds_bytes_per_block = host::kLdsBytes;
  info.memory_bytes = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGE_SIZE));
  info.last_level_cache_bytes = last_level_cache();
  info.driver = "greta host executor";
  return info;
}

void before_launch(Stream&) { require_ieee_mode(); }
void synchronize_device() {}

// A launch has run before it returns: there is nothing to keep for later. Graph refuses before it gets here.
bool graphs_supported() { return false; }
void begin_capture(Stream&) {}
void* end_capture(Stream&, bool) { return nullptr; }
void launch_graph(Stream&, void*) {}
void free_graph(void*) noexcept {}
void start_after(Stream&, Stream&) {}

}  // namespace platform

void dispatch(Stream&, const LaunchShape& shape, const KernelCall& call) {
  static std::mutex one_at_a_time;
  std::lock_guard lock(one_at_a_time);
  host::Job job;
  job.shape = &shape;
  job.invoke = call.invoke;
  job.context = call.context;
  job.config = exec_config();
  job.blocks = shape.grid.total();
  job.started = __rdtsc();
  job.sequence = neutral::current_sequence();
  if (host::kRaces) job.config.workers = 1;  // the shadow memory keeps one order of events
  if (job.config.order == ExecConfig::Order::kRandom) {
    job.block_order.resize(job.blocks);
    std::iota(job.block_order.begin(), job.block_order.end(), 0u);
    std::mt19937_64 random(job.config.order_seed);
    for (uint64_t i = job.blocks; i > 1; --i) std::swap(job.block_order[i - 1], job.block_order[random() % i]);
  }
  host::Worker::of_this_thread().run(job, true);
  host::wait_for_helpers(job);
  if (!job.failed) return;
  neutral::blame_launch(job.sequence);
  if (job.kind == ErrorKind::kDeviceFault) neutral::raise_fault(job.text);
  throw Error(job.kind, job.text);
}

}  // namespace greta::hip
