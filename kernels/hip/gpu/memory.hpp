// Guard zones and poison on a GPU: done by kernels, so that no guard byte crosses the bus (memory.hip, memory.cpp).
#pragma once

#include "kernels/hip/gpu/api.hpp"

#if defined(__HIP__) || defined(__CUDACC__)
#  define GRETA_BOTH __host__ __device__
#else
#  define GRETA_BOTH
#endif

namespace greta::hip::gpu {

inline constexpr size_t kGuardBytes = size_t{64} << 10;  ///< before and after every buffer, at least

/// What a guard byte at this address holds: it differs from its neighbours, so that a write of any constant shows.
GRETA_BOTH inline uint8_t guard_byte(uintptr_t address) {
  const uint32_t word = static_cast<uint32_t>(address >> 2) * 0x9e3779b1u ^ 0xd9c1b2a3u;
  return static_cast<uint8_t>(word >> 8 * (address & 3));
}

struct GuardZone {
  uint8_t* begin;
  uint32_t bytes;
};
inline constexpr int kZonesPerLaunch = 64;
struct GuardZones {
  GuardZone zone[kZonesPerLaunch];
  int count;
  int first_index;  ///< of zone[0] among all zones of a check
};

/// A damaged byte as one number: the lowest is the first byte of the first zone.
inline constexpr unsigned long long kNoDamage = ~0ull;
inline constexpr int kOffsetBits = 32;

/// All three enqueue and return; a launch error is left for hipGetLastError().
void enqueue_fill(hipStream_t stream, void* data, size_t bytes, uint32_t pattern);
void enqueue_guard_set(hipStream_t stream, const GuardZones& zones);
/// Lowers *first to (index << kOffsetBits | offset) of the first damaged byte.
void enqueue_guard_check(hipStream_t stream, const GuardZones& zones, unsigned long long* first);

}  // namespace greta::hip::gpu
