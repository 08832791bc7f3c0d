// The allocation registry, for the .cpp files of kernels/hip. What people see of it is in runtime.hpp.
#pragma once

#include <mutex>
#include <optional>
#include <span>

#include "kernels/hip/platform.hpp"

namespace greta::hip::neutral {

/// A row of the registry and the memory behind it.
struct Entry {
  Allocation allocation;
  platform::Memory memory;
};

/// The row of that id, live or recently freed; nothing when there never was one, or it was freed long ago.
std::optional<Entry> find_allocation(AllocationId id);
/// The live row of that id; throws kInvalidArgument saying what `who` wanted with it.
Entry live_allocation(AllocationId id, std::string_view who);

/// "'kv_cache.k' (8192 f16, 16384 bytes)".
std::string describe(const Allocation& allocation);
/// One sentence naming buffer, side, offset and bytes of a damaged guard zone.
std::string describe(const platform::GuardDamage& damage, const Allocation& allocation);

/// Makes `text` the sticky fault, if there is none yet, without throwing (destructors).
void set_fault(const std::string& text) noexcept;
bool faulted();

/// "file.hip:42", without the folders above the repository.
std::string short_location(const std::source_location& where);
std::string short_location(std::string file, unsigned line);

/// A stream of the runtime's own, for work that has no caller's stream.
Stream& internal_stream();

}  // namespace greta::hip::neutral
