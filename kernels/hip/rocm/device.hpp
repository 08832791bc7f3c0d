// gfx942 (MI300X) behind kernels/hip/hip.hpp: wave of 64 lanes, 64 KiB of LDS. Compiled as HIP, contraction off, IEEE
// division and square root (both the defaults of clang's HIP mode, and set again by the build).
//
// Sources: LLVM "User Guide for AMDGPU Backend" (DPP controls, address spaces), CDNA3 ISA reference (DPP, DS_SWIZZLE,
// MFMA operand layouts).
#pragma once

#include <hip/hip_runtime.h>

#include <cstdint>
#include <type_traits>

#include "kernels/hip/dtype.hpp"
#include "kernels/hip/fragment.hpp"

// The second argument is waves per SIMD: 1 gives a wave 512 registers, 2 gives 256, 4 gives 128, 8 gives 64.
#define GRETA_LAUNCH_BOUNDS(max_threads, min_waves_per_simd) \
  __attribute__((amdgpu_flat_work_group_size(1, max_threads), amdgpu_waves_per_eu(min_waves_per_simd)))

#define GRETA_LDS(T, name, ...) __shared__ T name __VA_ARGS__
#define GRETA_DYNAMIC_LDS(T, name)                                                  \
  extern __shared__ __attribute__((aligned(16))) unsigned char greta_dynamic_lds[]; \
  T* const name = reinterpret_cast<T*>(greta_dynamic_lds)

namespace greta::hip {

// ---------------------------------------------------------------------------------------------------------------- wave

__host__ __device__ constexpr int wave_size() { return 64; }
__device__ inline int lane_id() { return static_cast<int>(threadIdx.x % 64u); }
__device__ inline int wave_id() { return static_cast<int>(threadIdx.x / 64u); }

/// The hardware runs a wave's LDS instructions in order; this keeps the compiler from moving them across.
__device__ inline void wave_barrier() {
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "wavefront");
  __builtin_amdgcn_wave_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "wavefront");
}

__device__ inline uint32_t float_bits(float f) { return __builtin_bit_cast(uint32_t, f); }
__device__ inline float bits_float(uint32_t u) { return __builtin_bit_cast(float, u); }

__device__ inline int wave_shfl(int v, int lane) { return __builtin_amdgcn_ds_bpermute(lane << 2, v); }
__device__ inline unsigned wave_shfl(unsigned v, int lane) {
  return static_cast<unsigned>(wave_shfl(static_cast<int>(v), lane));
}
__device__ inline float wave_shfl(float v, int lane) {
  return __builtin_bit_cast(float, wave_shfl(__builtin_bit_cast(int, v), lane));
}
template <class T>
__device__ inline T wave_shfl_xor(T v, int mask) {
  return wave_shfl(v, lane_id() ^ mask);
}

/// The value of lane `lane`, which is the same number in the whole wave: v_readlane, a scalar result.
__device__ inline int wave_read(int v, int lane) { return __builtin_amdgcn_readlane(v, lane); }
/// A value that is the same in the whole wave, told to the compiler: what follows from it is scalar work.
__device__ inline int wave_uniform(int v) { return __builtin_amdgcn_readfirstlane(v); }

namespace detail {

/// DPP moves within rows of 16 lanes; controls from the AMDGPU guide.
template <int kControl, class T>
__device__ inline T dpp(T v) {
  static_assert(sizeof(T) == 4);
  return __builtin_bit_cast(T, __builtin_amdgcn_mov_dpp(__builtin_bit_cast(int, v), kControl, 0xf, 0xf, true));
}
inline constexpr int kQuadXor1 = 0xb1;                   // quad_perm [1,0,3,2]
inline constexpr int kQuadXor2 = 0x4e;                   // quad_perm [2,3,0,1]
inline constexpr int kHalfMirror = 0x141;                // lane i of 8 reads 7-i
inline constexpr int kRotate8 = 0x128;                   // row_ror:8, lane i of 16 reads i xor 8
inline constexpr int kSwizzleXor16 = 0x10 << 10 | 0x1f;  // DS_SWIZZLE bit mode: lane i of 32 reads i xor 16

/// Butterfly over lane distances 1, 2, 4, 8, 16, 32 in that order. At distance 4 the mirror within 8 lanes reads lane
/// 7-i instead of i xor 4: both hold the same bits there, since the four lanes of a quad are equal after two steps.
template <class T, class Op>
__device__ inline T wave_butterfly(T v, Op op) {
  v = op(v, dpp<kQuadXor1>(v));
  v = op(v, dpp<kQuadXor2>(v));
  v = op(v, dpp<kHalfMirror>(v));
  v = op(v, dpp<kRotate8>(v));
  v = op(v, __builtin_bit_cast(T, __builtin_amdgcn_ds_swizzle(__builtin_bit_cast(int, v), kSwizzleXor16)));
  return op(v, wave_shfl_xor(v, 32));
}

}  // namespace detail

/// DPP, a register move that an addition can swallow, for masks 1, 2, 7 and 8; else through the LDS crossbar.
template <int kMask, class T>
__device__ inline T wave_exchange(T v) {
  if constexpr (kMask == 1) return detail::dpp<detail::kQuadXor1>(v);
  if constexpr (kMask == 2) return detail::dpp<detail::kQuadXor2>(v);
  if constexpr (kMask == 7) return detail::dpp<detail::kHalfMirror>(v);
  if constexpr (kMask == 8) return detail::dpp<detail::kRotate8>(v);
  if constexpr (kMask == 16)
    return __builtin_bit_cast(T, __builtin_amdgcn_ds_swizzle(__builtin_bit_cast(int, v), detail::kSwizzleXor16));
  return wave_shfl_xor(v, kMask);
}

__device__ inline float wave_sum(float v) {
  return detail::wave_butterfly(v, [](float a, float b) { return a + b; });
}
__device__ inline int wave_sum(int v) {
  return detail::wave_butterfly(v, [](int a, int b) { return a + b; });
}
__device__ inline unsigned wave_sum(unsigned v) { return static_cast<unsigned>(wave_sum(static_cast<int>(v))); }
__device__ inline float wave_max(float v) {
  return detail::wave_butterfly(v, [](float a, float b) { return fmaxf(a, b); });
}
__device__ inline int wave_max(int v) {
  return detail::wave_butterfly(v, [](int a, int b) { return a > b ? a : b; });
}
__device__ inline unsigned wave_max(unsigned v) {
  return detail::wave_butterfly(v, [](unsigned a, unsigned b) { return a > b ? a : b; });
}
/// Over the lanes that are active: the whole wave, by the rule that collectives are not called under divergence.
__device__ inline bool wave_any(bool v) { return __builtin_amdgcn_ballot_w64(v) != 0; }
__device__ inline bool wave_all(bool v) { return __builtin_amdgcn_ballot_w64(!v) == 0; }

// ------------------------------------------------------------------------------------------------------------- atomics
// Relaxed, device scope.

__device__ inline int atomic_add(int* to, int v) {
  return __hip_atomic_fetch_add(to, v, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}
__device__ inline unsigned atomic_add(unsigned* to, unsigned v) {
  return __hip_atomic_fetch_add(to, v, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}
/// The order of the additions is open: not for results whose bits matter.
__device__ inline float atomic_add(float* to, float v) {
  return __hip_atomic_fetch_add(to, v, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}

// -------------------------------------------------------------------------------------------- copies and the schedule

/// LDS that a workgroup may have: 64 KiB, all of a CU's.
inline constexpr int kLdsBytes = 64 * 1024;
/// Two workgroups of up to this much share a CU.
inline constexpr int kLdsBytesForTwo = 32 * 1024;

/// The low halves of two words side by side (a below b), and the high halves: v_perm_b32.
__device__ inline uint32_t pack_low16(uint32_t a, uint32_t b) { return __builtin_amdgcn_perm(b, a, 0x05040100u); }
__device__ inline uint32_t pack_high16(uint32_t a, uint32_t b) { return __builtin_amdgcn_perm(b, a, 0x07060302u); }
/// Byte i of a word, zero extended (v_bfe_u32); and four of it side by side. i: known when compiled.
__device__ inline uint32_t byte_at(uint32_t word, int i) { return word >> (8 * i) & 0xffu; }
__device__ inline uint32_t four_of_byte(uint32_t word, int i) {
  return __builtin_amdgcn_perm(0u, word, 0x01010101u * static_cast<unsigned>(i));
}

/// v, and the compiler does not know it: what is computed from it stays where it is written (moved out of a loop it
/// would hold a register all along).
__device__ inline int opaque(int v) {
  asm volatile("" : "+v"(v));
  return v;
}
/// No instruction crosses it when the compiler orders them: what stands above it is issued first.
__device__ inline void schedule_fence() { __builtin_amdgcn_sched_barrier(0); }
/// Of this wave among those of its SIMD, 0 to 3.
template <int kPriority>
__device__ inline void wave_priority() {
  __builtin_amdgcn_s_setprio(kPriority);
}

// --------------------------------------------------------------------------------------------------------- conversions
// v_cvt_f32_f16 and v_cvt_f16_f32 in the default mode (nearest even, f16 subnormals kept). NaN stays NaN and quiet; its
// payload and sign are the platform's, except for bf16, which the integer form below gives the bits of dtype.hpp.

__device__ inline float to_float(float v) { return v; }
__device__ inline float to_float(half_t v) { return static_cast<float>(__builtin_bit_cast(_Float16, v.bits)); }
__device__ inline float to_float(bf16_t v) { return bits_float(static_cast<uint32_t>(v.bits) << 16); }

template <class T>
__device__ inline T from_float(float v);
template <>
__device__ inline float from_float<float>(float v) {
  return v;
}
template <>
__device__ inline half_t from_float<half_t>(float v) {
  return {__builtin_bit_cast(uint16_t, static_cast<_Float16>(v))};
}
template <>
__device__ inline bf16_t from_float<bf16_t>(float v) {
  const uint32_t u = float_bits(v);
  const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  const uint32_t quiet = (u >> 16) | 0x40u;
  return {static_cast<uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? quiet : rounded)};
}
/// Two numbers rounded to T as from_float does, side by side in a word, a in the low half. Of a NaN nothing is
/// promised.
template <class T>
__device__ inline uint32_t round_pair(float a, float b) {
  if constexpr (std::is_same_v<T, bf16_t>) {
    const uint32_t x = float_bits(a), y = float_bits(b);
    return pack_high16(x + 0x7fffu + ((x >> 16) & 1u), y + 0x7fffu + ((y >> 16) & 1u));
  } else {
    return pack_low16(from_float<T>(a).bits, from_float<T>(b).bits);
  }
}

// ---------------------------------------------------------------------------------------------------------- arithmetic

/// v_exp_f32: within 1 ulp, subnormal inputs read as zero, results below 2^-126 flushed. Same bits on every gfx942.
__device__ inline float exp2_hw(float x) { return __builtin_amdgcn_exp2f(x); }

/// v_dot4_i32_i8.
__device__ inline int dot4_i8(int a, int b, int c) { return __builtin_amdgcn_sdot4(a, b, c, false); }

__device__ inline int dot2_i16_i8(int a, uint32_t b, int c) {
  return ((a << 16) >> 16) * (static_cast<int>(b << 24) >> 24) + ((a >> 16) * (static_cast<int>(b << 16) >> 24) + c);
}
/// v_mad_i32_i24: full rate, while a 32-bit product runs at a quarter. The shifts tell the compiler the range and go.
__device__ inline int mad24(int a, int b, int c) {
  return ((static_cast<int>(static_cast<unsigned>(a) << 8)) >> 8) *
             ((static_cast<int>(static_cast<unsigned>(b) << 8)) >> 8) +
         c;
}

// -------------------------------------------------------------------------------------------------------- matrix tiles

namespace detail {
using Half4 = _Float16 __attribute__((ext_vector_type(4)));
using Short4 = short __attribute__((ext_vector_type(4)));
using Float4 = float __attribute__((ext_vector_type(4)));
using Int4 = int __attribute__((ext_vector_type(4)));
using Int16 = int __attribute__((ext_vector_type(16)));
}  // namespace detail

/// v_mfma_f32_16x16x16_f16.
__device__ inline FragmentC mma_16x16x16(const FragmentA<half_t>& a, const FragmentB<half_t>& b, const FragmentC& c) {
  return __builtin_bit_cast(FragmentC, __builtin_amdgcn_mfma_f32_16x16x16f16(
                                           __builtin_bit_cast(detail::Half4, a), __builtin_bit_cast(detail::Half4, b),
                                           __builtin_bit_cast(detail::Float4, c), 0, 0, 0));
}
/// v_mfma_f32_16x16x16_bf16 (CDNA2's "1k" form).
__device__ inline FragmentC mma_16x16x16(const FragmentA<bf16_t>& a, const FragmentB<bf16_t>& b, const FragmentC& c) {
  return __builtin_bit_cast(FragmentC, __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(
                                           __builtin_bit_cast(detail::Short4, a), __builtin_bit_cast(detail::Short4, b),
                                           __builtin_bit_cast(detail::Float4, c), 0, 0, 0));
}
/// v_mfma_i32_16x16x32_i8.
__device__ inline FragmentC8 mma_16x16x32(const FragmentA8& a, const FragmentB8& b, const FragmentC8& c) {
  return __builtin_bit_cast(
      FragmentC8, __builtin_amdgcn_mfma_i32_16x16x32_i8(__builtin_bit_cast(long, a), __builtin_bit_cast(long, b),
                                                        __builtin_bit_cast(detail::Int4, c), 0, 0, 0));
}
__device__ inline FragmentC8 mma_16x16x32_half(const FragmentA8& a, const FragmentB8& b, const FragmentC8& c) {
  return mma_16x16x32(a, b, c);
}
/// v_mfma_i32_32x32x16_i8.
__device__ inline FragmentC8x32 mma_32x32x16(const FragmentA8x32& a, const FragmentB8x32& b, const FragmentC8x32& c) {
  return __builtin_bit_cast(
      FragmentC8x32, __builtin_amdgcn_mfma_i32_32x32x16_i8(__builtin_bit_cast(long, a), __builtin_bit_cast(long, b),
                                                           __builtin_bit_cast(detail::Int16, c), 0, 0, 0));
}

}  // namespace greta::hip
