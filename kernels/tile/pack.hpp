// Vectors of neighbouring elements, moved in one load or store: Pack<half_t, 8> is 16 bytes, the widest a lane moves.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/hip/hip.hpp"
#include "kernels/hip/host_device.hpp"

namespace greta {

template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  static_assert(sizeof(T) * N <= 16 && (N & (N - 1)) == 0);
  T v[N];
};

/// from is aligned to N elements (rows of 64 or 128 elements in an aligned tensor are).
template <int N, class T>
__device__ __forceinline__ Pack<T, N> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, N>*>(from);
}
template <class T, int N>
__device__ __forceinline__ void store_pack(T* to, const Pack<T, N>& pack) {
  *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

/// Exact widening of every element; same values as hip::to_float on each.
template <class T, int N>
__device__ __forceinline__ void to_floats(const Pack<T, N>& pack, float (&to)[N]) {
#if defined(GRETA_HOST_EXECUTOR)
  if constexpr (std::is_same_v<T, half_t> && N == 8) {  // one F16C instruction instead of eight
    __m128i bits;
    std::memcpy(&bits, pack.v, sizeof bits);
    _mm256_storeu_ps(to, _mm256_cvtph_ps(bits));
    return;
  }
#endif
  GRETA_UNROLL
  for (int i = 0; i < N; ++i) to[i] = hip::to_float(pack.v[i]);
}

}  // namespace greta
