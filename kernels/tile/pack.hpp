// Wide memory accesses of kernels, and the integer dot product over 16 bytes.
//
//   Pack<T, N>     N elements that are loaded and stored at once: one instruction when N * sizeof(T) is 4, 8 or 16.
//                  The address must be a multiple of the pack's size; launch functions ask packs_fit()
//                  (extents.hpp) and choose the element-wise variant of a kernel otherwise. Both give the same bits.
//   load16<A>(p)   16 bytes from an address that is a multiple of A only: quantised blocks have 34, 144 or 210
//                  bytes. gfx942 loads dwordx4 from any address; sm_90a needs natural alignment and gets 4-byte loads
//                  (A = 4) or 4-byte loads shifted into place (A = 2). load8<A>(p): 8 bytes.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/hip/hip.hpp"
#include "kernels/hip/host_device.hpp"

namespace greta {

template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T v[N];
};
using Words4 = Pack<uint32_t, 4>;
using Words2 = Pack<uint32_t, 2>;

template <int N, class T>
__device__ __forceinline__ Pack<std::remove_const_t<T>, N> load_pack(T* from) {
  return *reinterpret_cast<const Pack<std::remove_const_t<T>, N>*>(from);
}
template <int N, class T>
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

/// Elements [0, N) at from as float.
template <int N, class T>
__device__ __forceinline__ Pack<float, N> load_floats(const T* from) {
  const Pack<T, N> stored = load_pack<N>(from);
  Pack<float, N> floats;
  to_floats(stored, floats.v);
  return floats;
}
/// Rounded once to T.
template <int N, class T>
__device__ __forceinline__ void store_floats(T* to, const Pack<float, N>& floats) {
  Pack<T, N> stored;
  for (int i = 0; i < N; ++i) stored.v[i] = hip::from_float<T>(floats.v[i]);
  store_pack<N>(to, stored);
}

template <int kAlign>
__device__ __forceinline__ Words4 load16(const void* from) {
  static_assert(kAlign == 2 || kAlign == 4 || kAlign == 16);
#if defined(__CUDACC__)
  if constexpr (kAlign == 16) return *static_cast<const Words4*>(from);
  if constexpr (kAlign == 4) {
    const auto* words = static_cast<const uint32_t*>(from);
    return {{words[0], words[1], words[2], words[3]}};
  }
  // The four aligned words that hold the first 14 or all 16 bytes, and the last two bytes again. An address that is 2
  // more than a multiple of 4 lies 2 bytes behind the start of its allocation at least, so nothing outside is read.
  const auto address = reinterpret_cast<uintptr_t>(from);
  const auto* words = reinterpret_cast<const uint32_t*>(address & ~uintptr_t{3});
  const uint32_t last = static_cast<const uint16_t*>(from)[7];
  const unsigned shift = static_cast<unsigned>(address & 2) * 8;
  return {{__funnelshift_r(words[0], words[1], shift), __funnelshift_r(words[1], words[2], shift),
           __funnelshift_r(words[2], words[3], shift), __funnelshift_r(words[3], last, shift)}};
#else
  Words4 words;
  __builtin_memcpy(&words, __builtin_assume_aligned(from, kAlign), sizeof words);
  return words;
#endif
}

/// 8 bytes, likewise: from a multiple of 8 or of 2.
template <int kAlign>
__device__ __forceinline__ Words2 load8(const void* from) {
  static_assert(kAlign == 2 || kAlign == 8);
#if defined(__CUDACC__)
  if constexpr (kAlign == 8) return *static_cast<const Words2*>(from);
  const auto address = reinterpret_cast<uintptr_t>(from);
  const auto* words = reinterpret_cast<const uint32_t*>(address & ~uintptr_t{3});
  const uint32_t last = static_cast<const uint16_t*>(from)[3];
  const unsigned shift = static_cast<unsigned>(address & 2) * 8;
  return {{__funnelshift_r(words[0], words[1], shift), __funnelshift_r(words[1], last, shift)}};
#else
  Words2 words;
  __builtin_memcpy(&words, __builtin_assume_aligned(from, kAlign), sizeof words);
  return words;
#endif
}

/// c + sum of the 16 products of signed bytes; exact.
__device__ __forceinline__ int dot16_i8(const Words4& a, const Words4& b, int c) {
#if defined(GRETA_HOST_EXECUTOR)
  // The compiler does not make this of dot4_i8, and a model on the CPU spends most of its time here.
  const __m256i a16 = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a.v)));
  const __m256i b16 = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b.v)));
  const __m256i pairs = _mm256_madd_epi16(a16, b16);
  __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
  return c + _mm_cvtsi128_si32(sum);
#else
  for (int i = 0; i < 4; ++i) c = hip::dot4_i8(static_cast<int>(a.v[i]), static_cast<int>(b.v[i]), c);
  return c;
#endif
}

}  // namespace greta
