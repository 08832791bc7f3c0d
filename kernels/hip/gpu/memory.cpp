// Allocations between guard zones, poison and copies on a GPU.
//
//   base                data                       data + bytes            base + mapped
//   | guard, 64 KiB     | usable bytes             | guard, >= 64 KiB      |
#include "kernels/hip/gpu/memory.hpp"

#include <fmt/format.h>

#include <mutex>

#include "kernels/hip/platform.hpp"
#include "kernels/hip/registry.hpp"

namespace greta::hip {
namespace {

constexpr size_t kGranule = 256;  ///< hipMalloc aligns to this at least; mapped sizes are multiples of it

gpu::GuardZone zone_before(const platform::Memory& m) {
  return {static_cast<uint8_t*>(m.base), static_cast<uint32_t>(gpu::kGuardBytes)};
}
gpu::GuardZone zone_after(const platform::Memory& m) {
  auto* begin = static_cast<uint8_t*>(m.data) + m.bytes;
  return {begin, static_cast<uint32_t>(static_cast<uint8_t*>(m.base) + m.mapped - begin)};
}

std::string on(const Stream& stream) { return " on stream '" + stream.name() + "'"; }

/// Waits; an error is asynchronous.
void wait(Stream& stream, const std::string& found_by) {
  gpu::check_after_wait(hipStreamSynchronize(stream.impl().handle), found_by);
  gpu::note_waited(stream);
}

void copy(Stream& stream, void* to, const void* from, size_t bytes, hipMemcpyKind kind, const char* what) {
  const std::string found_by = what + on(stream);
  gpu::check_after_wait(hipMemcpyAsync(to, from, bytes, kind, stream.impl().handle), found_by);
  wait(stream, found_by);
}

}  // namespace

platform::Memory platform::acquire(const std::string& name, size_t bytes, size_t) {
  gpu::require_device();
  const size_t usable = (bytes + kGranule - 1) / kGranule * kGranule;
  Memory m{.data = nullptr, .bytes = bytes, .base = nullptr, .mapped = usable + 2 * gpu::kGuardBytes};
  if (const hipError_t error = hipMalloc(&m.base, m.mapped); error != hipSuccess) {
    (void)hipGetLastError();
    if (error != hipErrorOutOfMemory) gpu::check_after_wait(error, "allocating '" + name + "'");
    size_t free = 0, total = 0;
    (void)hipMemGetInfo(&free, &total);
    throw Error(ErrorKind::kOutOfMemory,
                fmt::format("buffer '{}': {} bytes ({} with guard zones) do not fit the device: {} free of {}; "
                            "{} bytes are held by this process' buffers",
                            name, bytes, m.mapped, free, total, allocated_bytes()));
  }
  m.data = static_cast<uint8_t*>(m.base) + gpu::kGuardBytes;
  Stream& stream = neutral::internal_stream();
  gpu::enqueue_guard_set(stream.impl().handle, {.zone = {zone_before(m), zone_after(m)}, .count = 2, .first_index = 0});
  gpu::check_after_wait(hipGetLastError(), "setting the guard zones of '" + name + "'");
  return m;
}

void platform::discard(const Memory& memory) noexcept { (void)hipFree(memory.base); }

void platform::fill(Stream& stream, const Memory& memory, uint32_t pattern) {
  if (memory.bytes == 0) return;
  gpu::enqueue_fill(stream.impl().handle, memory.data, memory.bytes, pattern);
  gpu::check_after_wait(hipGetLastError(), "poisoning a buffer" + on(stream));
}

void platform::copy_in(Stream& stream, void* device, const void* host, size_t bytes) {
  copy(stream, device, host, bytes, hipMemcpyHostToDevice, "a copy to the device");
}
void platform::copy_out(Stream& stream, void* host, const void* device, size_t bytes) {
  copy(stream, host, device, bytes, hipMemcpyDeviceToHost, "a copy from the device");
}
void platform::copy_within(Stream& stream, void* to, const void* from, size_t bytes) {
  copy(stream, to, from, bytes, hipMemcpyDeviceToDevice, "a copy on the device");
}

std::optional<platform::GuardDamage> platform::find_guard_damage(Stream& stream, std::span<const Memory> memories) {
  const std::string found_by = "the check of guard zones" + on(stream);
  if (memories.empty()) {
    wait(stream, found_by);
    return {};
  }
  // One cell for all checks: it keeps kNoDamage until there is some.
  static std::mutex mutex;
  static unsigned long long* cell = nullptr;
  std::lock_guard lock(mutex);
  unsigned long long first = gpu::kNoDamage;
  const auto set_cell = [&] { copy(stream, cell, &gpu::kNoDamage, sizeof first, hipMemcpyHostToDevice, "guard cell"); };
  if (!cell) {
    void* memory = nullptr;
    gpu::check(hipMalloc(&memory, sizeof first), "allocating the result of the guard check");
    cell = static_cast<unsigned long long*>(memory);
    set_cell();
  }
  gpu::GuardZones zones{};
  for (size_t i = 0; i < memories.size(); ++i) {
    zones.zone[zones.count++] = zone_before(memories[i]);
    zones.zone[zones.count++] = zone_after(memories[i]);
    if (zones.count < gpu::kZonesPerLaunch && i + 1 < memories.size()) continue;
    gpu::enqueue_guard_check(stream.impl().handle, zones, cell);
    gpu::check_after_wait(hipGetLastError(), found_by);
    zones.first_index += zones.count;
    zones.count = 0;
  }
  copy(stream, &first, cell, sizeof first, hipMemcpyDeviceToHost, "the check of guard zones");
  if (first == gpu::kNoDamage) return {};
  set_cell();

  const size_t index = static_cast<size_t>(first >> gpu::kOffsetBits);
  const Memory& m = memories[index / 2];
  const gpu::GuardZone zone = index % 2 == 0 ? zone_before(m) : zone_after(m);
  const uint8_t* at = zone.begin + (first & 0xffffffffu);
  GuardDamage damage{.index = index / 2, .offset = at - static_cast<uint8_t*>(m.data)};
  damage.wanted = gpu::guard_byte(reinterpret_cast<uintptr_t>(at));
  copy(stream, &damage.found, at, 1, hipMemcpyDeviceToHost, "reading a damaged guard byte");
  return damage;
}

}  // namespace greta::hip
