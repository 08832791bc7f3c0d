// Activation quantiser v1: 16 values a thread, 16 threads (Q8Act256) or 2 (Q8Act32) a block.
//   d = amax / 127,  q_i = rint(x_i * (127 / amax)),  amax = max_i |x_i|
// Shapes    x [m, n_in] f16, bf16 or f32; blocks [m, n_in / 256] Q8Act256 or [m, n_in / 32] Q8Act32
// Needs     n_in a multiple of the block, so rows do not matter: x is one run of blocks. 16-byte loads when x is
//           aligned
// Numerics  exactly quant_blocks.hpp: amax over bit patterns, IEEE divisions, one rounded product, rint; amax = 0 or so
//           small that 127 / amax overflows gives zeros; NaN or infinity gives d = NaN
// Placement 256 threads = 16 or 128 blocks at a time, looping over the rest; LDS 2 KiB (two buffers, one barrier a
//           round)
#include "kernels/hip/launch.hpp"
#include "kernels/quant_matmul/quant_matmul.hpp"
#include "kernels/tile/extents.hpp"
#include "kernels/tile/quantize_run.hpp"

namespace greta {
namespace {

constexpr int kThreads = 256;
constexpr int kRun = kQuantizedRun;

template <class Block>
struct Shape;
template <>
struct Shape<BlockQ8Act256> {
  static constexpr int kLanes = kSuperblock / kRun;
};
template <>
struct Shape<BlockQ8Act32> {
  static constexpr int kLanes = kSmallBlock / kRun;
};

template <class T, class Block, bool kPacks>
__global__ GRETA_LAUNCH_BOUNDS(kThreads, 4) void quantize_kernel(const T* x, Block* blocks, int64_t n_blocks) {
  constexpr int kLanes = Shape<Block>::kLanes, kPerRound = kThreads / kLanes;
  constexpr int kPack = 16 / sizeof(T);
  GRETA_LDS(uint32_t, maxima, [2][kThreads]);
  const int t = static_cast<int>(threadIdx.x), lane = t % kLanes;
  int buffer = 0;
  for (int64_t round = blockIdx.x; round * kPerRound < n_blocks; round += gridDim.x, buffer ^= 1) {
    const int64_t block = round * kPerRound + t / kLanes;
    const bool inside = block < n_blocks;
    const T* from = x + (inside ? block : 0) * (kLanes * kRun) + lane * kRun;
    float v[kRun];
    if constexpr (kPacks) {
      for (int i = 0; i < kRun; i += kPack) {
        const Pack<float, kPack> p = load_floats<kPack>(from + i);
        for (int k = 0; k < kPack; ++k) v[i + k] = p.v[k];
      }
    } else {
      for (int i = 0; i < kRun; ++i) v[i] = hip::to_float(from[i]);
    }
    uint32_t amax_bits = largest_magnitude(v);
    maxima[buffer][t] = amax_bits;
    __syncthreads();
    for (int i = 0; i < kLanes; ++i) {
      const uint32_t bits = maxima[buffer][t - lane + i];
      amax_bits = bits > amax_bits ? bits : amax_bits;
    }

    if (inside) store_quantized(blocks + block, lane, v, activation_scale(amax_bits));
  }
}

template <class Block>
void launch_quantize(hip::Stream& stream, const QuantMatmulProblem& p, hip::AnyView x, hip::AnyView blocks) {
  constexpr int kPerRound = kThreads / Shape<Block>::kLanes;
  const auto to = blocks.as<Block>("quantize_activations: blocks");
  const int64_t n_blocks = p.m * p.activation_blocks_per_row();
  with_float_type("quantize_activations: x", p.x, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto from = x.as<const T>("quantize_activations: x");
    const bool packs = packs_fit({from.data()}, 0, 1);
    hip::launch(stream,
                {concat("quantize_v1<", dtype_name(p.x), ",", dtype_name(p.activation_blocks()),
                        packs ? "" : ",elementwise", ">"),
                 dim3(looping_grid(ceil_div(n_blocks, kPerRound), 8)), dim3(kThreads), 0, p.m},
                packs ? &quantize_kernel<T, Block, true> : &quantize_kernel<T, Block, false>,
                hip::in("x", from, static_cast<size_t>(p.m * p.n_in)),
                hip::out("blocks", to, static_cast<size_t>(n_blocks)), n_blocks);
  });
}

}  // namespace

void quantize_activations(hip::Stream& stream, const QuantMatmulProblem& p, hip::AnyView x, hip::AnyView blocks) {
  validate(p);
  if (!p.quantised())
    throw_invalid(concat("quantize_activations: ", dtype_name(p.weights),
                         " weights take X as it is; only q4_k, q6_k and q8_0 need blocks"));
  if (p.activation_blocks() == DType::kQ8Act256)
    launch_quantize<BlockQ8Act256>(stream, p, x, blocks);
  else
    launch_quantize<BlockQ8Act32>(stream, p, x, blocks);
}

}  // namespace greta
