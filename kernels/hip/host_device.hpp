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
