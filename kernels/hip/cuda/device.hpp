// sm_90a (H100, H200) behind kernels/hip/hip.hpp: wave of 32 lanes, up to 227 KiB of shared memory as LDS. Compiled by
// nvcc with -fmad=false -ftz=false -prec-div=true -prec-sqrt=true.
//
// Source: PTX ISA (mma.m16n8k16, mma.m16n8k32, ex2.approx, cvt); CUDA programming guide (launch bounds, shuffles).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "kernels/hip/dtype.hpp"
#include "kernels/hip/fragment.hpp"

// The second argument is waves per SIMD. One of the four SIMDs of an SM has 512 registers for each of 32 lanes, just as
// a SIMD of gfx942 has 512 for each of 64: n waves per SIMD mean the same registers per thread on both (1: 512, here
// capped at 255; 2: 256; 4: 128; 8: 64). CUDA wants workgroups per SM instead: 4 n waves of 32 threads, divided by the
// workgroup's size, at least 1.
#define GRETA_LAUNCH_BOUNDS(max_threads, min_waves_per_simd) \
  __launch_bounds__(max_threads, greta::hip::detail::blocks_per_sm(max_threads, min_waves_per_simd))

#define GRETA_LDS(T, name, ...) __shared__ T name __VA_ARGS__
#define GRETA_DYNAMIC_LDS(T, name)                                   \
  extern __shared__ __align__(16) unsigned char greta_dynamic_lds[]; \
  T* const name = reinterpret_cast<T*>(greta_dynamic_lds)

namespace greta::hip {

// ---------------------------------------------------------------------------------------------------------------- wave

namespace detail {
constexpr int blocks_per_sm(int max_threads, int min_waves_per_simd) {
  const int blocks = min_waves_per_simd * 4 * 32 / max_threads;
  return blocks < 1 ? 1 : blocks;
}
inline constexpr unsigned kFullWave = 0xffffffffu;
}  // namespace detail

__host__ __device__ constexpr int wave_size() { return 32; }
__device__ inline int lane_id() { return static_cast<int>(threadIdx.x % 32u); }
__device__ inline int wave_id() { return static_cast<int>(threadIdx.x / 32u); }
__device__ inline void wave_barrier() { __syncwarp(detail::kFullWave); }

__device__ inline uint32_t float_bits(float f) { return __float_as_uint(f); }
__device__ inline float bits_float(uint32_t u) { return __uint_as_float(u); }

__device__ inline int wave_shfl(int v, int lane) { return __shfl_sync(detail::kFullWave, v, lane); }
__device__ inline unsigned wave_shfl(unsigned v, int lane) { return __shfl_sync(detail::kFullWave, v, lane); }
__device__ inline float wave_shfl(float v, int lane) { return __shfl_sync(detail::kFullWave, v, lane); }
template <class T>
__device__ inline T wave_shfl_xor(T v, int mask) {
  return __shfl_xor_sync(detail::kFullWave, v, mask);
}
template <int kMask, class T>
__device__ inline T wave_exchange(T v) {
  return wave_shfl_xor(v, kMask);
}

/// The value of lane `lane`, which is the same number in the whole wave.
__device__ inline int wave_read(int v, int lane) { return wave_shfl(v, lane); }
/// A value that is the same in the whole wave, told to the compiler (gfx942); nothing here.
__device__ inline int wave_uniform(int v) { return v; }

/// Butterflies over lane distances 1, 2, 4, 8, 16 in that order.
__device__ inline float wave_sum(float v) {
  for (int distance = 1; distance < 32; distance *= 2) v += wave_shfl_xor(v, distance);
  return v;
}
__device__ inline int wave_sum(int v) { return __reduce_add_sync(detail::kFullWave, v); }
__device__ inline unsigned wave_sum(unsigned v) { return __reduce_add_sync(detail::kFullWave, v); }
__device__ inline float wave_max(float v) {
  for (int distance = 1; distance < 32; distance *= 2) v = fmaxf(v, wave_shfl_xor(v, distance));
  return v;
}
__device__ inline int wave_max(int v) { return __reduce_max_sync(detail::kFullWave, v); }
__device__ inline unsigned wave_max(unsigned v) { return __reduce_max_sync(detail::kFullWave, v); }
__device__ inline bool wave_any(bool v) { return __any_sync(detail::kFullWave, v); }
__device__ inline bool wave_all(bool v) { return __all_sync(detail::kFullWave, v); }

// ------------------------------------------------------------------------------------------------------------- atomics

__device__ inline int atomic_add(int* to, int v) { return atomicAdd(to, v); }
__device__ inline unsigned atomic_add(unsigned* to, unsigned v) { return atomicAdd(to, v); }
/// The order of the additions is open, and subnormals in global memory are flushed: not for results whose bits matter.
__device__ inline float atomic_add(float* to, float v) { return atomicAdd(to, v); }

// -------------------------------------------------------------------------------------------- copies and the schedule

/// LDS that a workgroup may have: 227 KiB.
inline constexpr int kLdsBytes = 227 * 1024;
/// Workgroups of up to this much share an SM in pairs (1 KiB of each is the system's).
inline constexpr int kLdsBytesForTwo = 113 * 1024 - 512;

/// 16 bytes from global memory to LDS, in the background; zeros instead when !valid (`from` is an address all the
/// same).
__device__ inline void async_copy16(void* lds, const void* from, bool valid) {
  asm volatile(
      "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(static_cast<uint32_t>(__cvta_generic_to_shared(lds))),
      "l"(from), "r"(valid ? 16 : 0)
      : "memory");
}
/// Closes a group of copies; async_wait<n>() waits until at most n groups of this thread are still under way.
__device__ inline void async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kGroups>
__device__ inline void async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
}

/// Four 8x8 tiles of 16-bit elements: lane l gives the address of row l % 8 of tile l / 8 and gets, as word t, elements
/// 2 (l % 4) and + 1 of row l / 4 of tile t (transposed: of column l / 4).
__device__ inline void load_matrix_x4(uint32_t (&words)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
}
__device__ inline void load_matrix_x4_transposed(uint32_t (&words)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
}

/// The low halves of two words side by side (a below b), and the high halves.
__device__ inline uint32_t pack_low16(uint32_t a, uint32_t b) { return __byte_perm(a, b, 0x5410); }
__device__ inline uint32_t pack_high16(uint32_t a, uint32_t b) { return __byte_perm(a, b, 0x7632); }
/// Byte i of a word, zero extended; and four of it side by side. i: known when compiled.
__device__ inline uint32_t byte_at(uint32_t word, int i) {
  return __byte_perm(word, 0, 0x4440u + static_cast<unsigned>(i));
}
__device__ inline uint32_t four_of_byte(uint32_t word, int i) {
  return __byte_perm(word, 0, 0x1111u * static_cast<unsigned>(i));
}

/// v, and the compiler does not know it: what is computed from it stays where it is written (moved out of a loop it
/// would hold a register all along).
__device__ inline int opaque(int v) {
  asm volatile("" : "+r"(v));
  return v;
}
/// No instruction crosses it when the compiler orders them (gfx942); nothing here.
__device__ inline void schedule_fence() {}
/// Of this wave among those of its SIMD, 0 to 3 (gfx942); nothing here.
template <int kPriority>
__device__ inline void wave_priority() {}

// --------------------------------------------------------------------------------------------------------- conversions
// cvt.f32.f16, cvt.rn.f16.f32, cvt.rn.bf16.f32: nearest even, subnormals kept. NaN stays NaN and quiet; its payload and
// sign are the platform's.

__device__ inline float to_float(float v) { return v; }
__device__ inline float to_float(half_t v) {
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(v.bits));
  return f;
}
__device__ inline float to_float(bf16_t v) { return bits_float(static_cast<uint32_t>(v.bits) << 16); }

template <class T>
__device__ inline T from_float(float v);
template <>
__device__ inline float from_float<float>(float v) {
  return v;
}
template <>
__device__ inline half_t from_float<half_t>(float v) {
  half_t h;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h.bits) : "f"(v));
  return h;
}
template <>
__device__ inline bf16_t from_float<bf16_t>(float v) {
  bf16_t b;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(b.bits) : "f"(v));
  return b;
}
/// Two numbers rounded to T as from_float does, side by side in a word, a in the low half. Of a NaN nothing is
/// promised.
template <class T>
__device__ inline uint32_t round_pair(float a, float b) {
  uint32_t word;
  if constexpr (std::is_same_v<T, bf16_t>)
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(b), "f"(a));
  else
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(b), "f"(a));
  return word;
}

// ---------------------------------------------------------------------------------------------------------- arithmetic

/// ex2.approx.ftz.f32: relative error about 2^-22, subnormal inputs and results flushed. Same bits on every sm_90.
__device__ inline float exp2_hw(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

__device__ inline int dot4_i8(int a, int b, int c) { return __dp4a(a, b, c); }
__device__ inline int dot2_i16_i8(int a, uint32_t b, int c) { return __dp2a_lo(a, static_cast<int>(b), c); }
__device__ inline int mad24(int a, int b, int c) { return a * b + c; }

// -------------------------------------------------------------------------------------------------------- matrix tiles
// A 16x16 tile of C is two instructions side by side: v[0..3] of B and C are columns 0-7, v[4..7] columns 8-15
// (fragment.hpp). Registers of A, in order: rows 0-7 and 8-15 at the first half of the depth, then at the second half.

namespace detail {
template <class To, class From>
__device__ inline To bits_as(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}
struct Words4 {
  uint32_t w[4];
};
#define GRETA_MMA(instruction, constraint, a, b, c)                                                             \
  asm volatile(instruction " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"                             \
               : "+" constraint((c)[0]), "+" constraint((c)[1]), "+" constraint((c)[2]), "+" constraint((c)[3]) \
               : "r"((a).w[0]), "r"((a).w[1]), "r"((a).w[2]), "r"((a).w[3]), "r"((b)[0]), "r"((b)[1]))
}  // namespace detail

__device__ inline FragmentC mma_16x16x16(const FragmentA<half_t>& a, const FragmentB<half_t>& b, const FragmentC& c) {
  const auto aw = detail::bits_as<detail::Words4>(a), bw = detail::bits_as<detail::Words4>(b);
  FragmentC d = c;
  GRETA_MMA("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", "f", aw, bw.w, d.v);
  GRETA_MMA("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", "f", aw, bw.w + 2, d.v + 4);
  return d;
}
__device__ inline FragmentC mma_16x16x16(const FragmentA<bf16_t>& a, const FragmentB<bf16_t>& b, const FragmentC& c) {
  const auto aw = detail::bits_as<detail::Words4>(a), bw = detail::bits_as<detail::Words4>(b);
  FragmentC d = c;
  GRETA_MMA("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", "f", aw, bw.w, d.v);
  GRETA_MMA("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", "f", aw, bw.w + 2, d.v + 4);
  return d;
}
__device__ inline FragmentC8 mma_16x16x32(const FragmentA8& a, const FragmentB8& b, const FragmentC8& c) {
  const auto aw = detail::bits_as<detail::Words4>(a), bw = detail::bits_as<detail::Words4>(b);
  FragmentC8 d = c;
  GRETA_MMA("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32", "r", aw, bw.w, d.v);
  GRETA_MMA("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32", "r", aw, bw.w + 2, d.v + 4);
  return d;
}
#define GRETA_MMA_S8_K16(a0, a1, b, c)                                                                        \
  asm volatile("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};" \
               : "+r"((c)[0]), "+r"((c)[1]), "+r"((c)[2]), "+r"((c)[3])                                       \
               : "r"(a0), "r"(a1), "r"(b))
/// The first registers of a row of A or column of B are depths 0..15.
__device__ inline FragmentC8 mma_16x16x32_half(const FragmentA8& a, const FragmentB8& b, const FragmentC8& c) {
  const auto aw = detail::bits_as<detail::Words4>(a), bw = detail::bits_as<detail::Words4>(b);
  FragmentC8 d = c;
  GRETA_MMA_S8_K16(aw.w[0], aw.w[1], bw.w[0], d.v);
  GRETA_MMA_S8_K16(aw.w[0], aw.w[1], bw.w[2], d.v + 4);
  return d;
}
__device__ inline FragmentC8x32 mma_32x32x16(const FragmentA8x32& a, const FragmentB8x32& b, const FragmentC8x32& c) {
  const auto aw = detail::bits_as<detail::Words4>(a), bw = detail::bits_as<detail::Words4>(b);
  FragmentC8x32 d = c;
#pragma unroll
  for (int i = 0; i < 8; ++i) GRETA_MMA_S8_K16(aw.w[i / 4 * 2], aw.w[i / 4 * 2 + 1], bw.w[i % 4], d.v + 4 * i);
  return d;
}
#undef GRETA_MMA_S8_K16
#undef GRETA_MMA

}  // namespace greta::hip
