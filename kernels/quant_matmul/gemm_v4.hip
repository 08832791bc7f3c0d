// Quantised GEMM v4, some rows of X: superblocks stream through LDS, unpacked once for all tokens.
//   Y[i,r] = sum_c X[i,c] W[r,c]
// Shapes    X blocks [m, n_in/256] Q8Act256; W [n_out, n_in/256] Q4_K or Q6_K; Y [m, n_out] any float type
// Needs     m <= 64, any n_out (ragged tiles compute their last row again and drop it); q4_k weights on 16 bytes
// Numerics  arithmetic "q4_k_i8" or "q6_k_i8" (quant_matmul_problem.hpp), bits equal to v1's to v3's: integers inside a
//           superblock are exact in any order; a lane adds the links of its outputs in registers, superblocks ascending
// Placement workgroup = all tokens, as 16, 32 or 64, x 32 weight rows (gfx942: 16; sm_90a for 64 tokens and a workgroup
//           on every CU: 64). Four or eight waves fetch superblocks and unpack the weights of the next one into LDS,
//           the others multiply this one: on sm_90a with 32 x 16 outputs each (of 16 tokens 16 x 16), on gfx942 with
//           16 x 16. One barrier a superblock
// H200      64 rows of X, 14336 -> 4096: Q4_K 52 us and Q6_K 61 us where v3 takes 74 and 87; 32 rows 42 and 50 (47 and
//           57). Of the 52 us multiplying takes 42 by itself, fetching and unpacking 44, most of it X from L2 for every
//           workgroup. 4096 -> 14336, 64 rows: 55 and 65 us: docs/experiments_quant_matmul.md
// gfx942    77 to 126 registers, no spills, 18 to 53 KiB of LDS; never run on one
// From v3   there every wave fetches its own superblock of all 64 tokens, 8 rows an access, and the terms of all
//           outputs pass through LDS. Here X is copied by whole rows and no term leaves its lane
// From v2   there all waves unpack, wait and multiply in step, memory one step of 64 or 128 columns ahead
#include "kernels/quant_matmul/streamed_gemm.hpp"

namespace greta {
namespace {

using namespace streamed;

template <class T>
__global__ GRETA_LAUNCH_BOUNDS(T::kThreads,
                               (T::kWaves + 3) / 4) void streamed_kernel(GRETA_GROUP_WEIGHTS(typename T::Block),
                                                                         const BlockQ8Act256* x, GRETA_GROUP_OUTPUTS,
                                                                         int n_blocks) {
  GRETA_DYNAMIC_LDS(int8_t, lds);
  const MatmulPart<typename T::Block> part = GRETA_GROUP_PART;
  const int64_t row0 = static_cast<int64_t>(part.block) * T::kRows;
  const Extent<T> extent(part.weights, part.n_out, x, m, n_blocks, row0, 0, n_blocks);
  multiply_tile<T>(lds, extent, [&](int token, int row, float sum) {
    store_any(part.y_f32, part.y_f16, part.y_bf16, static_cast<int64_t>(token) * part.n_out + row0 + row, sum);
  });
}

template <class T>
void launch_tile(hip::Stream& stream, const QuantMatmulGroupProblem& p, const QuantMatmulGroupArgs& args) {
  const MatmulViews<typename T::Block> views(p, args, T::Piece::kAlign);
  const auto x = args.x.as<const BlockQ8Act256>("quant_matmul: x");
  int64_t blocks[kMatmulGroup] = {};
  for (int i = 0; i < p.parts(); ++i) blocks[i] = ceil_div(p.rows_of(i), T::kRows);
  if (p.m > T::kTokens) throw_invalid(concat("gemm_v4: m must be at most ", T::kTokens, ", got ", p.m));
  launch_group(stream,
               {concat("gemm_v4<", dtype_name(p.weights), ",", T::kTokens, "x", T::kRows, ">"), dim3(1),
                dim3(static_cast<unsigned>(T::kWaves * hip::device_info().wave_size)), T::kLds, p.m},
               &streamed_kernel<T>, p, views, hip::in("x", x, activation_elements(p)), blocks, row_blocks<T>(p.n_in));
}

template <class Block>
void launch(hip::Stream& stream, const QuantMatmulGroupProblem& p, const QuantMatmulGroupArgs& args) {
  if (p.m <= 16) return launch_tile<Tile<Block, 1>>(stream, p, args);
  if (p.m <= 32) return launch_tile<Tile<Block, 2>>(stream, p, args);
  using Wide = Tile<Block, 4, kWideRowTiles>;
  int64_t wide_tiles = 0;
  for (int i = 0; i < p.parts(); ++i) wide_tiles += ceil_div(p.rows_of(i), Wide::kRows);
  if (wide_tiles >= hip::device_info().compute_units) return launch_tile<Wide>(stream, p, args);
  launch_tile<Tile<Block, 4>>(stream, p, args);
}

}  // namespace

void gemm_v4_group(hip::Stream& stream, const QuantMatmulGroupProblem& p, const QuantMatmulGroupArgs& args) {
  if (p.weights == DType::kQ4K) return launch<BlockQ4K>(stream, p, args);
  launch<BlockQ6K>(stream, p, args);
}
void gemm_v4(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args) {
  gemm_v4_group(stream, group_of_one(p), group_of_one(args));
}

}  // namespace greta
