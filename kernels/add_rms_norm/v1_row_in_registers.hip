// Residual add + RMSNorm + quantiser v1: a row is read once, and only what others need is written.
//   x += addend;  y = x * w / sqrt(mean(x^2) + eps);  out = y or the 8-bit blocks of y
// Shapes    x, addend [n_rows, width] f32, w [width] f32; out [n_rows, width] f16, bf16, f32 or
//           [n_rows, width / 256] Q8Act256, [n_rows, width / 32] Q8Act32
// Needs     width a multiple of 4 (of the block) and at most 8192; x, addend and weight on 16 bytes
// Numerics  arithmetic "add_rms_norm_f32": the bits of residual_add, rms_norm and quantize_activations in sequence; y
//           is rounded to its type before it is quantised
// Placement workgroup of 256 threads = row; 16 or 32 values a thread in registers. A block of 256 values lies with 64
//           neighbouring threads: its maximum is a wave's (wave 64) or that of two waves through LDS (wave 32); a block
//           of 32 values with 8 lanes. LDS at most 288 bytes, three barriers.
// Replaces  three launches, which move 4 (norm: x) + 4 (y written and read, 16 bit) bytes an element more
#include "kernels/add_rms_norm/add_rms_norm.hpp"
#include "kernels/hip/launch.hpp"
#include "kernels/tile/activation_quantiser.hpp"
#include "kernels/tile/extents.hpp"
#include "kernels/tile/row_norm.hpp"

namespace greta {
namespace {

constexpr int kWaves = kBlock256 / 32;  // at most, on waves of 32

/// Blocks of 256 values: wave maxima of every step through LDS, then each thread its own four values.
template <int kSteps>
__device__ __forceinline__ void store_blocks(const RowPiece<kSteps>& y, int width, BlockQ8Act256* blocks,
                                             uint32_t (&maxima)[kSteps][kWaves]) {
  const int t = static_cast<int>(threadIdx.x), group = t / kLogicalWave;
  GRETA_UNROLL
  for (int s = 0; s < kSteps; ++s) {
    if (s * kRowStep >= width) continue;  // the same for the whole workgroup
    uint32_t largest = 0;
    GRETA_UNROLL
    for (int i = 0; i < kRowColumns; ++i) largest = larger(largest, magnitude_bits(y.v[s][i]));
    largest = hip::wave_max(largest);
    if (hip::lane_id() == 0) maxima[s][hip::wave_id()] = largest;
  }
  __syncthreads();
  GRETA_UNROLL
  for (int s = 0; s < kSteps; ++s) {
    if (s * kRowStep >= width) continue;
    const int c = s * kRowStep + t * kRowColumns;
    const uint32_t largest =
        hip::wave_size() == kLogicalWave ? maxima[s][group] : larger(maxima[s][2 * group], maxima[s][2 * group + 1]);
    const ActivationScale scale = activation_scale(largest);
    const QuantisedWord word = quantised_word(y.v[s], scale);
    const int sum = lanes_sum<4>(word.sum);
    if (c < width) {
      BlockQ8Act256* const to = blocks + c / kSuperblock;
      const int at = c % kSuperblock;
      *reinterpret_cast<uint32_t*>(to->qs + at) = word.bytes;
      if (at % 16 == 0) to->sums[at / 16] = static_cast<int16_t>(sum);
      if (at == 0) store_scale(to, scale);
    }
  }
}

template <int kSteps>
__device__ __forceinline__ void store_blocks(const RowPiece<kSteps>& y, int width, BlockQ8Act32* blocks,
                                             uint32_t (&)[kSteps][kWaves]) {
  GRETA_UNROLL
  for (int s = 0; s < kSteps; ++s) {
    if (s * kRowStep >= width) continue;
    const int c = s * kRowStep + static_cast<int>(threadIdx.x) * kRowColumns;
    uint32_t largest = 0;
    GRETA_UNROLL
    for (int i = 0; i < kRowColumns; ++i) largest = larger(largest, magnitude_bits(y.v[s][i]));
    const ActivationScale scale = activation_scale(lanes_max<kSmallBlock / kRowColumns>(largest));
    const QuantisedWord word = quantised_word(y.v[s], scale);
    if (c < width) {
      BlockQ8Act32* const to = blocks + c / kSmallBlock;
      *reinterpret_cast<uint32_t*>(to->qs + c % kSmallBlock) = word.bytes;
      if (c % kSmallBlock == 0) store_scale(to, scale);
    }
  }
}

template <class Y, class Out, int kSteps>
__global__ GRETA_LAUNCH_BOUNDS(kBlock256, 4) void add_rms_norm_kernel(float* x, const float* addend,
                                                                      const float* weight, Out* out, int width,
                                                                      float eps) {
  GRETA_LDS(float, partials, [kBlock256Partials]);
  constexpr bool kBlocks = !std::is_same_v<Y, Out>;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * width;
  const int first = static_cast<int>(threadIdx.x) * kRowColumns;
  RowPiece<kSteps> piece = load_row<kSteps>(x + row, width);
  if (addend) {
    const RowPiece<kSteps> added = load_row<kSteps>(addend + row, width);
    GRETA_UNROLL
    for (int s = 0; s < kSteps; ++s) {
      Pack<float, kRowColumns> sum;
      GRETA_UNROLL
      for (int i = 0; i < kRowColumns; ++i) sum.v[i] = piece.v[s][i] = piece.v[s][i] + added.v[s][i];
      if (s * kRowStep + first < width) store_pack<kRowColumns>(x + row + s * kRowStep + first, sum);
    }
  }
  const RowPiece<kSteps> w = load_row<kSteps>(weight, width);
  const float r = reciprocal_rms(piece, width, eps, partials);
  out += row / (kBlocks ? static_cast<int>(sizeof(Out) == sizeof(BlockQ8Act256) ? kSuperblock : kSmallBlock) : 1);
  GRETA_UNROLL
  for (int s = 0; s < kSteps; ++s) {
    Pack<float, kRowColumns> y;
    GRETA_UNROLL
    for (int i = 0; i < kRowColumns; ++i) y.v[i] = (piece.v[s][i] * r) * w.v[s][i];
    if constexpr (kBlocks) {
      GRETA_UNROLL
      for (int i = 0; i < kRowColumns; ++i) piece.v[s][i] = hip::to_float(hip::from_float<Y>(y.v[i]));
    } else if (s * kRowStep + first < width) {
      store_floats<kRowColumns>(out + s * kRowStep + first, y);
    }
  }
  if constexpr (kBlocks) {
    GRETA_LDS(uint32_t, maxima, [kSteps][kWaves]);
    store_blocks(piece, width, out, maxima);
  }
}

template <class Y, class Out>
void launch_as(hip::Stream& stream, const AddRmsNormProblem& p, const AddRmsNormArgs& args) {
  const auto out = args.out.as<Out>("add_rms_norm: out");
  if constexpr (std::is_same_v<Y, Out>) require_aligned("add_rms_norm v1: out", out.data(), kRowColumns * sizeof(Y));
  const auto n = static_cast<size_t>(p.elements());
  const auto addend = p.add ? args.addend : hip::DeviceView<const float>();
  with_row_steps(p.width, [&](auto steps) {
    hip::launch(stream,
                {concat("add_rms_norm_v1<", dtype_name(p.y), ",", dtype_name(p.out), ",", steps.value * kRowStep,
                        p.add ? ",add>" : ">"),
                 dim3(grid_extent("add_rms_norm: n_rows", p.n_rows)), dim3(kBlock256), 0, p.n_rows},
                &add_rms_norm_kernel<Y, Out, steps.value>, hip::inout("x", args.x, n),
                hip::in("addend", addend, p.add ? n : 0), hip::in("weight", args.weight, static_cast<size_t>(p.width)),
                hip::out("out", out, static_cast<size_t>(p.out_elements())), int_extent("add_rms_norm: width", p.width),
                p.eps);
  });
}

}  // namespace

void add_rms_norm_v1(hip::Stream& stream, const AddRmsNormProblem& p, const AddRmsNormArgs& args) {
  require_aligned("add_rms_norm v1: x", args.x.data(), 16);
  if (p.add) require_aligned("add_rms_norm v1: addend", args.addend.data(), 16);
  require_aligned("add_rms_norm v1: weight", args.weight.data(), 16);
  with_float_type("add_rms_norm: y", p.y, [&](auto tag) {
    using Y = typename decltype(tag)::type;
    if (p.out == DType::kQ8Act256) return launch_as<Y, BlockQ8Act256>(stream, p, args);
    if (p.out == DType::kQ8Act32) return launch_as<Y, BlockQ8Act32>(stream, p, args);
    launch_as<Y, Y>(stream, p, args);
  });
}

}  // namespace greta
