// A matrix product's loop for gfx942, sound and with two of the mistakes that cost most there. Compiled to a code
// object and read by greta isa; never launched. C[256, 128] += A[256, k] B[128, k]^T, 8 waves of 64 x 64, tiles of 32
// columns in two LDS buffers.
#include "kernels/hip/hip.hpp"
#include "kernels/hip/host_device.hpp"

namespace greta {
namespace {

constexpr int kThreads = 512, kRowsA = 256, kRowsB = 128, kDepth = 32, kSide = 4;

struct alignas(16) Chunk {
  uint64_t half[2];
};

/// kPad 4 halfs: the rows that 16 lanes read 8 bytes of lie in different banks. 0: rows of 64 bytes, 8 lanes a bank.
/// kPrefetch: the next tile's loads are issued before the products of this one and fenced there; else they stand where
/// their values are stored, which is also where a compiler puts them that nothing hinders.
template <int kPad, bool kPrefetch>
__global__ GRETA_LAUNCH_BOUNDS(kThreads, 2) void loop(const half_t* a, const half_t* b, float* c, int n_tiles) {
  constexpr int kStride = kDepth + kPad;
  GRETA_LDS(half_t, tiles, [2][(kRowsA + kRowsB) * kStride]);
  const int t = static_cast<int>(threadIdx.x), lane = t % 64, wave = t / 64;
  const int row_a = wave % 4 * 64 + lane % 16, row_b = kRowsA + wave / 4 * 64 + lane % 16, k0 = lane / 16 * 4;
  const half_t* const from_a = a + static_cast<int64_t>(t % 256) * n_tiles * kDepth + t / 256 * 8;
  const half_t* const from_b = b + static_cast<int64_t>(t % 128) * n_tiles * kDepth + t / 128 * 8;
  half_t* const to_a = tiles[0] + t % 256 * kStride + t / 256 * 8;
  half_t* const to_b = tiles[0] + (kRowsA + t % 128) * kStride + t / 128 * 8;
  constexpr int kBuffer = (kRowsA + kRowsB) * kStride;

  hip::FragmentC acc[kSide][kSide] = {};
  Chunk next[3];
  const auto load = [&](int tile) {
    next[0] = *reinterpret_cast<const Chunk*>(from_a + tile * kDepth);
    next[1] = *reinterpret_cast<const Chunk*>(from_a + tile * kDepth + 16);
    next[2] = *reinterpret_cast<const Chunk*>(from_b + tile * kDepth);
  };
  const auto store = [&](int buffer) {
    for (int h = 0; h < 2; ++h) {
      *reinterpret_cast<uint64_t*>(to_a + buffer * kBuffer + 4 * h) = next[0].half[h];
      *reinterpret_cast<uint64_t*>(to_a + buffer * kBuffer + 16 + 4 * h) = next[1].half[h];
      *reinterpret_cast<uint64_t*>(to_b + buffer * kBuffer + 4 * h) = next[2].half[h];
    }
  };
  load(0);
  store(0);
  __syncthreads();
  for (int tile = 0; tile < n_tiles; ++tile) {
    const int following = tile + 1 < n_tiles ? tile + 1 : tile;
    if (kPrefetch) load(following);
    __builtin_amdgcn_sched_barrier(0);
    const half_t* const buffer = tiles[0] + (tile & 1) * kBuffer;
    GRETA_UNROLL
    for (int k = 0; k < kDepth; k += 16) {
      hip::FragmentA<half_t> fa[kSide];
      hip::FragmentB<half_t> fb[kSide];
      GRETA_UNROLL
      for (int i = 0; i < kSide; ++i) {
        fa[i] = __builtin_bit_cast(hip::FragmentA<half_t>,
                                   *reinterpret_cast<const uint64_t*>(buffer + (row_a + 16 * i) * kStride + k + k0));
        fb[i] = __builtin_bit_cast(hip::FragmentB<half_t>,
                                   *reinterpret_cast<const uint64_t*>(buffer + (row_b + 16 * i) * kStride + k + k0));
      }
      GRETA_UNROLL
      for (int i = 0; i < kSide; ++i) GRETA_UNROLL
      for (int j = 0; j < kSide; ++j) acc[i][j] = hip::mma_16x16x16(fa[i], fb[j], acc[i][j]);
    }
    __builtin_amdgcn_sched_barrier(0);
    if (!kPrefetch) load(following);
    store((tile + 1) & 1);
    __syncthreads();
  }
  GRETA_UNROLL
  for (int i = 0; i < kSide; ++i) GRETA_UNROLL
  for (int j = 0; j < kSide; ++j) {
    float* const to = c + (wave % 4 * 64 + 16 * i + lane / 16 * 4) * 128 + wave / 4 * 64 + 16 * j + lane % 16;
    GRETA_UNROLL
    for (int r = 0; r < 4; ++r) to[r * 128] = acc[i][j].v[r];
  }
}

template __global__ void loop<4, true>(const half_t*, const half_t*, float*, int);
template __global__ void loop<0, true>(const half_t*, const half_t*, float*, int);
template __global__ void loop<4, false>(const half_t*, const half_t*, float*, int);

}  // namespace
}  // namespace greta
