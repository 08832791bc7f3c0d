// What kernels/hip/hip.hpp promises, for kernels that run on the CPU: each HIP thread is a piece of a fiber (see
// executor.hpp), so a barrier or a collective is a switch to another fiber of the same CPU thread.
#pragma once

#include <immintrin.h>
#include <math.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/hip/dtype.hpp"
#include "kernels/hip/fragment.hpp"

#define __global__
#define __device__
#define __host__
#ifndef __forceinline__
#  define __forceinline__ inline __attribute__((always_inline))
#endif
#define GRETA_LAUNCH_BOUNDS(max_threads, min_waves_per_simd)

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

namespace greta::hip::host {

/// Where in the source a kernel waits.
struct Site {
  const char* file = nullptr;
  int line = 0;
};

/// The HIP thread that runs now on this CPU thread. Trivially constructible: a thread_local with a constructor would
/// cost a check at every threadIdx.
struct ThreadState {
  uint3 thread;
  unsigned linear;  ///< threadIdx as one number, x fastest
  uint3 block;
  uint3 block_dim;
  uint3 grid_dim;
  int wave;                   ///< lanes of a wave
  uint64_t block_generation;  ///< another number for each workgroup that ran on this CPU thread; never 0 in a kernel
};
extern __thread ThreadState t_state;

void barrier(Site site);
void wave_barrier(Site site);
uint32_t wave_shuffle(uint32_t value, int lane, Site site);
int wave_sum(int v, Site site);
unsigned wave_sum(unsigned v, Site site);
float wave_sum(float v, Site site);
int wave_max(int v, Site site);
unsigned wave_max(unsigned v, Site site);
float wave_max(float v, Site site);
bool wave_any(bool v, Site site);
bool wave_all(bool v, Site site);
void matrix_f16(const half_t* a, const half_t* b, const float* c, float* d, Site site);
void matrix_bf16(const bf16_t* a, const bf16_t* b, const float* c, float* d, Site site);
void matrix_i8(const int8_t* a, const int8_t* b, const int32_t* c, int32_t* d, Site site);
void matrix_i8_32(const int8_t* a, const int8_t* b, const int32_t* c, int32_t* d, Site site);
[[noreturn]] void unavailable(const char* what, Site site);

/// Static LDS. One record per declaration and CPU thread; an array is placed (and poisoned) when the first thread of a
/// workgroup reaches its declaration.
struct LdsSlot {
  uint64_t block_generation;
  void* address;
  uint32_t index;  ///< of the worker's arrays
};
enum class LdsFill : uint8_t { kF32, kF16, kBF16, kF64, kBytes };
template <class T>
constexpr LdsFill lds_fill_of() {
  using E = std::remove_all_extents_t<T>;
  if constexpr (std::is_same_v<E, float>) return LdsFill::kF32;
  if constexpr (std::is_same_v<E, double>) return LdsFill::kF64;
  if constexpr (std::is_same_v<E, half_t>) return LdsFill::kF16;
  if constexpr (std::is_same_v<E, bf16_t>) return LdsFill::kBF16;
  return LdsFill::kBytes;
}
struct LdsDeclaration {
  size_t bytes;
  size_t alignment;
  unsigned element_bytes;
  LdsFill fill;
  const char* name;
  Site site;
};
void place_lds(LdsSlot& slot, const LdsDeclaration& declaration);
void* dynamic_lds();

template <class T>
T& lds_array(LdsSlot& slot, const char* name, Site site) {
  static_assert(std::is_trivially_destructible_v<T>, "LDS holds plain data");
  if (slot.block_generation != t_state.block_generation)
    place_lds(slot, {sizeof(T), alignof(T), sizeof(std::remove_all_extents_t<T>), lds_fill_of<T>(), name, site});
  return *static_cast<T*>(slot.address);
}

}  // namespace greta::hip::host

#define threadIdx (static_cast<const uint3&>(::greta::hip::host::t_state.thread))
#define blockIdx (static_cast<const uint3&>(::greta::hip::host::t_state.block))
#define blockDim (static_cast<const uint3&>(::greta::hip::host::t_state.block_dim))
#define gridDim (static_cast<const uint3&>(::greta::hip::host::t_state.grid_dim))

#define GRETA_LDS(T, name, ...)                                 \
  using greta_lds_type_##name = T __VA_ARGS__;                  \
  static __thread ::greta::hip::host::LdsSlot greta_lds_##name; \
  greta_lds_type_##name& name =                                 \
      ::greta::hip::host::lds_array<greta_lds_type_##name>(greta_lds_##name, #name, {__FILE__, __LINE__})
#define GRETA_DYNAMIC_LDS(T, name) T* const name = static_cast<T*>(::greta::hip::host::dynamic_lds())

// The default arguments name the line of the kernel, not of this header.
#define GRETA_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(GRETA_SITE) { greta::hip::host::barrier({file, line}); }

namespace greta::hip {

inline int wave_size() { return host::t_state.wave; }
inline int lane_id() { return static_cast<int>(host::t_state.linear) & (host::t_state.wave - 1); }
inline int wave_id() { return static_cast<int>(host::t_state.linear) / host::t_state.wave; }

inline void wave_barrier(GRETA_SITE) { host::wave_barrier({file, line}); }

template <class To, class From>
To bit_copy(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}
inline uint32_t float_bits(float f) { return bit_copy<uint32_t>(f); }
inline float bits_float(uint32_t u) { return bit_copy<float>(u); }

/// Lanes outside 0 .. wave_size() - 1 wrap around.
template <class T>
T wave_shfl(T v, int lane, GRETA_SITE) {
  static_assert(sizeof(T) == 4 && std::is_arithmetic_v<T>, "int, unsigned or float");
  return bit_copy<T>(host::wave_shuffle(bit_copy<uint32_t>(v), lane, {file, line}));
}
template <class T>
T wave_shfl_xor(T v, int mask, GRETA_SITE) {
  static_assert(sizeof(T) == 4 && std::is_arithmetic_v<T>, "int, unsigned or float");
  return bit_copy<T>(host::wave_shuffle(bit_copy<uint32_t>(v), lane_id() ^ mask, {file, line}));
}
template <int kMask, class T>
T wave_exchange(T v, GRETA_SITE) {
  return bit_copy<T>(host::wave_shuffle(bit_copy<uint32_t>(v), lane_id() ^ kMask, {file, line}));
}
inline int wave_read(int v, int lane, GRETA_SITE) { return wave_shfl(v, lane, file, line); }
inline int wave_uniform(int v) { return v; }
template <class T>
T wave_sum(T v, GRETA_SITE) {
  return host::wave_sum(v, {file, line});
}
template <class T>
T wave_max(T v, GRETA_SITE) {
  return host::wave_max(v, {file, line});
}
inline bool wave_any(bool v, GRETA_SITE) { return host::wave_any(v, {file, line}); }
inline bool wave_all(bool v, GRETA_SITE) { return host::wave_all(v, {file, line}); }

template <class T>
T atomic_add(T* at, T v) {
  if constexpr (std::is_same_v<T, float>) {
    auto* bits = reinterpret_cast<uint32_t*>(at);
    uint32_t old = __atomic_load_n(bits, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(bits, &old, float_bits(bits_float(old) + v), true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
    }
    return bits_float(old);
  } else {
    static_assert(std::is_same_v<T, int> || std::is_same_v<T, unsigned>, "int, unsigned or float");
    return __atomic_fetch_add(at, v, __ATOMIC_RELAXED);
  }
}

/// As on MI300X.
inline constexpr int kLdsBytes = 64 * 1024;
inline constexpr int kLdsBytesForTwo = 32 * 1024;

inline uint32_t pack_low16(uint32_t a, uint32_t b) { return (a & 0xffffu) | b << 16; }
inline uint32_t pack_high16(uint32_t a, uint32_t b) { return a >> 16 | (b & 0xffff0000u); }
inline uint32_t byte_at(uint32_t word, int i) { return word >> (8 * i) & 0xffu; }
inline uint32_t four_of_byte(uint32_t word, int i) { return byte_at(word, i) * 0x01010101u; }

/// Copies in the background are done at once here.
inline void async_copy16(void* lds, const void* from, bool valid) {
  constexpr unsigned char kZeros[16] = {};  // copied: the race checker does not see a memset
  std::memcpy(lds, valid ? from : kZeros, 16);
}
inline void async_commit() {}
template <int kGroups>
void async_wait() {}
inline int opaque(int v) { return v; }
inline void schedule_fence() {}
template <int kPriority>
void wave_priority() {}

inline float to_float(float v) { return v; }
inline float to_float(half_t v) { return _cvtsh_ss(v.bits); }
inline float to_float(bf16_t v) { return bits_float(static_cast<uint32_t>(v.bits) << 16); }
template <class T>
T from_float(float v) {
  if constexpr (std::is_same_v<T, float>) return v;
  if constexpr (std::is_same_v<T, half_t>) return {static_cast<uint16_t>(_cvtss_sh(v, _MM_FROUND_TO_NEAREST_INT))};
  if constexpr (std::is_same_v<T, bf16_t>) return bf16_from_float(v);
}

template <class T>
uint32_t round_pair(float a, float b) {
  return from_float<T>(a).bits | static_cast<uint32_t>(from_float<T>(b).bits) << 16;
}

/// Not on host: the launch ends with kInvalidArgument. Choose the portable exp2 (kernels/tile/exp2.hpp).
[[noreturn]] inline float exp2_hw(float, GRETA_SITE) {
  host::unavailable("exp2_hw (the GPU's own exp2); on host use ExpMode::kPortable (--exp portable)", {file, line});
}

inline int dot4_i8(int a, int b, int c) {
  for (int shift = 0; shift < 32; shift += 8) c += static_cast<int8_t>(a >> shift) * static_cast<int8_t>(b >> shift);
  return c;
}

inline int dot2_i16_i8(int a, uint32_t b, int c) {
  return c + static_cast<int16_t>(a) * static_cast<int8_t>(b) + (a >> 16) * static_cast<int8_t>(b >> 8);
}
/// Exact only for |a|, |b| < 2^23, as on gfx942: what lies above does not count.
inline int mad24(int a, int b, int c) {
  const auto low = [](int v) { return static_cast<int>(static_cast<uint32_t>(v) << 8) >> 8; };
  return static_cast<int>(static_cast<uint32_t>(low(a)) * static_cast<uint32_t>(low(b)) + static_cast<uint32_t>(c));
}

template <class T>
FragmentC mma_16x16x16(const FragmentA<T>& a, const FragmentB<T>& b, const FragmentC& c, GRETA_SITE) {
  FragmentC d;
  if constexpr (std::is_same_v<T, half_t>) host::matrix_f16(a.v, b.v, c.v, d.v, {file, line});
  if constexpr (std::is_same_v<T, bf16_t>) host::matrix_bf16(a.v, b.v, c.v, d.v, {file, line});
  return d;
}
inline FragmentC8 mma_16x16x32(const FragmentA8& a, const FragmentB8& b, const FragmentC8& c, GRETA_SITE) {
  FragmentC8 d;
  host::matrix_i8(a.v, b.v, c.v, d.v, {file, line});
  return d;
}
inline FragmentC8 mma_16x16x32_half(const FragmentA8& a, const FragmentB8& b, const FragmentC8& c, GRETA_SITE) {
  return mma_16x16x32(a, b, c, file, line);
}
inline FragmentC8x32 mma_32x32x16(const FragmentA8x32& a, const FragmentB8x32& b, const FragmentC8x32& c, GRETA_SITE) {
  FragmentC8x32 d;
  host::matrix_i8_32(a.v, b.v, c.v, d.v, {file, line});
  return d;
}

}  // namespace greta::hip

#undef GRETA_SITE
