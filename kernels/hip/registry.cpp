#include "kernels/hip/registry.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <unordered_map>

#include "kernels/hip/blame.hpp"
#include "kernels/hip/memory_phase.hpp"
#include "kernels/hip/poison.hpp"
#include "kernels/hip/text.hpp"

namespace greta::hip {
namespace {

constexpr size_t kFreedKept = 4096;  ///< rows of freed allocations that are remembered

struct Registry {
  std::mutex mutex;
  std::unordered_map<AllocationId, neutral::Entry> rows;
  std::map<uintptr_t, AllocationId> live;  ///< by address
  std::deque<AllocationId> freed;          ///< oldest first
  /// Freed rows whose addresses no later allocation has been given: those that an address may still speak of.
  std::map<uintptr_t, AllocationId> vacant;
  AllocationId next = 1;
  size_t bytes = 0;
  size_t high_water = 0;
  size_t phase_high_water = 0;  ///< since begin_memory_phase()
};
Registry& registry() {
  static auto* r = new Registry;  // never destroyed: static buffers may be released after it would be
  return *r;
}

std::string where_in(const Allocation& a, int64_t offset) {
  const auto bytes = static_cast<int64_t>(a.bytes);
  std::string text = concat("offset ", offset, " of '", a.name, "' (", a.bytes, " bytes ", dtype_name(a.dtype),
                            a.freed ? ", freed)" : ")");
  if (offset >= 0 && offset < bytes) {
    const int64_t block = dtype_block_bytes(a.dtype);
    text += concat(": element ", offset / block);
  } else if (offset == bytes) {
    text += ": first byte past its end";
  } else if (offset > bytes) {
    text += concat(": ", offset - bytes, " bytes past its end");
  } else {
    text += concat(": ", -offset, " bytes before its start");
  }
  return text;
}

int64_t distance(const Allocation& a, uintptr_t address) {
  if (address < a.address) return static_cast<int64_t>(a.address - address);
  const uintptr_t end = a.address + a.bytes;
  return address < end ? 0 : static_cast<int64_t>(address - end) + 1;
}

/// A platform hands out the addresses of freed memory again: what was there before says nothing any more.
void occupy(Registry& r, const platform::Memory& memory) {
  const auto begin = reinterpret_cast<uintptr_t>(memory.base);
  auto row = r.vacant.lower_bound(begin);
  if (row != r.vacant.begin()) {
    const Allocation& before = r.rows.at(std::prev(row)->second).allocation;
    if (before.address + before.bytes > begin) --row;
  }
  while (row != r.vacant.end() && row->first < begin + memory.mapped) row = r.vacant.erase(row);
}

}  // namespace

AllocationId allocate(std::string name, DType dtype, size_t count, std::source_location where) {
  neutral::throw_if_faulted();
  neutral::refuse_while_recording("an allocation");
  const auto element = static_cast<size_t>(dtype_block_bytes(dtype));
  if (count > (size_t{1} << 60) / element)
    throw Error(ErrorKind::kOutOfMemory,
                concat("buffer '", name, "': ", count, " elements of ", element, " bytes do not fit any memory"));
  const size_t bytes = count * element;
  const platform::Memory memory = platform::acquire(name, bytes, std::min<size_t>(element & -element, 16));
  Registry& r = registry();
  AllocationId id;
  {
    std::lock_guard lock(r.mutex);
    id = r.next++;
    const auto address = reinterpret_cast<uintptr_t>(memory.data);
    r.rows[id] = {{id, std::move(name), dtype, count, bytes, address, false, where}, memory};
    r.live[address] = id;
    occupy(r, memory);
    r.bytes += bytes;
    r.high_water = std::max(r.high_water, r.bytes);
    r.phase_high_water = std::max(r.phase_high_water, r.bytes);
  }
  poison(id, neutral::internal_stream());
  neutral::internal_stream().synchronize();
  return id;
}

void release(AllocationId id) noexcept {
  Registry& r = registry();
  neutral::Entry entry;
  {
    std::lock_guard lock(r.mutex);
    const auto row = r.rows.find(id);
    if (row == r.rows.end() || row->second.allocation.freed) return;
    entry = row->second;
  }
  try {
    if (!neutral::faulted()) {
      platform::synchronize_device();
      if (const auto damage = platform::find_guard_damage(neutral::internal_stream(), {&entry.memory, 1})) {
        const std::string place = neutral::describe(*damage, entry.allocation);
        neutral::blame_place({place, "", "", entry.allocation, damage->offset, 0, {}});
        neutral::set_fault(place + ", found when the buffer was released");
      }
    }
  } catch (const Error& error) {
    neutral::set_fault(error.what());
  } catch (...) {
    neutral::set_fault("release of '" + entry.allocation.name + "' failed");
  }
  platform::discard(entry.memory);
  std::lock_guard lock(r.mutex);
  r.rows[id].allocation.freed = true;
  r.live.erase(entry.allocation.address);
  r.bytes -= entry.allocation.bytes;
  r.freed.push_back(id);
  r.vacant[entry.allocation.address] = id;
  if (r.freed.size() > kFreedKept) {
    const auto row = r.vacant.find(r.rows.at(r.freed.front()).allocation.address);
    if (row != r.vacant.end() && row->second == r.freed.front()) r.vacant.erase(row);
    r.rows.erase(r.freed.front());
    r.freed.pop_front();
  }
}

void* address_of(AllocationId id) { return neutral::live_allocation(id, "address_of").memory.data; }

void poison(AllocationId id, Stream& stream) {
  const neutral::Entry entry = neutral::live_allocation(id, "poison");
  platform::fill(stream, entry.memory, poison_pattern(entry.allocation.dtype, id, exec_config().poison));
}

AddressReport describe_address(uintptr_t address) {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  const Allocation* best = nullptr;
  // Live first: only an address inside a freed range, or one nearer to it by far, speaks of a freed buffer.
  const auto consider = [&](AllocationId id) {
    const Allocation& a = r.rows.at(id).allocation;
    if (!best || distance(a, address) < distance(*best, address)) best = &a;
  };
  auto after = r.live.upper_bound(address);
  if (after != r.live.begin()) consider(std::prev(after)->second);
  if (after != r.live.end()) consider(after->second);
  if (!best || distance(*best, address) != 0)
    for (auto row = r.vacant.rbegin(); row != r.vacant.rend(); ++row) consider(row->second);
  if (!best) return {.allocation = {}, .text = "no buffer was ever allocated"};
  AddressReport report;
  report.allocation = *best;
  report.offset = static_cast<int64_t>(address - best->address);
  report.inside = distance(*best, address) == 0;
  report.text = where_in(*best, report.offset);
  return report;
}

std::vector<Allocation> live_allocations() {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  std::vector<Allocation> all;
  for (const auto& [address, id] : r.live) all.push_back(r.rows.at(id).allocation);
  std::sort(all.begin(), all.end(), [](const Allocation& a, const Allocation& b) { return a.id < b.id; });
  return all;
}

size_t allocated_bytes() {
  std::lock_guard lock(registry().mutex);
  return registry().bytes;
}
size_t allocated_bytes_high_water() {
  std::lock_guard lock(registry().mutex);
  return registry().high_water;
}

void begin_memory_phase() {
  std::lock_guard lock(registry().mutex);
  registry().phase_high_water = registry().bytes;
}
size_t phase_high_water() {
  std::lock_guard lock(registry().mutex);
  return registry().phase_high_water;
}

void check_guards(Stream& stream) {
  neutral::throw_if_faulted();
  std::vector<Allocation> live = live_allocations();
  std::vector<platform::Memory> memories;
  for (const Allocation& a : live) memories.push_back(neutral::live_allocation(a.id, "check_guards").memory);
  const auto damage = platform::find_guard_damage(stream, memories);
  if (!damage) return;
  std::string text = neutral::describe(*damage, live[damage->index]) + "; recent launches:";
  const auto recent = recent_launches();
  for (size_t i = recent.size() > 4 ? recent.size() - 4 : 0; i < recent.size(); ++i)
    text += "\n  " + describe(recent[i]);
  neutral::raise_fault(text);
}

namespace neutral {

std::optional<Entry> find_allocation(AllocationId id) {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  const auto row = r.rows.find(id);
  if (row == r.rows.end()) return {};
  return row->second;
}

Entry live_allocation(AllocationId id, std::string_view who) {
  const auto entry = find_allocation(id);
  if (!entry) throw_invalid(concat(who, ": there is no allocation #", id));
  if (entry->allocation.freed)
    throw_invalid(concat(who, ": buffer ", describe(entry->allocation), " was freed; it was allocated at ",
                         short_location(entry->allocation.where)));
  return *entry;
}

std::string describe(const Allocation& a) {
  return concat("'", a.name, "' (", a.count, " ", dtype_name(a.dtype), ", ", a.bytes, " bytes)");
}

std::string describe(const platform::GuardDamage& damage, const Allocation& a) {
  const auto hex = [](uint8_t byte) {
    constexpr char kDigits[] = "0123456789abcdef";
    return std::string("0x") + kDigits[byte >> 4] + kDigits[byte & 15];
  };
  return concat("guard zone of a buffer was written: ", where_in(a, damage.offset), "; found ", hex(damage.found),
                ", wanted ", hex(damage.wanted), "; buffer allocated at ", short_location(a.where));
}

Stream& internal_stream() {
  static auto* stream = new Stream("runtime");
  return *stream;
}

}  // namespace neutral
}  // namespace greta::hip
