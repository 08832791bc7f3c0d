// A hint that a later launch will read from memory. For .hip files.
#pragma once

#include "kernels/hip/hip.hpp"

namespace greta {

/// Bytes that a hint is for.
inline constexpr int kPrefetchBytes = 128;

/// sm_90a sends for the 128 bytes around `from` towards L2; no wave waits for them. gfx942 has no instruction for it.
__device__ __forceinline__ void prefetch([[maybe_unused]] const void* from) {
#if defined(__CUDACC__)
  asm volatile("prefetch.global.L2 [%0];" ::"l"(from));
#endif
}

}  // namespace greta
