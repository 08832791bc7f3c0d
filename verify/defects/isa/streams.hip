// Loops over bytes for gfx942, sound and with the mistakes that show in the binary. Compiled to a code object and read
// by greta isa; never launched.
#include "kernels/hip/hip.hpp"
#include "kernels/tile/pack.hpp"

namespace greta {
namespace {

constexpr int kThreads = 256;

/// y = f(x), four elements of 16 bytes a thread in flight.
template <class F>
__device__ __forceinline__ void stream(const float* x, float* y, int64_t n_packs, F f) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < n_packs; i += stride) {
    Pack<float, 4> p = load_pack<4>(x + 4 * i);
    GRETA_UNROLL
    for (int k = 0; k < 4; ++k) p.v[k] = f(p.v[k]);
    store_pack<4>(y + 4 * i, p);
  }
}

__global__ GRETA_LAUNCH_BOUNDS(kThreads, 8) void sound(const float* x, float* y, int64_t n) {
  stream(x, y, n, [](float v) { return hip::exp2_hw(v * 1.44269504f); });
}

/// The math library's exp: argument reduction, scaling and special cases around the hardware's.
__global__ GRETA_LAUNCH_BOUNDS(kThreads, 8) void libm_exp(const float* x, float* y, int64_t n) {
  stream(x, y, n, [](float v) { return expf(v); });
}

/// A literal without its f, and the loop computes in double.
__global__ GRETA_LAUNCH_BOUNDS(kThreads, 8) void double_literal(const float* x, float* y, int64_t n) {
  stream(x, y, n, [](float v) { return static_cast<float>(v * 1.4426950408889634); });
}

__global__ GRETA_LAUNCH_BOUNDS(kThreads, 8) void division(const float* x, float* y, int64_t n) {
  stream(x, y, n, [](float v) { return 1.0f / v; });
}

/// Two bytes a lane.
__global__ GRETA_LAUNCH_BOUNDS(kThreads, 8) void narrow(const half_t* x, float* y, int64_t n) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < n; i += stride)
    y[i] = hip::to_float(x[i]);
}

/// kBound 8 waves a SIMD leave 64 registers for about 100 sums: they spill. 2 leave 256.
template <int kBound>
__global__ GRETA_LAUNCH_BOUNDS(kThreads, kBound) void many_sums(const float* x, float* y, int n) {
  constexpr int kSums = 96;
  float sums[kSums];
  GRETA_UNROLL
  for (int s = 0; s < kSums; ++s) sums[s] = x[s * kThreads + threadIdx.x];
  for (int i = 0; i < n; ++i) {
    const float v = x[i * kThreads + threadIdx.x];
    GRETA_UNROLL
    for (int s = 0; s < kSums; ++s) sums[s] = fmaf(sums[s], v, sums[(s + 1) % kSums]);
  }
  GRETA_UNROLL
  for (int s = 0; s < kSums; ++s) y[s * kThreads + threadIdx.x] = sums[s];
}

/// An index that is not a constant puts the array into memory.
__global__ GRETA_LAUNCH_BOUNDS(kThreads, 2) void register_index(const float* x, float* y, int n) {
  float sums[128] = {};
  for (int i = 0; i < n; ++i) sums[(i * 37 + static_cast<int>(threadIdx.x)) % 128] += x[i * kThreads + threadIdx.x];
  float all = 0.0f;
  for (int s = 0; s < 128; ++s) all = fmaf(all, 0.5f, sums[s]);
  y[threadIdx.x] = all;
}

template __global__ void many_sums<8>(const float*, float*, int);
template __global__ void many_sums<2>(const float*, float*, int);

}  // namespace
}  // namespace greta
