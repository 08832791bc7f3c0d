// The runtime's own kernels: poison, and guard zones set and checked on the device.
#include "kernels/hip/gpu/memory.hpp"

#include <cstddef>

#include "kernels/hip/hip.hpp"

namespace greta::hip::gpu {
namespace {

constexpr unsigned kThreads = 256;

__global__ void GRETA_LAUNCH_BOUNDS(256, 8)
    fill_kernel(uint32_t* words, size_t n_words, uint8_t* tail, int tail_bytes, uint32_t pattern) {
  const size_t stride = static_cast<size_t>(gridDim.x) * blockDim.x;
  const size_t first = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (size_t i = first; i < n_words; i += stride) words[i] = pattern;
  if (first == 0)
    for (int i = 0; i < tail_bytes; ++i) tail[i] = static_cast<uint8_t>(pattern >> 8 * i);
}

__global__ void GRETA_LAUNCH_BOUNDS(256, 8) guard_set_kernel(GuardZones zones) {
  const GuardZone zone = zones.zone[blockIdx.x];
  const uintptr_t begin = reinterpret_cast<uintptr_t>(zone.begin);
  for (uint32_t i = threadIdx.x; i < zone.bytes; i += blockDim.x) zone.begin[i] = guard_byte(begin + i);
}

/// A thread looks at aligned words and, at the ragged ends of a zone, at bytes; it reports its first damaged byte.
__global__ void GRETA_LAUNCH_BOUNDS(256, 8) guard_check_kernel(GuardZones zones, unsigned long long* first) {
  const GuardZone zone = zones.zone[blockIdx.x];
  const uintptr_t begin = reinterpret_cast<uintptr_t>(zone.begin), end = begin + zone.bytes;
  for (uintptr_t word = (begin & ~uintptr_t{3}) + 4 * threadIdx.x; word < end; word += 4 * blockDim.x) {
    const bool whole = word >= begin && word + 4 <= end;
    const uint32_t wanted = static_cast<uint32_t>(word >> 2) * 0x9e3779b1u ^ 0xd9c1b2a3u;
    // Through the zone's pointer: from a number, gfx942 would get loads that also look at LDS (flat_load).
    const uint8_t* const bytes = zone.begin + static_cast<std::ptrdiff_t>(word - begin);
    if (whole && *reinterpret_cast<const uint32_t*>(bytes) == wanted) continue;
    for (int i = 0; i < 4; ++i) {
      const uintptr_t at = word + i;
      if (at < begin || at >= end || bytes[i] == guard_byte(at)) continue;
      const unsigned long long index = static_cast<unsigned long long>(zones.first_index) + blockIdx.x;
      atomicMin(first, index << kOffsetBits | static_cast<unsigned long long>(at - begin));
      return;
    }
  }
}

}  // namespace

void enqueue_fill(hipStream_t stream, void* data, size_t bytes, uint32_t pattern) {
  const size_t words = bytes / 4;
  const size_t blocks = words / kThreads + 1;
  fill_kernel<<<static_cast<unsigned>(blocks < 16384 ? blocks : 16384), kThreads, 0, stream>>>(
      static_cast<uint32_t*>(data), words, static_cast<uint8_t*>(data) + 4 * words, static_cast<int>(bytes % 4),
      pattern);
}

void enqueue_guard_set(hipStream_t stream, const GuardZones& zones) {
  guard_set_kernel<<<static_cast<unsigned>(zones.count), kThreads, 0, stream>>>(zones);
}

void enqueue_guard_check(hipStream_t stream, const GuardZones& zones, unsigned long long* first) {
  guard_check_kernel<<<static_cast<unsigned>(zones.count), kThreads, 0, stream>>>(zones, first);
}

}  // namespace greta::hip::gpu
