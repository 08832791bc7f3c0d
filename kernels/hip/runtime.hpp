// The runtime the tree sees: devices, streams, events, named buffers, checked copies, the allocation registry and the
// launch ring. No HIP header is needed to include this; kernels/hip/{host,gpu}/ implement it for the CPU and for HIP
// devices.
//
// Faults have an address: every allocation has a name, a type and an extent and stays in the registry (as freed) after
// its end; every launch is checked against the registry before it starts (kernels/hip/launch.hpp) and kept in a ring,
// so that an error that surfaces later is labelled with the launches it can come from. Errors are sticky and never
// retried.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/hip/dtype.hpp"
#include "kernels/hip/error.hpp"
#include "kernels/hip/matrix_model.hpp"

namespace greta::hip {

// ---------------------------------------------------------------------------------------------------- platform and
// device

struct DeviceInfo {
  std::string platform;      ///< "host", "rocm" or "cuda"
  std::string name;          ///< device name as the driver gives it; for host the CPU's
  std::string architecture;  ///< "gfx942:...", "sm_90", "x86-64-v3"
  int wave_size = 0;         ///< lanes of a wave as kernels see it now (host: ExecConfig::wave)
  int compute_units = 0;
  size_t lds_bytes_per_block = 0;  ///< largest static + dynamic LDS a workgroup may ask for
  size_t memory_bytes = 0;
  size_t last_level_cache_bytes = 0;  ///< what a benchmark's inputs must exceed to be cold
  std::string driver;                 ///< driver and runtime versions
};

/// The device in use; throws kNoDevice with what was looked for when there is none.
const DeviceInfo& device_info();
/// The platform this program was built for: "host", "rocm" or "cuda".
std::string_view platform_name();

/// How the host platform runs kernels. On GPUs only `checked` and `poison` have an effect.
struct ExecConfig {
  enum class Order { kForward, kReverse, kRandom };
  using MatrixModel = greta::MatrixModel;
  enum class Poison { kNan, kLargeFinite };
  int wave = 64;                                   ///< 64 (as MI300X) or 32 (as H200)
  int workers = 0;                                 ///< threads that run workgroups; 0: one per core
  Order order = Order::kForward;                   ///< order of workgroups, and of threads between barriers
  uint64_t order_seed = 0;                         ///< for kRandom
  MatrixModel matrix_model = MatrixModel::kCdna3;  ///< the machine whose bits matrix tiles have
  Poison poison =
      Poison::kNan;     ///< what fresh buffers and LDS hold: NaN with a payload per buffer, or large finite values
  bool checked = true;  ///< verify the guard zones of a launch's buffers (and LDS arrays) after it
  /// Host: which side of a new buffer lies flush against an unmapped page, so that the first byte beyond it faults.
  enum class GuardSide { kEnd, kStart };
  GuardSide guard_side = GuardSide::kEnd;
};
const ExecConfig& exec_config();
/// Replaces the configuration for launches from now on. Throws kInvalidArgument for values out of range.
void set_exec_config(const ExecConfig& config);

// ------------------------------------------------------------------------------------------------------ streams and
// events

/// A queue of launches and copies, in order. On host, work is done before the call returns.
class Stream {
 public:
  explicit Stream(std::string name = "stream");
  ~Stream();
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;

  /// Waits for all work; throws kDeviceFault naming the launches the error can come from.
  void synchronize();
  const std::string& name() const;

  struct Impl;
  Impl& impl() const { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

/// A point in a stream, for device-side timing.
class Event {
 public:
  Event();
  ~Event();
  Event(Event&&) noexcept;
  Event& operator=(Event&&) noexcept;
  void record(Stream& stream);
  void synchronize();
  /// Milliseconds of device time (host: wall time) from `start` to `end`, both recorded and reached.
  static double elapsed_ms(const Event& start, const Event& end);

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

// ------------------------------------------------------------------------------------------------- allocations and
// registry

using AllocationId = uint64_t;  ///< 1, 2, 3, ... in order of allocation; 0 is none

/// One row of the registry. Freed allocations stay, so that a use after free is named.
struct Allocation {
  AllocationId id = 0;
  std::string name;  ///< for people: "kv_cache.k", "blk.3.attn_q.weight"
  DType dtype = DType::kU8;
  size_t count = 0;  ///< elements (blocks for quantised types)
  size_t bytes = 0;  ///< count * dtype_block_bytes(dtype)
  uintptr_t address = 0;
  bool freed = false;
  std::source_location where;
};

/// Where an address lies: the allocation that holds it, or the nearest one (live first), and the signed offset from its
/// start.
struct AddressReport {
  Allocation allocation;  ///< id 0 when the registry is empty
  int64_t offset = 0;
  bool inside = false;
  std::string text;  ///< e.g. "offset 4096 of 'kv_cache.k' (4096 bytes f16): first byte past its end"
};
AddressReport describe_address(uintptr_t address);

/// Every live allocation, oldest first.
std::vector<Allocation> live_allocations();
/// Bytes held by live allocations now, and the most there ever were.
size_t allocated_bytes();
size_t allocated_bytes_high_water();

/// Untyped layer under DeviceBuffer; returns the id. Fills with poison and sets guard zones. Throws kOutOfMemory.
AllocationId allocate(std::string name, DType dtype, size_t count, std::source_location where);
void release(AllocationId id) noexcept;
void* address_of(AllocationId id);
/// Fills the allocation with its poison again (outputs before a launch).
void poison(AllocationId id, Stream& stream);
/// Verifies the guard zones of every live allocation; throws kDeviceFault naming buffer, side, offset and recent
/// launches.
void check_guards(Stream& stream);

template <class T>
class DeviceBuffer;

/// A typed range of a live allocation; what launches take. Copy freely; it does not own.
template <class T>
class DeviceView {
 public:
  using Element = std::remove_const_t<T>;
  DeviceView() = default;
  /// For DeviceBuffer and slice(); `data` must lie in allocation `id`.
  DeviceView(T* data, size_t count, AllocationId id) : data_(data), count_(count), id_(id) {}
  /// A view of elements to change is also one of elements to read.
  template <class U>
  requires(std::is_same_v<T, const U> && !std::is_const_v<U>) DeviceView(DeviceView<U> other)
      : DeviceView(other.data(), other.count(), other.id()) {}

  T* data() const { return data_; }
  size_t count() const { return count_; }
  AllocationId id() const { return id_; }
  explicit operator bool() const { return data_ != nullptr; }

  /// Elements [offset, offset + count); throws kInvalidArgument when that is out of range.
  DeviceView slice(size_t offset, size_t count) const {
    if (offset > count_ || count > count_ - offset)
      throw_invalid("slice [" + std::to_string(offset) + ", +" + std::to_string(count) + ") of a view of " +
                    std::to_string(count_) + " elements");
    return {data_ + offset, count, id_};
  }

 private:
  T* data_ = nullptr;
  size_t count_ = 0;
  AllocationId id_ = 0;
};

/// Copies; typed and bounds-checked. `what` names the transfer in the log. They wait for the stream.
void copy_to_device(Stream& stream, AllocationId id, size_t byte_offset, const void* from, size_t bytes);
void copy_from_device(Stream& stream, AllocationId id, size_t byte_offset, void* to, size_t bytes);
void copy_on_device(Stream& stream, AllocationId to, size_t to_offset, AllocationId from, size_t from_offset,
                    size_t bytes);

/// Device memory with a name, an element type and an extent. Poisoned when made; guarded on both sides.
template <class T>
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  /// count 0 is allowed and owns nothing.
  DeviceBuffer(std::string name, size_t count, std::source_location where = std::source_location::current())
      : count_(count), id_(count ? allocate(std::move(name), dtype_of<T>::value, count, where) : 0) {}
  ~DeviceBuffer() { reset(); }
  DeviceBuffer(DeviceBuffer&& other) noexcept : count_(other.count_), id_(other.id_) {
    other.id_ = 0, other.count_ = 0;
  }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    if (this != &other) {
      reset();
      count_ = other.count_, id_ = other.id_;
      other.id_ = 0, other.count_ = 0;
    }
    return *this;
  }

  size_t count() const { return count_; }
  AllocationId id() const { return id_; }
  DeviceView<T> view() { return {id_ ? static_cast<T*>(address_of(id_)) : nullptr, count_, id_}; }
  DeviceView<const T> view() const { return {id_ ? static_cast<const T*>(address_of(id_)) : nullptr, count_, id_}; }
  DeviceView<const T> cview() const { return view(); }

  /// from.size() elements to [offset, ...). Throws kInvalidArgument when they do not fit.
  void upload(Stream& stream, std::span<const T> from, size_t offset = 0) {
    if (!from.empty()) copy_to_device(stream, id_, offset * sizeof(T), from.data(), from.size_bytes());
  }
  void download(Stream& stream, std::span<T> to, size_t offset = 0) const {
    if (!to.empty()) copy_from_device(stream, id_, offset * sizeof(T), to.data(), to.size_bytes());
  }
  std::vector<T> to_host(Stream& stream) const {
    std::vector<T> out(count_);
    download(stream, out);
    return out;
  }
  void poison(Stream& stream) {
    if (id_) hip::poison(id_, stream);
  }

 private:
  void reset() {
    if (id_) release(id_);
    id_ = 0, count_ = 0;
  }
  size_t count_ = 0;
  AllocationId id_ = 0;
};

// -------------------------------------------------------------------------------------------------------------- launch
// ring

struct LaunchArgument {
  std::string name;
  std::string direction;  ///< "in", "out", "inout", "scalar"
  AllocationId id = 0;
  std::string text;  ///< "'kv_cache.k' [+0, 4096 of 8192 f16]" or the scalar's value
};

/// One launch as it was handed to the device.
struct LaunchRecord {
  uint64_t sequence = 0;  ///< 1, 2, 3, ... in this process
  std::string kernel;     ///< symbol with its template arguments: "prefill_attention_v2<f16,128>"
  unsigned grid[3] = {1, 1, 1};
  unsigned block[3] = {1, 1, 1};
  size_t lds_bytes = 0;  ///< dynamic LDS
  int64_t rows = 0;      ///< M: rows of the problem this launch covers (tokens), as the operator stated it
  std::string stream;
  std::vector<LaunchArgument> arguments;
  std::source_location where;
};

/// The most recent launches, oldest first (the ring keeps 256).
std::vector<LaunchRecord> recent_launches();
/// "#17 rms_norm<f16> grid (4,1,1) block (256,1,1) M=4 on 'stream'" for messages.
std::string describe(const LaunchRecord& launch);

/// While one lives, distinct launches (kernel, grid, block, M) are counted: the effective configuration of a run, as
/// launched.
class LaunchLog {
 public:
  LaunchLog();
  ~LaunchLog();
  LaunchLog(const LaunchLog&) = delete;
  LaunchLog& operator=(const LaunchLog&) = delete;
  struct Row {
    std::string kernel;
    unsigned grid[3];
    unsigned block[3];
    int64_t rows;
    uint64_t count;
  };
  /// In order of first launch.
  std::vector<Row> rows() const;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace greta::hip
