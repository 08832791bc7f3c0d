// Quantised GEMM v1, many rows of X: tiles of 64 weight rows x 16, 32 or 64 tokens x 128 columns in LDS; weights are
// unpacked to bytes once a tile and shared by its tokens; dot products on the vector units.
//   Y[i,r] = sum_c X[i,c] W[r,c]
// Shapes    X blocks [m, n_in/256] Q8Act256 or [m, n_in/32] Q8Act32; W [n_out, n_in/block]; Y [m, n_out] any float type
// Needs     any m and n_out (ragged tiles hold zeros); q4_k weights on 16 bytes
// Numerics  arithmetic "q4_k_i8", "q6_k_i8" or "q8_0_i8" (quant_matmul_problem.hpp): integers inside a superblock, then
//           a link of the fma chain; superblocks ascending. Bits equal to gemv_v1's.
// Placement 256 threads = 16 x 16; thread (tx, ty) owns rows tx + 16 i and tokens ty + 16 j. A superblock is two steps
//           of 128 columns. LDS rows of 144 bytes: 36 banks, so 8 lanes that read 16 bytes of neighbouring rows do not
//           conflict. About 24 KiB of LDS: two workgroups a CU.
#include "kernels/quant_matmul/any_output.hpp"
#include "kernels/quant_matmul/quant_matmul.hpp"
#include "kernels/tile/extents.hpp"
#include "kernels/tile/weight_piece.hpp"

namespace greta {
namespace {

constexpr int kThreads = 256;
constexpr int kSide = 16;  // threads along rows and along tokens
constexpr int kRows = 64;  // weight rows of a tile
constexpr int kRowsPerThread = kRows / kSide;
constexpr int kStep = 128;                   // columns of a step
constexpr int kSteps = kSuperblock / kStep;  // in a superblock
constexpr int kStepPieces = kPieces / kSteps;
constexpr int kStride = kStep + 16;  // bytes between rows in LDS
constexpr int kMaxScaleRuns = kStep / 16;
static_assert(kRows * kStepPieces == kThreads, "each thread unpacks one piece a step");
static_assert(kSide * kSide == kThreads);

/// The 16 bytes of tokens' activations that start at column `c` of a step.
template <class Block>
__device__ __forceinline__ Words4 load_x(const typename PieceOf<Block>::Activation* superblock, int column) {
  if constexpr (PieceOf<Block>::kBlocks == 1) return load16<16>(superblock->qs + column);
  return load16<16>(superblock[column / kSmallBlock].qs + column % kSmallBlock);
}

template <class Block, int kTokensPerThread>
__global__ GRETA_LAUNCH_BOUNDS(kThreads, 2) void gemm_kernel(const Block* weights,
                                                             const typename PieceOf<Block>::Activation* x, float* y_f32,
                                                             half_t* y_f16, bf16_t* y_bf16, int m, int n_out,
                                                             int n_blocks) {
  using Piece = PieceOf<Block>;
  constexpr int kTokens = kSide * kTokensPerThread;
  constexpr bool kOwnScales = Piece::kBlocks > 1;  // Q8_0: d per 32 values instead of integer scales
  constexpr int kRuns = kStep / Piece::kScaleRun;
  GRETA_LDS(Words4, w_tile, [kRows * kStride / 16]);
  GRETA_LDS(Words4, x_tile, [kTokens * kStride / 16]);
  GRETA_LDS(int, scales, [kMaxScaleRuns][kRows]);     // Q4_K, Q6_K: integer scales of the step; Q8_0: bits of d
  GRETA_LDS(float, row_d, [2][kRows]);                // Q4_K, Q6_K: d and dmin
  GRETA_LDS(float, token_d, [kStepPieces][kTokens]);  // dx; Q8_0: of each block of the step
  GRETA_LDS(int, mins, [kPieces][kRows]);             // Q4_K: of the superblock's sub-blocks
  GRETA_LDS(int, token_sums, [kPieces][kTokens]);     // Q4_K: sums of 32 activations
  auto* const w_bytes = reinterpret_cast<int8_t*>(w_tile);
  auto* const x_bytes = reinterpret_cast<int8_t*>(x_tile);

  const int t = static_cast<int>(threadIdx.x), tx = t % kSide, ty = t / kSide;
  const int64_t row0 = static_cast<int64_t>(blockIdx.x) * kRows;
  const int64_t token0 = static_cast<int64_t>(blockIdx.y) * kTokens;
  const int n_super = (n_blocks + Piece::kBlocks - 1) / Piece::kBlocks;

  float acc[kRowsPerThread][kTokensPerThread] = {};
  float part[kRowsPerThread][kTokensPerThread] = {};  // Q8_0
  int isum[kRowsPerThread][kTokensPerThread] = {};    // Q4_K, Q6_K
  for (int step = 0; step < n_super * kSteps; ++step) {
    const int block = step / kSteps * Piece::kBlocks, half = step % kSteps;
    // Q8_0: blocks of this step that the row still has.
    const int n_left = kOwnScales ? n_blocks - block - half * kStepPieces : kStepPieces;

    {  // Weights: one piece a thread.
      const int row = t / kStepPieces, piece = half * kStepPieces + t % kStepPieces;
      const bool inside = row0 + row < n_out && t % kStepPieces < n_left;
      WeightPiece w =
          load_piece<Block>(weights + (inside ? row0 + row : 0) * n_blocks + (inside ? block : 0), inside ? piece : 0);
      const int lo = Piece::lo_at(piece) - half * kStep, hi = Piece::hi_at(piece) - half * kStep;
      for (int i = 0; i < 4; ++i) {
        if constexpr (Piece::kZero == 32) w.lo.v[i] = bytes_minus_32(w.lo.v[i]), w.hi.v[i] = bytes_minus_32(w.hi.v[i]);
        if (!inside) w.lo.v[i] = w.hi.v[i] = 0;
      }
      *reinterpret_cast<Words4*>(w_bytes + row * kStride + lo) = w.lo;
      *reinterpret_cast<Words4*>(w_bytes + row * kStride + hi) = w.hi;
      if constexpr (kOwnScales) {
        scales[lo / Piece::kScaleRun][row] = static_cast<int>(hip::float_bits(w.d));
      } else {
        // Two pieces of Q4_K share their sub-blocks and write the same numbers: the even one does.
        if (Piece::kScaleRun == 16 || piece % 2 == 0) {
          scales[lo / Piece::kScaleRun][row] = w.scale_lo;
          scales[hi / Piece::kScaleRun][row] = w.scale_hi;
          if constexpr (Piece::kMins) {
            mins[Piece::lo_at(piece) / 32][row] = w.min_lo;
            mins[Piece::hi_at(piece) / 32][row] = w.min_hi;
          }
        }
        if (t % kStepPieces == 0) row_d[0][row] = w.d, row_d[1][row] = w.dmin;
      }
    }
    // Activations: 8 chunks of 16 bytes a token.
    for (int item = t; item < kTokens * (kStep / 16); item += kThreads) {
      const int token = item / (kStep / 16), column = item % (kStep / 16) * 16;
      const bool inside = token0 + token < m && (!kOwnScales || column / kSmallBlock < n_left);
      const auto* from = x + (inside ? token0 + token : 0) * n_blocks + (inside ? block : 0);
      Words4 bytes = load_x<Block>(from, inside ? half * kStep + column : 0);
      for (int i = 0; i < 4; ++i) bytes.v[i] = inside ? bytes.v[i] : 0;
      *reinterpret_cast<Words4*>(x_bytes + token * kStride + column) = bytes;
    }
    // Their scales and, at the superblock's end, sums.
    for (int item = t; item < kTokens * (kOwnScales ? kStepPieces : kPieces); item += kThreads) {
      const int token = item % kTokens, part_index = item / kTokens;
      const bool inside = token0 + token < m && (!kOwnScales || part_index < n_left);
      const auto* from = x + (inside ? token0 + token : 0) * n_blocks + (inside ? block : 0);
      if constexpr (kOwnScales) {
        token_d[part_index][token] = inside ? from[half * kStepPieces + part_index].d : 0.0f;
      } else {
        if (part_index == 0) token_d[0][token] = from->d;
        if constexpr (Piece::kMins)
          token_sums[part_index][token] = from->sums[2 * part_index] + from->sums[2 * part_index + 1];
      }
    }
    __syncthreads();

    const int n_runs = kOwnScales && n_left < kRuns ? n_left : kRuns;
    for (int run = 0; run < n_runs; ++run) {
      int dot[kRowsPerThread][kTokensPerThread] = {};
      for (int c = run * Piece::kScaleRun; c < (run + 1) * Piece::kScaleRun; c += 16) {
        Words4 w[kRowsPerThread];
        for (int i = 0; i < kRowsPerThread; ++i)
          w[i] = *reinterpret_cast<const Words4*>(w_bytes + (tx + kSide * i) * kStride + c);
        for (int j = 0; j < kTokensPerThread; ++j) {
          const Words4 xs = *reinterpret_cast<const Words4*>(x_bytes + (ty + kSide * j) * kStride + c);
          for (int i = 0; i < kRowsPerThread; ++i) dot[i][j] = dot16_i8(w[i], xs, dot[i][j]);
        }
      }
      for (int i = 0; i < kRowsPerThread; ++i) {
        const int scale = scales[run][tx + kSide * i];
        for (int j = 0; j < kTokensPerThread; ++j) {
          if constexpr (kOwnScales) {
            const float product = hip::bits_float(static_cast<uint32_t>(scale)) * token_d[run][ty + kSide * j];
            part[i][j] = fmaf(product, static_cast<float>(dot[i][j]), part[i][j]);
          } else {
            isum[i][j] += scale * dot[i][j];
          }
        }
      }
    }
    if (half == kSteps - 1) {  // the superblock's link of the chain
      for (int i = 0; i < kRowsPerThread; ++i) {
        const int row = tx + kSide * i;
        for (int j = 0; j < kTokensPerThread; ++j) {
          const int token = ty + kSide * j;
          if constexpr (kOwnScales) {
            acc[i][j] = acc[i][j] + part[i][j];
            part[i][j] = 0.0f;
          } else {
            const float dx = token_d[0][token];
            acc[i][j] = fmaf(row_d[0][row] * dx, static_cast<float>(isum[i][j]), acc[i][j]);
            isum[i][j] = 0;
            if constexpr (Piece::kMins) {
              int msum = 0;
              for (int s = 0; s < kPieces; ++s) msum += mins[s][row] * token_sums[s][token];
              acc[i][j] = fmaf(-(row_d[1][row] * dx), static_cast<float>(msum), acc[i][j]);
            }
          }
        }
      }
    }
    __syncthreads();
  }

  for (int j = 0; j < kTokensPerThread; ++j) {
    const int64_t token = token0 + ty + kSide * j;
    for (int i = 0; i < kRowsPerThread; ++i) {
      const int64_t row = row0 + tx + kSide * i;
      if (token < m && row < n_out) store_any(y_f32, y_f16, y_bf16, token * n_out + row, acc[i][j]);
    }
  }
}

template <class Block, int kTokensPerThread>
void launch_gemm(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args) {
  using Piece = PieceOf<Block>;
  constexpr int kTokens = kSide * kTokensPerThread;
  const auto weights = args.weights.as<const Block>("quant_matmul: weights");
  const auto x = args.x.as<const typename Piece::Activation>("quant_matmul: x");
  require_aligned("quant_matmul: weights", weights.data(), Piece::kAlign);
  const AnyOutput y(args.y, p.y, static_cast<size_t>(p.m * p.n_out));
  hip::launch(stream,
              {concat("gemm_v1<", dtype_name(p.weights), ",", kRows, "x", kTokens, ">"),
               dim3(grid_extent("quant_matmul: n_out", ceil_div(p.n_out, kRows)),
                    grid_extent("quant_matmul: m", ceil_div(p.m, kTokens))),
               dim3(kThreads), 0, p.m},
              &gemm_kernel<Block, kTokensPerThread>,
              hip::in("weights", weights, static_cast<size_t>(p.weight_elements())),
              hip::in("x", x, static_cast<size_t>(p.m * p.activation_blocks_per_row())), y.arg_f32(), y.arg_f16(),
              y.arg_bf16(), int_extent("quant_matmul: m", p.m), int_extent("quant_matmul: n_out", p.n_out),
              int_extent("quant_matmul: n_in", p.n_in) / dtype_block_values(p.weights));
}

template <class Block>
void launch_tokens(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args) {
  if (p.m <= 16) return launch_gemm<Block, 1>(stream, p, args);
  if (p.m <= 32) return launch_gemm<Block, 2>(stream, p, args);
  launch_gemm<Block, 4>(stream, p, args);
}

}  // namespace

void gemm_v1(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args) {
  if (p.weights == DType::kQ4K) return launch_tokens<BlockQ4K>(stream, p, args);
  if (p.weights == DType::kQ6K) return launch_tokens<BlockQ6K>(stream, p, args);
  launch_tokens<BlockQ8_0>(stream, p, args);
}

}  // namespace greta
