// What a kernel may use, on every platform. Included by .hip files only (compiled as HIP for gfx942, as CUDA for
// sm_90a, as C++ for host). A platform header below provides everything listed here; nothing else of HIP or CUDA is for
// kernels.
//
// clang-format off
//   __global__ __device__ __forceinline__   GRETA_LAUNCH_BOUNDS(max_threads, min_waves_per_simd)
//   threadIdx blockIdx blockDim gridDim     dim3
//   GRETA_LDS(T, name, [d0][d1]);           static LDS array `name`; poisoned at workgroup start on host
//   GRETA_DYNAMIC_LDS(T, name);             T* name: the launch's dynamic LDS
//   __syncthreads();                        every thread of the workgroup, at one place in the source
//   fmaf fminf fmaxf fabsf rintf sqrtf      exactly rounded where IEEE has it; no other libm call in kernels
// and in greta::hip
//   kLdsBytes, kLdsBytesForTwo              LDS of a workgroup, and when two share a CU
//   wave_size()                             64 on gfx942, 32 on sm_90a (constants there); ExecConfig::wave on host
//   lane_id(), wave_id()                    of a one-dimensional workgroup
//   wave_barrier()                          orders LDS accesses of one wave; every lane takes part
//   wave_shfl(v, lane), wave_shfl_xor(v, mask)      int, unsigned, float; full wave
//   wave_exchange<mask>(v)                  v of lane ^ mask, mask known at compile time; full wave
//   wave_sum(v), wave_max(v)                butterfly over lane distances 1, 2, 4, ... in that order; int, float
//   wave_any(bool), wave_all(bool)          to all lanes
//   wave_read(v, lane), wave_uniform(v)     int; lane or v is the same in the whole wave
//   atomic_add(ptr, v)                      int, unsigned, float; returns the old value
//   to_float(half_t|bf16_t|float), from_float<T>(float)      as in dtype.hpp: nearest even, NaN quietened
//   pack_low16(a, b), pack_high16(a, b), round_pair<T>(x, y) halves of words; two floats rounded to T
//   byte_at(word, i), four_of_byte(word, i) a byte of a word, zero extended; four of it side by side
//   float_bits(f), bits_float(u)
//   exp2_hw(x)                              the device's own exp2 (host: none, see kernels/tile/exp2.hpp)
//   dot4_i8(a, b, c)                        c + sum of four products of the signed bytes of a and b (int32, exact)
//   dot2_i16_i8(a, b, c)                    c + the halves of a times the low bytes of b
//   mad24(a, b, c)                          c + a * b for |a|, |b| < 2^23
//   opaque(v), schedule_fence(), wave_priority<n>()          for registers and the order of instructions
//   async_copy16(), async_commit(), async_wait<n>()          sm_90a and host: kernels/tile/kv_pipeline.hpp
//   mma_16x16x16(a, b, c), mma_16x16x32[_half], mma_32x32x16  one matrix tile of a wave (fragment.hpp)
// clang-format on
//
// Rules (see docs/adding_a_kernel.md): collectives and barriers only where the whole wave or workgroup arrives; guard
// the work, not the barrier; never write 32 or 64 for the wave; fmaf written out; no destructors in kernels; no large
// local arrays.
#pragma once

#if defined(FMT_VERSION)
#  error ".hip files do not include fmt, which nvcc cannot compile: use concat() from kernels/hip/text.hpp"
#endif

#if defined(GRETA_HOST_EXECUTOR)
#  include "kernels/hip/host/device.hpp"
#elif defined(__HIP__)
#  include "kernels/hip/rocm/device.hpp"
#elif defined(__CUDACC__)
#  include "kernels/hip/cuda/device.hpp"
#else
#  error "kernels/hip/hip.hpp is for .hip files; .cpp files include kernels/hip/runtime.hpp"
#endif
