// Quantised GEMM v2 with a free number of splits: what one order of summing costs v2. Not a rung.
//   Y[i,r] = sum_s sum_(c in split s) X[i,c] W[r,c]
// Shapes    as v2 (gemm_v2.hip), one matrix, Y [m, n_out] f32
// Needs     as v2; y is written by a kernel of zeros first, unless there is one split
// Numerics  within a split v2's chain over its superblocks from 0; splits are added to Y by atomics in the order in
//           which they arrive. An output has ceil(n / s) links of a split's chain and s - 1 rounded additions (the
//           first is to 0) where v2 has n links, and ceil(n / s) + s - 1 <= n for 1 <= s <= n: v2's bound holds.
//           (Atomics of sm_90a flush subnormal sums: the bound does not hold for outputs below 2^-126.)
// Placement tiles as v2 chooses them; workgroups of one split side by side, so that a tile's additions are far apart.
// From v2   a tile's superblocks dealt out to several workgroups.
#include "kernels/quant_matmul/gemm_variants.hpp"
#include "kernels/quant_matmul/int8_gemm.hpp"

namespace greta {
namespace {

constexpr int kZeroThreads = 256;

__global__ GRETA_LAUNCH_BOUNDS(kZeroThreads, 8) void zero_kernel(float* y, int64_t n) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += stride) y[i] = 0.0f;
}

template <class T>
__global__ GRETA_LAUNCH_BOUNDS(T::kThreads,
                               T::kWavesPerSimd) void free_gemm_kernel(const typename T::Block* weights,
                                                                       const typename T::Piece::Activation* x, float* y,
                                                                       int m, int n_out, int n_blocks, int token_tiles,
                                                                       int splits) {
  GRETA_DYNAMIC_LDS(int8_t, lds);
  const int tiles = static_cast<int>(gridDim.x) / splits;
  const int tile = static_cast<int>(blockIdx.x) % tiles, split = static_cast<int>(blockIdx.x) / tiles;
  const int64_t n_super = T::superblocks(n_blocks);
  const int first = static_cast<int>(n_super * split / splits), end = static_cast<int>(n_super * (split + 1) / splits);
  int8_gemm::multiply_tile<T>(
      lds, weights, n_out, x, m, n_blocks, static_cast<int64_t>(tile % token_tiles) * T::kTokens,
      static_cast<int64_t>(tile / token_tiles) * T::kRows, first, end, [&](int64_t token, int64_t row, float sum) {
        float* const at = y + token * n_out + row;
        if (splits == 1)
          *at = sum;
        else
          hip::atomic_add(at, sum);
      });
}

template <class T>
void launch_free(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args, int64_t splits) {
  using Piece = typename T::Piece;
  const auto weights = args.weights.as<const typename T::Block>("quant_matmul: weights");
  require_aligned("quant_matmul: weights", weights.data(), Piece::kAlign);
  const auto x = args.x.as<const typename Piece::Activation>("quant_matmul: x");
  const auto y = args.y.as<float>("quant_matmul: y");
  const auto outputs = static_cast<size_t>(p.m * p.n_out);
  const int n_blocks = int8_gemm::row_blocks<T>(p.n_in);
  const int64_t token_tiles = ceil_div(p.m, T::kTokens), tiles = token_tiles * ceil_div(p.n_out, T::kRows);
  const int64_t n_super = T::superblocks(n_blocks);
  if (splits == 0) splits = gemm_v2_free_splits(tiles, n_super, hip::device_info().compute_units * T::kWorkgroups);
  splits = std::min(splits, n_super);
  if (splits > 1)
    hip::launch(stream,
                {"gemm_v2_free_zeros", dim3(looping_grid(ceil_div(p.m * p.n_out, kZeroThreads), 8)), dim3(kZeroThreads),
                 0, p.m},
                &zero_kernel, hip::out("y", y, outputs), static_cast<int64_t>(outputs));
  hip::launch(stream,
              {concat("gemm_v2_free<", dtype_name(p.weights), ",", T::kTokens, "x", T::kRows, ">"),
               dim3(grid_extent("quant_matmul: workgroups", tiles * splits)),
               dim3(static_cast<unsigned>(T::kWaves * hip::device_info().wave_size)), T::kLds, p.m},
              &free_gemm_kernel<T>, hip::in("weights", weights, static_cast<size_t>(p.weight_elements())),
              hip::in("x", x, static_cast<size_t>(p.m * p.activation_blocks_per_row())),
              splits > 1 ? hip::inout("y", y, outputs) : hip::out("y", y, outputs), int_extent("quant_matmul: m", p.m),
              int_extent("quant_matmul: n_out", p.n_out), n_blocks, int_extent("quant_matmul: m", token_tiles),
              static_cast<int>(splits));
}

template <class Block>
void launch_tiles(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args, int64_t splits) {
  if (p.m <= 16) return launch_free<Tile<Block, 1, 1, 1, 4>>(stream, p, args, splits);
  if (p.m <= 64) return launch_free<Tile<Block, 4, 1, 1, 4>>(stream, p, args, splits);
  launch_free<LargeTile<Block>>(stream, p, args, splits);
}

}  // namespace

int64_t gemm_v2_free_splits(int64_t tiles, int64_t superblocks, int64_t workgroups) {
  constexpr int64_t kBeginAndEnd = 2;  // superblocks' worth of time
  int64_t best = 1, least = 0;
  for (int64_t s = 1; s <= superblocks; ++s) {
    const int64_t time = ceil_div(tiles * s, workgroups) * (ceil_div(superblocks, s) + kBeginAndEnd);
    if (s == 1 || time < least) best = s, least = time;
  }
  return best;
}

void gemm_v2_free(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args, int64_t splits) {
  if (splits < 0) throw_invalid(concat("gemm_v2_free: splits must be at least 0, got ", splits));
  if (p.weights == DType::kQ4K) return launch_tiles<BlockQ4K>(stream, p, args, splits);
  if (p.weights == DType::kQ6K) return launch_tiles<BlockQ6K>(stream, p, args, splits);
  launch_tiles<BlockQ8_0>(stream, p, args, splits);
}

}  // namespace greta
