// Quantised GEMM v2 with a free number of splits: what one order of summing costs v2. Not a rung.
//   Y[i,r] = sum_s sum_(c in split s) X[i,c] W[r,c]
// Shapes    as v2 (gemm_v2.hip), one matrix, Y [m, n_out] f32
// Needs     as v2; y is written by a kernel of zeros first, unless there is one split
// Numerics  within a split v2's chain over its superblocks from 0; splits are added to Y by atomics in the order in
//           which they arrive. An output has ceil(n / s) links of a split's chain and s - 1 rounded additions (the
//           first is to 0) where v2 has n links, and ceil(n / s) + s - 1 <= n for 1 <= s <= n: v2's bound holds.
//           (Atomics of sm_90a flush subnormal sums: the bound does not hold for outputs below 2^-126.)
// Placement tiles as v2 chooses them.
// From v2   a tile's superblocks dealt out to several workgroups.
#include "kernels/quant_matmul/free_splits.hpp"
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
                                                                       int m, int n_out, int n_blocks, int splits) {
  GRETA_DYNAMIC_LDS(int8_t, lds);
  const auto [tile, first, end] = free_splits::share_of_workgroup(T::superblocks(n_blocks), splits);
  const int token_tiles = (m + T::kTokens - 1) / T::kTokens;
  int8_gemm::multiply_tile<T>(
      lds, weights, n_out, x, m, n_blocks, static_cast<int64_t>(tile % token_tiles) * T::kTokens,
      static_cast<int64_t>(tile / token_tiles) * T::kRows, first, end,
      [&](int64_t token, int64_t row, float sum) { free_splits::add(y + token * n_out + row, sum, splits); });
}

template <class T>
void launch_free(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args, int64_t splits) {
  const int n_blocks = int8_gemm::row_blocks<T>(p.n_in);
  const int64_t tiles = ceil_div(p.m, T::kTokens) * ceil_div(p.n_out, T::kRows);
  splits = free_splits::splits_of(splits, tiles, T::superblocks(n_blocks), T::kWorkgroups);
  free_splits::launch<T, typename T::Piece::Activation>(stream, "gemm_v2_free", &free_gemm_kernel<T>, p, args, n_blocks,
                                                        tiles, splits);
}

template <class Block>
void launch_tiles(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args, int64_t splits) {
  if (p.m <= 16) return launch_free<Tile<Block, 1, 1, 1, 4>>(stream, p, args, splits);
  if (p.m <= 64) return launch_free<Tile<Block, 4, 1, 1, 4>>(stream, p, args, splits);
  launch_free<LargeTile<Block>>(stream, p, args, splits);
}

}  // namespace

void free_splits::zero_outputs(hip::Stream& stream, const QuantMatmulProblem& p, hip::AnyView y) {
  const auto outputs = static_cast<size_t>(p.m * p.n_out);
  hip::launch(
      stream,
      {"gemm_free_zeros", dim3(looping_grid(ceil_div(p.m * p.n_out, kZeroThreads), 8)), dim3(kZeroThreads), 0, p.m},
      &zero_kernel, hip::out("y", y.as<float>("quant_matmul: y"), outputs), static_cast<int64_t>(outputs));
}

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
  if (p.weights == DType::kQ4K) return launch_tiles<BlockQ4K>(stream, p, args, splits);
  if (p.weights == DType::kQ6K) return launch_tiles<BlockQ6K>(stream, p, args, splits);
  launch_tiles<BlockQ8_0>(stream, p, args, splits);
}

}  // namespace greta
