// SwiGLU + quantiser v1: eight values a thread; a block of 256 is 32 neighbouring lanes, one of 32 is four.
//   h = gate / (1 + exp(-gate)) * up rounded to its type;  d = amax / 127,  q = rint(h * (127 / amax)) a block
// Shapes    gate, up [n_rows, width] f16, bf16 or f32; blocks [n_rows, width / 256] Q8Act256 or [.., width / 32]
//           Q8Act32
// Needs     width a multiple of the block, so rows do not matter: the tensor is one run of blocks; gate, up on 16 bytes
// Numerics  arithmetic "swiglu_quantize_f32": the bits of swiglu and quantize_activations in sequence
// Placement 256 threads, 2048 values; no LDS, no barrier: the maximum and the sums of 16 go over lane distances 1 ..
//           16, which both waves have. Two (f32: four) loads of 16 bytes a thread in flight, 8 waves a SIMD.
// Replaces  two launches, which write and read h (4 bytes an element in 16 bits)
#include "kernels/hip/launch.hpp"
#include "kernels/swiglu_quantize/swiglu_quantize.hpp"
#include "kernels/tile/activation_quantiser.hpp"
#include "kernels/tile/extents.hpp"
#include "kernels/tile/pack.hpp"
#include "kernels/tile/silu.hpp"

namespace greta {
namespace {

constexpr int kThreads = 256;
constexpr int kValues = 8;  // of a thread

template <class T, class Block, ExpMode kExp>
__global__ GRETA_LAUNCH_BOUNDS(kThreads, 8) void swiglu_quantize_kernel(const T* gate, const T* up, Block* blocks,
                                                                        int64_t n) {
  constexpr int kPack = 16 / sizeof(T), kBlock = sizeof(Block) == sizeof(BlockQ8Act256) ? kSuperblock : kSmallBlock;
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kValues;
  const bool inside = first < n;  // the same for all lanes of a block
  float g[kValues] = {}, u[kValues] = {};
  if (inside) {
    GRETA_UNROLL
    for (int i = 0; i < kValues; i += kPack) {
      const Pack<float, kPack> gs = load_floats<kPack>(gate + first + i), us = load_floats<kPack>(up + first + i);
      GRETA_UNROLL
      for (int k = 0; k < kPack; ++k) g[i + k] = gs.v[k], u[i + k] = us.v[k];
    }
  }
  float h[kValues / 4][4];
  uint32_t largest = 0;
  GRETA_UNROLL
  for (int i = 0; i < kValues; ++i) {
    const float value = hip::to_float(hip::from_float<T>(silu_times<kExp>(g[i], u[i])));
    h[i / 4][i % 4] = value;
    largest = larger(largest, magnitude_bits(value));
  }
  const ActivationScale scale = activation_scale(lanes_max<kBlock / kValues>(largest));
  QuantisedWord words[kValues / 4];
  GRETA_UNROLL
  for (int i = 0; i < kValues / 4; ++i) words[i] = quantised_word(h[i], scale);
  const int sum = lanes_sum<2>(words[0].sum + words[1].sum);
  if (inside) {
    Block* const to = blocks + first / kBlock;
    const int at = static_cast<int>(first % kBlock);
    store_pack<2>(reinterpret_cast<uint32_t*>(to->qs + at), Pack<uint32_t, 2>{{words[0].bytes, words[1].bytes}});
    if constexpr (kBlock == kSuperblock) {
      if (at % 16 == 0) to->sums[at / 16] = static_cast<int16_t>(sum);
    }
    if (at == 0) store_scale(to, scale);
  }
}

template <class T, class Block>
void launch_as(hip::Stream& stream, const SwigluQuantizeProblem& p, const SwigluQuantizeArgs& args) {
  const auto gate = args.gate.as<const T>("swiglu_quantize: gate"), up = args.up.as<const T>("swiglu_quantize: up");
  require_aligned("swiglu_quantize v1: gate", gate.data(), 16);
  require_aligned("swiglu_quantize v1: up", up.data(), 16);
  const auto n = static_cast<size_t>(p.elements());
  with_exp_mode("swiglu_quantize", args.exp, [&](auto exp) {
    constexpr ExpMode kExp = decltype(exp)::value;
    hip::launch(
        stream,
        {concat("swiglu_quantize_v1<", dtype_name(p.dtype), ",", dtype_name(p.out), exp_mode_suffix(kExp), ">"),
         dim3(grid_extent("swiglu_quantize: workgroups", ceil_div(p.elements(), int64_t{kThreads} * kValues))),
         dim3(kThreads), 0, p.n_rows},
        &swiglu_quantize_kernel<T, Block, kExp>, hip::in("gate", gate, n), hip::in("up", up, n),
        hip::out("blocks", args.blocks.as<Block>("swiglu_quantize: blocks"), static_cast<size_t>(p.out_elements())),
        p.elements());
  });
}

}  // namespace

void swiglu_quantize_v1(hip::Stream& stream, const SwigluQuantizeProblem& p, const SwigluQuantizeArgs& args) {
  with_float_type("swiglu_quantize", p.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (p.out == DType::kQ8Act256) return launch_as<T, BlockQ8Act256>(stream, p, args);
    launch_as<T, BlockQ8Act32>(stream, p, args);
  });
}

}  // namespace greta
