#include "kernels/hip/platform.hpp"
#include "kernels/hip/registry.hpp"
#include "kernels/hip/text.hpp"

namespace greta::hip {
namespace {

/// The address of bytes [offset, offset + bytes) of a live allocation; throws when they are not all inside it.
char* range(AllocationId id, size_t offset, size_t bytes, const char* who) {
  neutral::throw_if_faulted();
  neutral::refuse_while_recording(who);
  const neutral::Entry entry = neutral::live_allocation(id, who);
  const Allocation& a = entry.allocation;
  if (offset > a.bytes || bytes > a.bytes - offset)
    throw_invalid(concat(who, ": bytes [", offset, ", +", bytes, ") are not inside buffer ", neutral::describe(a),
                         ", allocated at ", neutral::short_location(a.where)));
  const auto element = static_cast<size_t>(dtype_block_bytes(a.dtype));
  if (offset % element != 0 || bytes % element != 0)
    throw_invalid(concat(who, ": bytes [", offset, ", +", bytes, ") cut an element of buffer ", neutral::describe(a),
                         ": elements have ", element, " bytes"));
  return static_cast<char*>(entry.memory.data) + offset;
}

}  // namespace

void copy_to_device(Stream& stream, AllocationId id, size_t byte_offset, const void* from, size_t bytes) {
  char* to = range(id, byte_offset, bytes, "copy_to_device");
  if (bytes) platform::copy_in(stream, to, from, bytes);
}

void copy_from_device(Stream& stream, AllocationId id, size_t byte_offset, void* to, size_t bytes) {
  const char* from = range(id, byte_offset, bytes, "copy_from_device");
  if (bytes) platform::copy_out(stream, to, from, bytes);
}

void copy_on_device(Stream& stream, AllocationId to, size_t to_offset, AllocationId from, size_t from_offset,
                    size_t bytes) {
  char* destination = range(to, to_offset, bytes, "copy_on_device (to)");
  const char* source = range(from, from_offset, bytes, "copy_on_device (from)");
  const DType to_dtype = neutral::live_allocation(to, "copy_on_device").allocation.dtype;
  const DType from_dtype = neutral::live_allocation(from, "copy_on_device").allocation.dtype;
  if (to_dtype != from_dtype)
    throw_invalid(concat("copy_on_device: buffer #", to, " holds ", dtype_name(to_dtype), ", buffer #", from, " ",
                         dtype_name(from_dtype)));
  if (destination < source + bytes && source < destination + bytes)
    throw_invalid(concat("copy_on_device: the ranges overlap in buffer #", to));
  if (bytes) platform::copy_within(stream, destination, source, bytes);
}

}  // namespace greta::hip
