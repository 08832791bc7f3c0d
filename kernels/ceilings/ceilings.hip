// Ceilings: copy, read, fma chains, int8 dot products.
// Needs     whole packs of 16 bytes
// Placement copy and read: a workgroup of 256 threads takes 16 KiB, four packs a thread in flight; compute: 8
//           workgroups of 256 threads a compute unit, 64 (fma) or 16 (dot) chains a thread, so that latency is hidden
#include "kernels/ceilings/ceilings.hpp"

#include "kernels/hip/host_device.hpp"
#include "kernels/hip/launch.hpp"
#include "kernels/tile/extents.hpp"
#include "kernels/tile/pack.hpp"

namespace greta {
namespace {

constexpr int kThreads = 256;
constexpr int kPacks = 4;  // of a thread

template <bool kWrite>
__global__ GRETA_LAUNCH_BOUNDS(kThreads, 8) void move_kernel(const float* from, float* to, int64_t n_packs) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kThreads * kPacks + threadIdx.x;
  Pack<float, 4> packs[kPacks];
  GRETA_UNROLL
  for (int i = 0; i < kPacks; ++i) {
    const int64_t at = first + i * kThreads;
    packs[i] = load_pack<4>(from + 4 * (at < n_packs ? at : n_packs - 1));
  }
  if constexpr (kWrite) {
    GRETA_UNROLL
    for (int i = 0; i < kPacks; ++i) {
      const int64_t at = first + i * kThreads;
      if (at < n_packs) store_pack<4>(to + 4 * at, packs[i]);
    }
  } else {
    uint32_t all = 0;
    GRETA_UNROLL
    for (int i = 0; i < kPacks; ++i)
      for (int k = 0; k < 4; ++k) all ^= hip::float_bits(packs[i].v[k]);
    if (all == 0x7fa51234u) to[0] = 1.0f;  // as good as never
  }
}

constexpr int kFmaChains = 64;

__global__ GRETA_LAUNCH_BOUNDS(kThreads, 4) void fma_kernel(float* sink, int rounds, float a, float b) {
  float v[kFmaChains];
  GRETA_UNROLL
  for (int i = 0; i < kFmaChains; ++i) v[i] = static_cast<float>(i) + static_cast<float>(threadIdx.x);
  for (int r = 0; r < rounds; ++r) {
    GRETA_UNROLL
    for (int i = 0; i < kFmaChains; ++i) v[i] = fmaf(v[i], a, b);
  }
  float sum = 0.0f;
  GRETA_UNROLL
  for (int i = 0; i < kFmaChains; ++i) sum += v[i];
  if (sum == 0x1.234566p-90f) sink[0] = sum;
}

constexpr int kSide = 4, kSums = kSide * kSide;

/// kReload: operands come from LDS in every round, as on host, whose compiler would else take the products out of the
/// loop. On a GPU the instruction is opaque to the compiler, and LDS reads would be the limit.
template <bool kReload>
__global__ GRETA_LAUNCH_BOUNDS(kThreads, 4) void dot_kernel(float* sink, int rounds) {
  GRETA_LDS(Words4, operands, [2 * kSide][2]);
  for (int i = static_cast<int>(threadIdx.x); i < 4 * kSide; i += kThreads)
    for (int k = 0; k < 4; ++k) operands[i / 2][i % 2].v[k] = 0x01ff0302u * static_cast<uint32_t>(i + k + 1);
  __syncthreads();
  Words4 a[kSide], b[kSide];
  GRETA_UNROLL
  for (int i = 0; i < kSide; ++i) a[i] = operands[i][0], b[i] = operands[kSide + i][0];
  int sums[kSums] = {};
  for (int r = 0; r < rounds; ++r) {
    if constexpr (kReload)
      for (int i = 0; i < kSide; ++i) a[i] = operands[i][r & 1], b[i] = operands[kSide + i][r & 1];
    GRETA_UNROLL
    for (int s = 0; s < kSums; ++s) sums[s] = dot16_i8(a[s / kSide], b[s % kSide], sums[s]);
  }
  int all = 0;
  GRETA_UNROLL
  for (int s = 0; s < kSums; ++s) all ^= sums[s] * (s + 1);
  if (all == 0x7fffabcd) sink[0] = 1.0f;
}

constexpr int kMatrixSide = 4, kMatrixSums = kMatrixSide * kMatrixSide;

/// Sixteen independent tiles a wave. The operands are small numbers, so that sums stay finite.
__global__ GRETA_LAUNCH_BOUNDS(kThreads, 2) void matrix_kernel(float* sink, int rounds) {
  hip::FragmentA<bf16_t> a[kMatrixSide];
  hip::FragmentB<bf16_t> b[kMatrixSide];
  hip::FragmentC c[kMatrixSums] = {};
  GRETA_UNROLL
  for (int s = 0; s < kMatrixSide; ++s) {
    GRETA_UNROLL
    for (int i = 0; i < hip::kFragmentCapacity; ++i) {
      a[s].v[i] = hip::from_float<bf16_t>(static_cast<float>(hip::lane_id() % 7 - 3 + s + i) * 0.01f);
      b[s].v[i] = hip::from_float<bf16_t>(static_cast<float>(hip::lane_id() % 5 - 2 + s - i) * 0.01f);
    }
  }
  for (int r = 0; r < rounds; ++r) {
    GRETA_UNROLL
    for (int s = 0; s < kMatrixSums; ++s) c[s] = hip::mma_16x16x16(a[s / kMatrixSide], b[s % kMatrixSide], c[s]);
  }
  float sum = 0.0f;
  GRETA_UNROLL
  for (int s = 0; s < kMatrixSums; ++s) {
    // Every element: half of a tile that nobody reads may not be computed.
    for (int i = 0; i < hip::tile_elements(hip::wave_size()); ++i) sum += c[s].v[i];
  }
  if (sum == 0x1.234566p-90f) sink[0] = sum;
}

/// kSums tiles whose operands are the same four each of A and B, which stay in registers. The two sets of B take turns,
/// so that no round is a repetition of the one before.
__global__ GRETA_LAUNCH_BOUNDS(kThreads, 2) void i8_matrix_kernel(float* sink, int rounds) {
  hip::FragmentA8 a[kSide];
  hip::FragmentB8 b[kSide];
  GRETA_UNROLL
  for (int i = 0; i < kSide; ++i) GRETA_UNROLL
  for (int k = 0; k < 2 * hip::kFragmentCapacity; ++k) {
    a[i].v[k] = static_cast<int8_t>(threadIdx.x * 7 + static_cast<unsigned>(3 * i + k));
    b[i].v[k] = static_cast<int8_t>(threadIdx.x * 5 + static_cast<unsigned>(11 * i + 3 * k));
  }
  hip::FragmentC8 sums[kSums] = {};
  for (int r = 0; r < rounds; ++r) {
    GRETA_UNROLL
    for (int s = 0; s < kSums; ++s) sums[s] = hip::mma_16x16x32(a[s / kSide], b[s % kSide], sums[s]);
  }
  int all = 0;
  GRETA_UNROLL
  for (int s = 0; s < kSums; ++s)
    for (int i = 0; i < hip::tile_elements(hip::wave_size()); ++i) all ^= sums[s].v[i] * (s + 1);
  if (all == 0x7fffabcd) sink[0] = 1.0f;
}

void check_packs(const char* what, const void* address, size_t count) {
  require_aligned(what, address, 16);
  if (count == 0 || count % 4) throw_invalid(concat(what, " must have a positive multiple of 4 elements, got ", count));
}

}  // namespace

void ceiling_copy(hip::Stream& stream, hip::DeviceView<const float> from, hip::DeviceView<float> to) {
  check_packs("ceiling_copy: from", from.data(), from.count());
  check_packs("ceiling_copy: to", to.data(), to.count());
  const int64_t n_packs = static_cast<int64_t>(from.count()) / 4;
  hip::launch(stream,
              {"ceiling_copy", dim3(grid_extent("ceiling_copy: workgroups", ceil_div(n_packs, kThreads * kPacks))),
               dim3(kThreads)},
              &move_kernel<true>, hip::in("from", from, from.count()), hip::out("to", to, from.count()), n_packs);
}

void ceiling_read(hip::Stream& stream, hip::DeviceView<const float> from, hip::DeviceView<float> sink) {
  check_packs("ceiling_read: from", from.data(), from.count());
  const int64_t n_packs = static_cast<int64_t>(from.count()) / 4;
  hip::launch(stream,
              {"ceiling_read", dim3(grid_extent("ceiling_read: workgroups", ceil_div(n_packs, kThreads * kPacks))),
               dim3(kThreads)},
              &move_kernel<false>, hip::in("from", from, from.count()), hip::out("sink", sink, 1), n_packs);
}

const char* compute_name(Compute compute) {
  switch (compute) {
    case Compute::kF32:
      return "f32 fma";
    case Compute::kI8:
      return "i8 dot";
    case Compute::kI8Matrix:
      return "i8 matrix";
    case Compute::kMatrix:
      return "bf16 matrix";
  }
  return "unknown";
}

double ceiling_compute(hip::Stream& stream, Compute compute, int rounds, hip::DeviceView<float> sink) {
  const auto groups = static_cast<unsigned>(8 * std::max(1, hip::device_info().compute_units));
  const double threads = static_cast<double>(groups) * kThreads;
  if (compute == Compute::kF32) {
    hip::launch(stream, {"ceiling_fma", dim3(groups), dim3(kThreads)}, &fma_kernel, hip::out("sink", sink, 1), rounds,
                0.999f, 0.001f);
    return threads * rounds * kFmaChains * 2;
  }
  if (compute == Compute::kI8Matrix) {
    hip::launch(stream, {"ceiling_matrix_i8", dim3(groups), dim3(kThreads)}, &i8_matrix_kernel,
                hip::out("sink", sink, 1), rounds);
    return threads / hip::device_info().wave_size * rounds * kSums * 2 * hip::kTile * hip::kTile * hip::kTileDepth8;
  }
  const bool host = hip::platform_name() == "host";
  if (compute == Compute::kMatrix) {
    const unsigned workgroups = host ? 1 : groups;  // the model of the host is a thousand times slower than its units
    hip::launch(stream, {"ceiling_matrix", dim3(workgroups), dim3(kThreads)}, &matrix_kernel, hip::out("sink", sink, 1),
                rounds);
    const double waves = static_cast<double>(workgroups) * kThreads / hip::device_info().wave_size;
    return waves * rounds * kMatrixSums * 2 * 16 * 16 * 16;
  }
  hip::launch(stream, {"ceiling_dot", dim3(groups), dim3(kThreads)}, host ? &dot_kernel<true> : &dot_kernel<false>,
              hip::out("sink", sink, 1), rounds);
  return threads * rounds * kSums * 32;
}

}  // namespace greta
