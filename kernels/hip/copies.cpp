#include "kernels/hip/checked_copy.hpp"
#include "kernels/hip/platform.hpp"
#include "kernels/hip/registry.hpp"
#include "kernels/hip/text.hpp"

namespace greta::hip {
namespace {

/// The entry of a live allocation; throws when bytes [offset, offset + bytes) are not all inside it.
neutral::Entry checked(AllocationId id, size_t offset, size_t bytes, const char* who) {
  neutral::throw_if_faulted();
  neutral::refuse_while_recording(who);
  neutral::Entry entry = neutral::live_allocation(id, who);
  const Allocation& a = entry.allocation;
  if (offset > a.bytes || bytes > a.bytes - offset)
    throw_invalid(concat(who, ": bytes [", offset, ", +", bytes, ") are not inside buffer ", neutral::describe(a),
                         ", allocated at ", neutral::short_location(a.where)));
  const auto element = static_cast<size_t>(dtype_block_bytes(a.dtype));
  if (offset % element != 0 || bytes % element != 0)
    throw_invalid(concat(who, ": bytes [", offset, ", +", bytes, ") cut an element of buffer ", neutral::describe(a),
                         ": elements have ", element, " bytes"));
  return entry;
}

size_t element_of(const neutral::Entry& e) { return static_cast<size_t>(dtype_block_bytes(e.allocation.dtype)); }
char* at(const neutral::Entry& e, size_t offset) { return static_cast<char*>(e.memory.data) + offset; }

}  // namespace

void copy_to_device(Stream& stream, AllocationId id, size_t byte_offset, const void* from, size_t bytes) {
  const neutral::Entry to = checked(id, byte_offset, bytes, "copy_to_device");
  if (bytes)
    neutral::carry_out(stream, {CopyRecord::Kind::kToDevice, at(to, byte_offset), from, bytes, element_of(to),
                                byte_offset, 0, &to, nullptr});
}

void copy_from_device(Stream& stream, AllocationId id, size_t byte_offset, void* to, size_t bytes) {
  const neutral::Entry from = checked(id, byte_offset, bytes, "copy_from_device");
  if (bytes)
    neutral::carry_out(stream, {CopyRecord::Kind::kFromDevice, to, at(from, byte_offset), bytes, element_of(from), 0,
                                byte_offset, nullptr, &from});
}

void copy_on_device(Stream& stream, AllocationId to, size_t to_offset, AllocationId from, size_t from_offset,
                    size_t bytes) {
  const neutral::Entry destination = checked(to, to_offset, bytes, "copy_on_device (to)");
  const neutral::Entry source = checked(from, from_offset, bytes, "copy_on_device (from)");
  if (destination.allocation.dtype != source.allocation.dtype)
    throw_invalid(concat("copy_on_device: buffer #", to, " holds ", dtype_name(destination.allocation.dtype),
                         ", buffer #", from, " ", dtype_name(source.allocation.dtype)));
  const char *d = at(destination, to_offset), *s = at(source, from_offset);
  if (d < s + bytes && s < d + bytes) throw_invalid(concat("copy_on_device: the ranges overlap in buffer #", to));
  if (bytes)
    neutral::carry_out(stream, {CopyRecord::Kind::kOnDevice, at(destination, to_offset), s, bytes,
                                element_of(destination), to_offset, from_offset, &destination, &source});
}

}  // namespace greta::hip
