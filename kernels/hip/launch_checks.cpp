// Checks before a kernel starts and after it. Everything a launch can get wrong without running is refused here, with
// the argument's name, so that a wrong type or extent never becomes a fault in some later copy.
#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/hip/blame.hpp"
#include "kernels/hip/launch_ring.hpp"
#include "kernels/hip/markers.hpp"
#include "kernels/hip/progress.hpp"
#include "kernels/hip/registry.hpp"
#include "kernels/hip/text.hpp"

namespace greta::hip {
namespace {

constexpr unsigned kMaxThreads = 1024;
constexpr unsigned kMaxGridX = 0x7fffffffu;
constexpr unsigned kMaxGridYZ = 65535;

/// The buffers of this thread's current launch, for end_launch().
struct Touched {
  std::vector<neutral::Entry> entries;
  std::vector<const char*> names;
  std::vector<const char*> directions;
};
thread_local Touched t_touched;

std::string extent_text(const Extent3& e) { return concat("(", e.x, ",", e.y, ",", e.z, ")"); }

class Checker {
 public:
  Checker(const LaunchShape& shape) : shape_(shape) {}

  void shape() const {
    const Extent3 &g = shape_.grid, &b = shape_.block;
    if (b.x == 0 || b.y == 0 || b.z == 0 || b.x > kMaxThreads || b.y > kMaxThreads || b.z > kMaxThreads ||
        b.total() > kMaxThreads)
      refuse(concat("block ", extent_text(b), " has ", b.total(), " threads; 1 to ", kMaxThreads, " are possible"));
    if (g.x == 0 || g.y == 0 || g.z == 0)
      refuse(concat("grid ", extent_text(g), " is empty; launch nothing when there is no work"));
    if (g.x > kMaxGridX || g.y > kMaxGridYZ || g.z > kMaxGridYZ)
      refuse(concat("grid ", extent_text(g), " exceeds (", kMaxGridX, ",", kMaxGridYZ, ",", kMaxGridYZ, ")"));
    if (const size_t most = device_info().lds_bytes_per_block; shape_.dynamic_lds_bytes > most)
      refuse(concat("asks for ", shape_.dynamic_lds_bytes, " bytes of dynamic LDS; a workgroup of this device has ",
                    most));
  }

  /// The registry row of a buffer argument; nothing for scalars and for buffers that are not touched.
  std::optional<neutral::Entry> argument(const ErasedArgument& a) const {
    if (is_scalar(a)) return {};
    const auto fail = [&](const std::string& what) {
      const auto entry = neutral::find_allocation(a.id);
      refuse(concat("argument '", a.name, "' (", a.direction, ") ", what), &a, entry ? &entry->allocation : nullptr);
    };
    if (a.pointer == nullptr) {
      if (a.needed != 0) fail(concat("is null; the problem touches ", a.needed, " elements of it"));
      return {};
    }
    const auto entry = neutral::find_allocation(a.id);
    if (!entry) fail("is no view of a buffer: make it with DeviceBuffer::view()");
    const Allocation& buffer = entry->allocation;
    if (buffer.freed)
      fail(concat("is a view of buffer ", neutral::describe(buffer), ", which was freed; allocated at ",
                  neutral::short_location(buffer.where)));
    if (buffer.dtype != a.dtype)
      fail(concat("must be ", dtype_name(a.dtype), ", but buffer ", neutral::describe(buffer), " holds ",
                  dtype_name(buffer.dtype), "; allocated at ", neutral::short_location(buffer.where)));
    if (a.needed > a.view_count)
      fail(concat("has ", a.view_count, " elements, but the problem touches ", a.needed, "; buffer ",
                  neutral::describe(buffer)));
    const auto address = reinterpret_cast<uintptr_t>(a.pointer);
    const uintptr_t end = buffer.address + buffer.bytes;
    if (address < buffer.address || address > end || a.view_count > (end - address) / a.element_bytes)
      fail(concat("views ", a.view_count, " elements from byte ", static_cast<int64_t>(address - buffer.address),
                  " of buffer ", neutral::describe(buffer), ", which ends before that"));
    if (address % a.element_alignment != 0)
      fail(concat("starts at byte ", address - buffer.address, " of buffer ", neutral::describe(buffer),
                  ", not aligned to its element of ", a.element_alignment, " bytes"));
    return entry;
  }

  /// No output may share bytes with another argument: the kernel's threads would race, or read what they just wrote.
  void overlaps(std::span<const ErasedArgument> arguments) const {
    for (size_t i = 0; i < arguments.size(); ++i) {
      const ErasedArgument& a = arguments[i];
      if (!writes(a) || a.needed == 0) continue;
      for (size_t j = 0; j < arguments.size(); ++j) {
        const ErasedArgument& b = arguments[j];
        if (j == i || is_scalar(b) || b.needed == 0 || (writes(b) && j < i)) continue;
        const auto a0 = reinterpret_cast<uintptr_t>(a.pointer), b0 = reinterpret_cast<uintptr_t>(b.pointer);
        if (a0 < b0 + b.needed * b.element_bytes && b0 < a0 + a.needed * a.element_bytes)
          refuse(concat("argument '", a.name, "' (", a.direction, ") overlaps argument '", b.name, "' (", b.direction,
                        ") in buffer ", neutral::describe(neutral::live_allocation(a.id, "launch").allocation),
                        "; use one inout argument, or separate ranges"));
      }
    }
  }

 private:
  static bool is_scalar(const ErasedArgument& a) { return std::strcmp(a.direction, "scalar") == 0; }
  static bool writes(const ErasedArgument& a) { return !is_scalar(a) && std::strcmp(a.direction, "in") != 0; }
  [[noreturn]] void refuse(const std::string& what, const ErasedArgument* argument = nullptr,
                           const Allocation* buffer = nullptr) const {
    FaultReport report;
    report.text = concat(shape_.kernel, ": ", what, " (launched at ", neutral::short_location(shape_.where), ")");
    report.refused = true;
    report.kernel = shape_.kernel;
    if (argument) report.argument = argument->name, report.direction = argument->direction;
    if (buffer) {
      report.buffer = buffer->name, report.buffer_bytes = buffer->bytes, report.buffer_freed = buffer->freed;
      report.offset = static_cast<int64_t>(reinterpret_cast<uintptr_t>(argument->pointer) - buffer->address);
    }
    neutral::note_refused(report);
    throw_invalid(report.text);
  }
  const LaunchShape& shape_;
};

}  // namespace

void begin_launch(Stream& stream, const LaunchShape& shape, std::span<const ErasedArgument> arguments) {
  neutral::throw_if_faulted();
  const Checker check(shape);
  check.shape();
  t_touched.entries.clear();
  t_touched.names.clear();
  t_touched.directions.clear();
  for (const ErasedArgument& a : arguments)
    if (auto entry = check.argument(a)) {
      t_touched.entries.push_back(*std::move(entry));
      t_touched.names.push_back(a.name);
      t_touched.directions.push_back(a.direction);
    }
  check.overlaps(arguments);
  if (neutral::note_recorded(shape)) return;
  platform::before_launch(stream);
  neutral::note_launch(stream, shape, arguments);
  neutral::note_begun(neutral::current_sequence());
  platform::mark_begun(stream, neutral::current_sequence());
}

namespace {
LaunchObserver* g_observer = nullptr;
}

LaunchObserver* set_launch_observer(LaunchObserver* observer) { return std::exchange(g_observer, observer); }

void observed_dispatch(Stream& stream, const LaunchShape& shape, std::span<const ErasedArgument> arguments,
                       const KernelCall& call) {
  if (g_observer) g_observer->before(shape, arguments, call);
  dispatch(stream, shape, call);
  if (g_observer) g_observer->after(shape, arguments, call);
}

namespace {

/// In checked mode. On GPUs it waits for the launch.
void check_guards_of_launch(Stream& stream, const LaunchShape& shape) {
  thread_local std::vector<platform::Memory> memories;
  memories.clear();
  for (const neutral::Entry& e : t_touched.entries) memories.push_back(e.memory);
  const auto damage = platform::find_guard_damage(stream, memories);
  if (!damage) return;
  const Allocation& buffer = t_touched.entries[damage->index].allocation;
  const std::string place = neutral::describe(*damage, buffer);
  neutral::blame_launch(neutral::current_sequence());
  neutral::blame_place(
      {place, t_touched.names[damage->index], t_touched.directions[damage->index], buffer, damage->offset, 0, {}});
  neutral::raise_fault(concat("kernel ", shape.kernel, ": argument '", t_touched.names[damage->index], "': ", place,
                              "; launched at ", neutral::short_location(shape.where)));
}

}  // namespace

void end_launch(Stream& stream, const LaunchShape& shape) {
  if (neutral::recording()) return;
  const uint64_t launch = neutral::current_sequence();
  platform::mark_finished(stream, launch);
  const bool checked = exec_config().checked, wait = wait_planned_after(launch);
  if (checked) check_guards_of_launch(stream, shape);
  if (wait) stream.synchronize();
  if (checked || wait || platform_name() == "host") neutral::note_finished(launch);
}

}  // namespace greta::hip
