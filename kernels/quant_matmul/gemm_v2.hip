// Quantised GEMM v2, many rows of X: int8 matrix tiles. Weights are unpacked to signed bytes in LDS once a tile.
//   Y[i,r] = sum_c X[i,c] W[r,c]
// Shapes    X blocks [m, n_in/256] Q8Act256 or [m, n_in/32] Q8Act32; W [n_out, n_in/block]; Y [m, n_out] any float type
// Needs     any m and n_out (ragged tiles compute their last row again and drop it); q4_k weights on 16 bytes
// Numerics  arithmetic "q4_k_i8", "q6_k_i8" or "q8_0_i8" (quant_matmul_problem.hpp), bits equal to v1's: integers
//           inside a superblock, then a link of the fma chain, superblocks ascending. 16x16x32 tiles, X as A, W as B:
//             Q4_K  a tile's sum times the sub-block's scale, added in i32. Minima: sums of 32 activations as 64 hi +
//                   lo, two tiles of depth 8 a superblock.
//             Q6_K  its scales cover 16 values, half a tile's depth. Weights are multiplied by their scale when they
//                   are unpacked, (q - 32) * scale = 64 hi + lo, and go through two tiles: no scale remains, where a
//                   tile of depth 16 would cost a multiply-add for each of its sums, twice as many as Q4_K.
//             Q8_0  a tile's sum becomes a float link of the block.
// Placement Tile<...>: 8 waves (4 for few rows of X), each with kTm x kTn tiles, so 64 sums of f32 and 64 of i32 a
//           lane. Steps of kInt8Step columns in two LDS buffers with one barrier a step: the loads of the next step are
//           under way in registers (sm_90a: activations as background copies) while this step's products run.
//           LDS rows: kernels/tile/int8_tile.hpp. The workgroup itself: int8_gemm.hpp.
//           Benchmarks have two more shapes for many rows of X (gemm_variants.hpp), with the same bits.
// From v1   matrix tiles instead of dot products on the vector units; two buffers instead of one.
#include "kernels/quant_matmul/gemm_variants.hpp"
#include "kernels/quant_matmul/int8_gemm.hpp"

namespace greta {
namespace {

template <class T>
__global__ GRETA_LAUNCH_BOUNDS(T::kThreads, T::kWavesPerSimd) void gemm_kernel(GRETA_GROUP_WEIGHTS(typename T::Block),
                                                                               const typename T::Piece::Activation* x,
                                                                               GRETA_GROUP_OUTPUTS, int n_blocks,
                                                                               int token_tiles) {
  GRETA_DYNAMIC_LDS(int8_t, lds);
  const MatmulPart<typename T::Block> part = GRETA_GROUP_PART;
  const int64_t token0 = static_cast<int64_t>(part.block % token_tiles) * T::kTokens;
  const int64_t row0 = static_cast<int64_t>(part.block / token_tiles) * T::kRows;
  int8_gemm::multiply_tile<T>(lds, part.weights, part.n_out, x, m, n_blocks, token0, row0, 0, T::superblocks(n_blocks),
                              [&](int64_t token, int64_t row, float sum) {
                                store_any(part.y_f32, part.y_f16, part.y_bf16, token * part.n_out + row, sum);
                              });
}

template <class T>
void launch_gemm(hip::Stream& stream, const QuantMatmulGroupProblem& p, const QuantMatmulGroupArgs& args) {
  using Piece = typename T::Piece;
  const MatmulViews<typename T::Block> views(p, args, Piece::kAlign);
  const auto x = args.x.as<const typename Piece::Activation>("quant_matmul: x");
  const int64_t token_tiles = ceil_div(p.m, T::kTokens);
  int64_t blocks[kMatmulGroup] = {};
  for (int i = 0; i < p.parts(); ++i) blocks[i] = ceil_div(p.rows_of(i), T::kRows) * token_tiles;
  launch_group(stream,
               {concat("gemm_v2<", dtype_name(p.weights), ",", T::kTokens, "x", T::kRows, ">"), dim3(1),
                dim3(static_cast<unsigned>(T::kWaves * hip::device_info().wave_size)), T::kLds, p.m},
               &gemm_kernel<T>, p, views, hip::in("x", x, activation_elements(p)), blocks,
               int8_gemm::row_blocks<T>(p.n_in), int_extent("quant_matmul: m", token_tiles));
}

template <class Block>
void launch_tiles(hip::Stream& stream, const QuantMatmulGroupProblem& p, const QuantMatmulGroupArgs& args) {
  if (p.m <= 16) return launch_gemm<Tile<Block, 1, 1, 1, 4>>(stream, p, args);
  if (p.m <= 64) return launch_gemm<Tile<Block, 4, 1, 1, 4>>(stream, p, args);
  launch_gemm<LargeTile<Block>>(stream, p, args);
}

/// Tiles of one shape, of whatever weights.
template <int kTm, int kTn, int kWm, int kWn>
void launch_shape(hip::Stream& stream, const QuantMatmulGroupProblem& p, const QuantMatmulGroupArgs& args) {
  if (p.weights == DType::kQ4K) return launch_gemm<Tile<BlockQ4K, kTm, kTn, kWm, kWn>>(stream, p, args);
  if (p.weights == DType::kQ6K) return launch_gemm<Tile<BlockQ6K, kTm, kTn, kWm, kWn>>(stream, p, args);
  launch_gemm<Tile<BlockQ8_0, kTm, kTn, kWm, kWn>>(stream, p, args);
}

}  // namespace

void gemm_v2_group(hip::Stream& stream, const QuantMatmulGroupProblem& p, const QuantMatmulGroupArgs& args) {
  if (p.weights == DType::kQ4K) return launch_tiles<BlockQ4K>(stream, p, args);
  if (p.weights == DType::kQ6K) return launch_tiles<BlockQ6K>(stream, p, args);
  launch_tiles<BlockQ8_0>(stream, p, args);
}
void gemm_v2(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args) {
  gemm_v2_group(stream, group_of_one(p), group_of_one(args));
}
void gemm_v2_narrow(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args) {
  launch_shape<4, 2, 2, 2>(stream, group_of_one(p), group_of_one(args));
}
void gemm_v2_tall(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args) {
  launch_shape<4, 2, 4, 2>(stream, group_of_one(p), group_of_one(args));
}

}  // namespace greta
