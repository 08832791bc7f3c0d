// What the free variants of quantised GEMM (gemm_variants.hpp) have in common: a tile's superblocks dealt out to
// splits, which add their sums to Y as they come. For .hip files of this operator.
#pragma once

#include <algorithm>
#include <string>

#include "kernels/hip/hip.hpp"
#include "kernels/hip/launch.hpp"
#include "kernels/quant_matmul/gemm_variants.hpp"
#include "kernels/tile/extents.hpp"

namespace greta::free_splits {

/// A workgroup's tile, and its split's superblocks [first, end).
struct Share {
  int tile, first, end;
};
/// Workgroups of one split side by side, so that a tile's additions are far apart.
__device__ __forceinline__ Share share_of_workgroup(int superblocks, int splits) {
  const int tiles = static_cast<int>(gridDim.x) / splits, split = static_cast<int>(blockIdx.x) / tiles;
  const int64_t n = superblocks;
  return {static_cast<int>(blockIdx.x) % tiles, static_cast<int>(n * split / splits),
          static_cast<int>(n * (split + 1) / splits)};
}

/// A split's sum to its output: that of the only split is the output.
__device__ __forceinline__ void add(float* output, float sum, int splits) {
  if (splits == 1)
    *output = sum;
  else
    hip::atomic_add(output, sum);
}

/// +0 to all of y [m, n_out] (gemm_v2_free.hip).
void zero_outputs(hip::Stream& stream, const QuantMatmulProblem& problem, hip::AnyView y);

/// Splits to launch: `asked`, or for 0 what gemm_v2_free_splits() says; not more than superblocks.
inline int64_t splits_of(int64_t asked, int64_t tiles, int64_t superblocks, int64_t workgroups_of_cu) {
  if (asked < 0) throw_invalid(concat("quant_matmul: splits must be at least 0, got ", asked));
  const int64_t workgroups = hip::device_info().compute_units * workgroups_of_cu;
  return std::min(asked > 0 ? asked : gemm_v2_free_splits(tiles, superblocks, workgroups), superblocks);
}

/// Zeros where splits are added, then kernel(weights, x, y, m, n_out, n_blocks, splits) for `tiles` tiles of T.
template <class T, class Activation, class Kernel>
void launch(hip::Stream& stream, const std::string& name, Kernel kernel, const QuantMatmulProblem& p,
            const QuantMatmulArgs& args, int n_blocks, int64_t tiles, int64_t splits) {
  const auto weights = args.weights.as<const typename T::Block>("quant_matmul: weights");
  require_aligned("quant_matmul: weights", weights.data(), T::Piece::kAlign);
  const auto x = args.x.as<const Activation>("quant_matmul: x");
  const auto y = args.y.as<float>("quant_matmul: y");
  const auto outputs = static_cast<size_t>(p.m * p.n_out);
  if (splits > 1) zero_outputs(stream, p, args.y);
  hip::launch(stream,
              {concat(name, "<", dtype_name(p.weights), ",", T::kTokens, "x", T::kRows, ">"),
               dim3(grid_extent("quant_matmul: workgroups", tiles * splits)),
               dim3(static_cast<unsigned>(T::kWaves * hip::device_info().wave_size)), T::kLds, p.m},
              kernel, hip::in("weights", weights, static_cast<size_t>(p.weight_elements())),
              hip::in("x", x, static_cast<size_t>(p.m * p.activation_blocks_per_row())),
              splits > 1 ? hip::inout("y", y, outputs) : hip::out("y", y, outputs), int_extent("quant_matmul: m", p.m),
              int_extent("quant_matmul: n_out", p.n_out), n_blocks, static_cast<int>(splits));
}

}  // namespace greta::free_splits
