// Quantised GEMM v4 with a free number of splits: what one order of summing costs v4. Not a rung.
//   Y[i,r] = sum_s sum_(c in split s) X[i,c] W[r,c]
// Shapes    as v4 (gemm_v4.hip), one matrix, Y [m, n_out] f32
// Needs     as v4; y is written by a kernel of zeros first, unless there is one split
// Numerics  within a split v4's chain over its superblocks from 0; splits are added to Y by atomics in the order in
//           which they arrive, within v4's bound for the reasons that gemm_v2_free.hip gives
// Placement v4's workgroup; on sm_90a for more than 32 tokens one of 64 weight rows, which reads X half as often: that
//           leaves half as many workgroups, for which splits make up.
#include "kernels/quant_matmul/free_splits.hpp"
#include "kernels/quant_matmul/streamed_gemm.hpp"

namespace greta {
namespace {

using namespace streamed;

template <class T>
__global__ GRETA_LAUNCH_BOUNDS(T::kThreads,
                               (T::kWaves + 3) / 4) void free_streamed_kernel(const typename T::Block* weights,
                                                                              const BlockQ8Act256* x, float* y, int m,
                                                                              int n_out, int n_blocks, int splits) {
  GRETA_DYNAMIC_LDS(int8_t, lds);
  const auto [tile, first, end] = free_splits::share_of_workgroup(n_blocks, splits);
  const int64_t row0 = static_cast<int64_t>(tile) * T::kRows;
  const Extent<T> extent(weights, n_out, x, m, n_blocks, row0, first, end - first);
  multiply_tile<T>(lds, extent, [&](int token, int row, float sum) {
    free_splits::add(y + static_cast<int64_t>(token) * n_out + row0 + row, sum, splits);
  });
}

template <class T>
void launch_tile(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args, int64_t splits) {
  const int n_blocks = row_blocks<T>(p.n_in);
  const int64_t tiles = ceil_div(p.n_out, T::kRows);
  // One workgroup on a CU, also where LDS has room for two: they are no faster than one after the other.
  splits = free_splits::splits_of(splits, tiles, n_blocks, 1);
  free_splits::launch<T, BlockQ8Act256>(stream, "gemm_v4_free", &free_streamed_kernel<T>, p, args, n_blocks, tiles,
                                        splits);
}

template <class Block>
void launch(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args, int64_t splits) {
  if (p.m <= 16) return launch_tile<Tile<Block, 1>>(stream, p, args, splits);
  if (p.m <= 32) return launch_tile<Tile<Block, 2>>(stream, p, args, splits);
  launch_tile<Tile<Block, 4, kWideRowTiles>>(stream, p, args, splits);
}

}  // namespace

void gemm_v4_free(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args, int64_t splits) {
  if (p.m > 64) throw_invalid(concat("gemm_v4_free: m must be at most 64, got ", p.m));
  if (p.weights == DType::kQ4K) return launch<BlockQ4K>(stream, p, args, splits);
  if (p.weights == DType::kQ6K) return launch<BlockQ6K>(stream, p, args, splits);
  throw_invalid(concat("gemm_v4_free: weights must be q4_k or q6_k, got ", dtype_name(p.weights)));
}

}  // namespace greta
