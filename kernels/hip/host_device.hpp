// GRETA_HOST_DEVICE marks a function that kernels and host code share: both compilers of a GPU build take it, a plain
// C++ compiler sees nothing. HIP-free.
#pragma once

#if defined(__HIP__)
#  define GRETA_HOST_DEVICE __attribute__((host)) __attribute__((device))
#elif defined(__CUDACC__)
#  define GRETA_HOST_DEVICE __host__ __device__
#else
#  define GRETA_HOST_DEVICE
#endif

// GRETA_UNROLL before a loop of constant trip count whose body indexes a register array: on the GPUs an index that is
// not a constant would put the array into memory. A host compiler needs no word. GRETA_UNROLL_BY(n): n iterations.
#if defined(__HIP__) || defined(__CUDACC__)
// clang-format off
#  define GRETA_PRAGMA(words) _Pragma(#words)
// clang-format on
#  define GRETA_UNROLL GRETA_PRAGMA(unroll)
#  define GRETA_UNROLL_BY(n) GRETA_PRAGMA(unroll n)
#else
#  define GRETA_UNROLL
#  define GRETA_UNROLL_BY(n)
#endif
