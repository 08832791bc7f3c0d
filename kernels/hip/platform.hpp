// The seam inside kernels/hip, for its own .cpp files only.
//
//   neutral   kernels/hip/*.cpp        registry, argument checks, launch ring, sticky fault, copies with bounds
//   platform  kernels/hip/host/*.cpp   the CPU                     -- one of the two is linked
//             kernels/hip/gpu/*.cpp    HIP devices (rocm, cuda)
//
// The platform implements namespace platform below and, from runtime.hpp and launch.hpp, the members of Stream and
// Event and dispatch(). The neutral part implements everything else, and namespace neutral below for the platform's
// use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "kernels/hip/launch_shape.hpp"
#include "kernels/hip/runtime.hpp"

namespace greta::hip {

// ------------------------------------------------------------------------------------------ what a platform implements
namespace platform {

/// Facts of the device in use; throws kNoDevice saying what was looked for. The neutral part caches it (and refreshes
/// wave_size from ExecConfig on host).
DeviceInfo query_device();

/// Device memory of one allocation: `bytes` usable bytes at `data`, between two guard zones inside [base, base +
/// mapped).
struct Memory {
  void* data = nullptr;
  size_t bytes = 0;
  void* base = nullptr;
  size_t mapped = 0;
};

/// Maps memory and sets its guard zones; the content is not set. `alignment` is what the element type needs (a platform
/// may give more). Throws kOutOfMemory naming the buffer, the bytes wanted and the bytes there are.
Memory acquire(const std::string& name, size_t bytes, size_t alignment);
/// Gives it back after the work in flight is done; host keeps the addresses unmapped, so that a late use faults.
void discard(const Memory& memory) noexcept;

/// Repeats the four bytes of `pattern` (little-endian, from data[0]) over the usable bytes, in stream order.
void fill(Stream& stream, const Memory& memory, uint32_t pattern);

/// Copies that are known to be in bounds. They wait for the stream; an error found while waiting is asynchronous.
void copy_in(Stream& stream, void* device, const void* host, size_t bytes);
void copy_out(Stream& stream, void* host, const void* device, size_t bytes);
void copy_within(Stream& stream, void* to, const void* from, size_t bytes);

/// The first damaged guard byte of any of the allocations. Waits for the stream. On host, where guards are unmapped
/// pages, it looks at the slack between a buffer's end and its page.
struct GuardDamage {
  size_t index = 0;    ///< into the span
  int64_t offset = 0;  ///< from data: negative before the buffer, >= bytes after it
  uint8_t found = 0;
  uint8_t wanted = 0;
};
std::optional<GuardDamage> find_guard_damage(Stream& stream, std::span<const Memory> memories);

/// Called by begin_launch() after the argument checks: an error that is already pending belongs to earlier work and is
/// raised as such.
void before_launch(Stream& stream);

/// Graphs: capture of what a stream is given, and its replay. end_capture() hands over the executable graph, or null
/// and throws nothing when `keep` is false: the recording failed.
bool graphs_supported();
void begin_capture(Stream& stream);
void* end_capture(Stream& stream, bool keep);
void launch_graph(Stream& stream, void* graph);
void free_graph(void* graph) noexcept;
void start_after(Stream& later, Stream& earlier);

/// Waits for all streams; errors are asynchronous ones. For release of memory and for tests.
void synchronize_device();

}  // namespace platform

// --------------------------------------------------------------------------------------- what the neutral part offers
namespace neutral {

/// Makes `text` the sticky fault and throws it as kDeviceFault. Every later launch, copy and wait throws it again.
[[noreturn]] void raise_fault(const std::string& text);
/// Throws the sticky fault if there is one.
void throw_if_faulted();

/// The launch that begin_launch() noted last (sequence 0 when there was none).
LaunchRecord current_launch();
/// Whether the calling thread records a graph: launches are not run, copies and allocations are refused.
bool recording();
/// Throws kInvalidArgument when it does.
void refuse_while_recording(const char* what);

/// Its sequence number, for the calling thread's last launch; cheap.
uint64_t current_sequence();

}  // namespace neutral

}  // namespace greta::hip
