// Which device there is, and streams and events on it.
#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "kernels/hip/gpu/api.hpp"
#include "kernels/hip/platform.hpp"

namespace greta::hip {
namespace {

#if defined(GRETA_CUDA)
constexpr const char* kBuiltFor = "sm_90";
constexpr const char* kDeviceNode = "/dev/nvidiactl";
constexpr const char* kAdvice = "An NVIDIA driver for CUDA 13 (580 or newer) and an H100 or H200 are needed";
#else
constexpr const char* kBuiltFor = "gfx942";
constexpr const char* kDeviceNode = "/dev/kfd";
constexpr const char* kAdvice =
    "An MI300X, the amdgpu driver and a user in the groups that own /dev/kfd (render, video) are needed";
#endif

std::string architecture(const hipDeviceProp_t& p) {
#if defined(GRETA_CUDA)
  return fmt::format("sm_{}{}", p.major, p.minor);
#else
  return p.gcnArchName;  // "gfx942:sramecc+:xnack-"
#endif
}

/// Bytes that a benchmark's inputs must exceed to come from HBM.
size_t last_level_cache(const hipDeviceProp_t& p) {
  // MI300X has 256 MB of Infinity Cache behind its L2, which the runtime does not report.
  const std::string name = architecture(p);
  if (name.rfind("gfx942", 0) == 0) return size_t{256} << 20;
  return static_cast<size_t>(p.l2CacheSize);
}

size_t lds_per_block(const hipDeviceProp_t& p) {
#if defined(GRETA_CUDA)
  return p.sharedMemPerBlockOptin;
#else
  return p.sharedMemPerBlock;
#endif
}

[[noreturn]] void no_device(const std::string& found) {
  const char* node = access(kDeviceNode, R_OK | W_OK) == 0 ? "can be opened"
                     : access(kDeviceNode, F_OK) == 0      ? "exists but may not be opened by this user"
                                                           : "does not exist";
  throw Error(ErrorKind::kNoDevice,
              fmt::format("no {} device for platform {}: {}; {} {}. {}; or use --platform host, which needs no device.",
                          kBuiltFor, platform_name(), found, kDeviceNode, node, kAdvice));
}

}  // namespace

DeviceInfo platform::query_device() {
  int count = 0;
  if (const hipError_t error = hipGetDeviceCount(&count); error != hipSuccess) {
    (void)hipGetLastError();
    no_device("counting devices says " + gpu::error_text(error));
  }
  if (count == 0) no_device("the runtime counts 0 devices");
  int device = 0;
  gpu::check(hipGetDevice(&device), "hipGetDevice");
  hipDeviceProp_t p;
  gpu::check(hipGetDeviceProperties(&p, device), fmt::format("hipGetDeviceProperties({})", device));
  DeviceInfo info;
  info.platform = platform_name();
  info.name = p.name;
  info.architecture = architecture(p);
  if (info.architecture.rfind(kBuiltFor, 0) != 0)
    no_device(fmt::format("device {} of {} is '{}' ({}), for which this build has no code", device, count, info.name,
                          info.architecture));
  info.wave_size = p.warpSize;
  info.compute_units = p.multiProcessorCount;
  info.lds_bytes_per_block = lds_per_block(p);
  info.memory_bytes = p.totalGlobalMem;
  info.last_level_cache_bytes = last_level_cache(p);
  int driver = 0, runtime = 0;
  gpu::check(hipDriverGetVersion(&driver), "hipDriverGetVersion");
  gpu::check(hipRuntimeGetVersion(&runtime), "hipRuntimeGetVersion");
  info.driver = fmt::format("driver {}, runtime {}", driver, runtime);
  return info;
}

void gpu::require_device() { (void)device_info(); }

void platform::synchronize_device() {
  gpu::check_after_wait(hipDeviceSynchronize(), "waiting for the device");
  gpu::note_waited_for_all();
}

// ------------------------------------------------------------------------------------------------------------- streams

Stream::Stream(std::string name) {
  gpu::require_device();
  hipStream_t handle = nullptr;
  gpu::check(hipStreamCreateWithFlags(&handle, hipStreamNonBlocking), "creating stream '" + name + "'");
  impl_ = std::make_unique<Impl>(Impl{std::move(name), handle});
}
Stream::~Stream() {
  if (!impl_) return;
  (void)hipStreamDestroy(impl_->handle);  // returns at once; what is queued is finished
}
Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&& other) noexcept {
  std::swap(impl_, other.impl_);
  return *this;
}

void Stream::synchronize() {
  neutral::throw_if_faulted();
  gpu::check_after_wait(hipStreamSynchronize(impl_->handle), "waiting for stream '" + impl_->name + "'");
  gpu::note_waited(*this);
}

const std::string& Stream::name() const { return impl_->name; }

// -------------------------------------------------------------------------------------------------------------- events

struct Event::Impl {
  hipEvent_t handle = nullptr;
  ~Impl() {
    if (handle) (void)hipEventDestroy(handle);
  }
};

Event::Event() : impl_(std::make_unique<Impl>()) {
  gpu::require_device();
  gpu::check(hipEventCreate(&impl_->handle), "creating an event");
}
Event::~Event() = default;
Event::Event(Event&&) noexcept = default;
Event& Event::operator=(Event&&) noexcept = default;

void Event::record(Stream& stream) {
  neutral::throw_if_faulted();
  gpu::check_after_wait(hipEventRecord(impl_->handle, stream.impl().handle),
                        "recording an event on stream '" + stream.name() + "'");
}

void Event::synchronize() {
  neutral::throw_if_faulted();
  gpu::check_after_wait(hipEventSynchronize(impl_->handle), "waiting for an event");
}

double Event::elapsed_ms(const Event& start, const Event& end) {
  float ms = 0;
  const hipError_t error = hipEventElapsedTime(&ms, start.impl_->handle, end.impl_->handle);
  if (error == hipErrorNotReady || error == hipErrorInvalidHandle) {
    (void)hipGetLastError();
    throw_invalid("elapsed time: both events must be recorded and reached; " + gpu::error_text(error));
  }
  gpu::check_after_wait(error, "reading the time between two events");
  return static_cast<double>(ms);
}

}  // namespace greta::hip
