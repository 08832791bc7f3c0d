// Quantised GEMM v3, few rows of X: a superblock a wave, integers by matrix tiles straight from memory.
//   Y[i,r] = sum_c X[i,c] W[r,c]
// Shapes    X blocks [m, n_in/256] Q8Act256 or [m, n_in/32] Q8Act32; W [n_out, n_in/block]; Y [m, n_out] any float type
// Needs     any m and n_out (ragged tiles compute their last row again and drop it); q4_k weights on 16 bytes. Made for
//           m <= 64: more rows of X would read every weight tile again for each 64 (gfx942: 32) of them
// Numerics  arithmetic "q4_k_i8", "q6_k_i8" or "q8_0_i8" (quant_matmul_problem.hpp), bits equal to v1's and v2's:
//           integers inside a superblock are exact in any order, so waves share out superblocks; one thread an output
//           then adds their links, superblocks ascending
// Placement workgroup = 16 weight rows x 16 tokens; for more tokens 16 x 32 (gfx942), or 32 x 32 and 32 x 64 (sm_90a);
//           4 waves (gfx942) or 8 (sm_90a). Of a round's superblocks each wave has one: its rows come from memory as
//           operands (8 bytes a lane and 32 columns, no LDS, no barrier), activations from L2; bytes of the next are
//           sent for as soon as those in their registers are used up. The sums of the tile, as floats, meet in LDS;
//           then every thread adds the round's links to its outputs
// H200      16 rows of X, 14336 -> 4096: Q4_K 28 us where v2 takes 99; 64 rows 74 and 123:
//           docs/experiments_quant_matmul.md. What limits it is how many rows an access touches: a cycle each
// gfx942    86 to 170 registers, no spills; never run on one
// From v2   v2 walks down a row with the whole workgroup, a barrier every 64 or 128 columns: with few outputs there are
//           few workgroups, and each waits for memory at every step. Here a row's superblocks are under way together
#include <algorithm>

#include "kernels/quant_matmul/few_rows_gemm.hpp"
#include "kernels/quant_matmul/gemm_variants.hpp"

namespace greta {
namespace {

using namespace few_rows;

template <class T, bool kFree>
__global__ GRETA_LAUNCH_BOUNDS(T::kThreads,
                               T::waves_per_simd(kFree)) void few_rows_kernel(GRETA_GROUP_WEIGHTS(typename T::Block),
                                                                              const typename T::Activation* x,
                                                                              GRETA_GROUP_OUTPUTS, int n_blocks,
                                                                              int token_tiles) {
  GRETA_DYNAMIC_LDS(int8_t, lds);
  const MatmulPart<typename T::Block> part = GRETA_GROUP_PART;
  const int64_t token0 = static_cast<int64_t>(part.block % token_tiles) * T::kTokens;
  const int64_t row0 = static_cast<int64_t>(part.block / token_tiles) * T::kRows;
  const Extent<T> extent(part.weights, x, m, part.n_out, n_blocks, token0, row0);
  const int wave = hip::wave_uniform(hip::wave_id()), lane = hip::lane_id(), size = hip::wave_size();
  const int t = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const int n_super = T::superblocks(n_blocks), run = int8_run(), slots = int8_slots();

  // Of the wave's next superblock.
  LaneWeights<typename T::Block> weights[T::kTn][kInt8Slots] = {};
  LaneTokens tokens[T::kTm] = {};
  Heads<T> heads = {};
  const auto fetch_weights = [&](int s, int sub) {
    GRETA_UNROLL
    for (int n = 0; n < T::kTn; ++n) GRETA_UNROLL
    for (int r = 0; r < slots; ++r)
      weights[n][r].refetch(extent.row(16 * n + int8_row(r), s), run, extent.blocks_left(s), sub);
  };
  const auto fetch_tokens = [&](int s, int pass, int sub) {
    GRETA_UNROLL
    for (int k = 0; k < T::kTm; ++k) tokens[k].fetch(extent, pass * T::kTm + k, s, sub);
  };
  const auto owned = [&](int i) { return t + i * threads; };
  float sums[T::kOwn][T::kPack] = {};
  [[maybe_unused]] hip::FragmentC free_sums[kFree ? T::kTokenTiles : 1][kFree ? T::kTn : 1] = {};

  if (wave < n_super) {
    heads.fetch(extent, wave);
    GRETA_UNROLL
    for (int sub = 0; sub < kRuns; ++sub) fetch_tokens(wave, 0, sub), fetch_weights(wave, sub);
  }
  for (int first = 0; first < n_super; first += kWaves) {
    const int s = first + wave;
    int8_t* const slot = lds + ((T::kBuffers > 1 ? first / kWaves % T::kBuffers * kWaves : 0) + wave) * T::kSlot;
    if (s < n_super) {
      const int next = s + kWaves;
      heads.put(slot);
      hip::wave_barrier();
      auto* const terms = reinterpret_cast<float*>(slot);
      // As soon as bytes are used up, those of the next pass or superblock are sent for.
      const auto multiply_pass = [&](int pass, auto&& used) {
        multiply<T>(
            slot, extent.blocks_left(s), pass * T::kTm, tokens, weights,
            [&](int kind, int k, int n, const hip::FragmentC& values) {
              put_terms<T>(terms + kind * T::kOutputs, k, n, values);
            },
            used);
      };
      GRETA_UNROLL
      for (int pass = 0; pass + 1 < T::kPasses; ++pass)
        multiply_pass(pass, [&](int sub) { fetch_tokens(s, pass + 1, sub); });
      if (next < n_super) {
        multiply_pass(T::kPasses - 1, [&](int sub) {
          fetch_weights(next, sub);
          fetch_tokens(next, 0, sub);
        });
        heads.fetch(extent, next);
      } else {
        multiply_pass(T::kPasses - 1, [](int) {});
      }
    }
    if constexpr (kFree) {
      // The wave's own chain over its own superblocks.
      if (s < n_super) {
        hip::wave_barrier();
        GRETA_UNROLL
        for (int k = 0; k < T::kTokenTiles; ++k) GRETA_UNROLL
        for (int n = 0; n < T::kTn; ++n) GRETA_UNROLL
        for (int i = 0; i < hip::tile_elements(size); ++i)
          add_links<T, 1>(slot, 16 * k + hip::tile_c_row(size, lane, i), 16 * n + hip::tile_c_col(size, lane, i),
                          &free_sums[k][n].v[i]);
        hip::wave_barrier();
      }
    } else {
      __syncthreads();
      // Computed again after the barrier, not kept from the round's start: of what is kept the compiler makes code that
      // is 5 % slower for 16 rows of Q6_K (H200: docs/experiments_quant_matmul.md).
      const int round = first / kWaves;
      const int8_t* const slots_of_round = lds + round % T::kBuffers * kWaves * T::kSlot;
      const auto add = [&](int w) {
        GRETA_UNROLL
        for (int i = 0; i < T::kOwn; ++i) {
          const int output = T::kPack * owned(i);
          if (T::kRagged && output >= T::kOutputs) break;
          add_links<T, T::kPack>(slots_of_round + w * T::kSlot, output / T::kRows, output % T::kRows, sums[i]);
        }
      };
      if ((round + 1) * kWaves <= n_super) {
        GRETA_UNROLL_BY(2)
        for (int w = 0; w < kWaves; ++w) add(w);
      } else {
        for (int w = 0; w < n_super - round * kWaves; ++w) add(w);
      }
      if (T::kBuffers == 1) __syncthreads();
    }
  }

  if constexpr (kFree) {
    auto* const terms = reinterpret_cast<float*>(lds + wave * T::kSlot);
    GRETA_UNROLL
    for (int k = 0; k < T::kTokenTiles; ++k) GRETA_UNROLL
    for (int n = 0; n < T::kTn; ++n) put_terms<T>(terms, k, n, free_sums[k][n]);
    __syncthreads();
  }
  GRETA_UNROLL
  for (int i = 0; i < T::kOwn; ++i) {
    const int output = T::kPack * owned(i);
    if (T::kRagged && output >= T::kOutputs) break;
    const int64_t token = token0 + output / T::kRows;
    GRETA_UNROLL
    for (int j = 0; j < T::kPack; ++j) {
      const int64_t row = row0 + output % T::kRows + j;
      if constexpr (kFree) {
        const int at = term_at(size, T::kRows, output / T::kRows, output % T::kRows + j);
        for (int w = 0; w < kWaves; ++w) sums[i][j] += reinterpret_cast<const float*>(lds + w * T::kSlot)[at];
      }
      if (token < m && row < part.n_out)
        store_any(part.y_f32, part.y_f16, part.y_bf16, token * part.n_out + row, sums[i][j]);
    }
  }
}

template <class T, bool kFree>
void launch_few_rows(hip::Stream& stream, const QuantMatmulGroupProblem& p, const QuantMatmulGroupArgs& args) {
  const MatmulViews<typename T::Block> views(p, args, T::Piece::kAlign);
  const auto x = args.x.as<const typename T::Activation>("quant_matmul: x");
  const int64_t token_tiles = ceil_div(p.m, T::kTokens);
  int64_t blocks[kMatmulGroup] = {};
  for (int i = 0; i < p.parts(); ++i) blocks[i] = ceil_div(p.rows_of(i), T::kRows) * token_tiles;
  const int64_t n_blocks = int_extent("quant_matmul: n_in", p.n_in) / dtype_block_values(p.weights);
  int_extent("quant_matmul: blocks of a tile's rows", n_blocks * std::max(T::kTokens, T::kRows));
  launch_group(
      stream,
      {concat(kFree ? "gemm_v3_free<" : "gemm_v3<", dtype_name(p.weights), ",", T::kTokens, "x", T::kRows, ">"),
       dim3(1), dim3(static_cast<unsigned>(kWaves * hip::device_info().wave_size)), T::kLds, p.m},
      &few_rows_kernel<T, kFree>, p, views, hip::in("x", x, activation_elements(p)), blocks, static_cast<int>(n_blocks),
      int_extent("quant_matmul: m", token_tiles));
}

/// Tiles of rows beside two or four of tokens, as many as LDS holds the terms of; and whether more than 32 tokens are
/// better four tiles (H200: docs/experiments_quant_matmul.md) than twice two. Of four each is a pass: weights are
/// unpacked again for it, which costs less than registers that spill.
#if defined(__CUDACC__)
constexpr int kRowTiles = 2;
constexpr bool kFourTiles = true;
#else
constexpr int kRowTiles = 1;
constexpr bool kFourTiles = false;
#endif
template <class Block>
using FourTiles = Tile<Block, 1, kRowTiles, 4>;

template <class Block, bool kFree>
void launch_tokens(hip::Stream& stream, const QuantMatmulGroupProblem& p, const QuantMatmulGroupArgs& args) {
  if (p.m <= 16) return launch_few_rows<Tile<Block, 1, 1>, kFree>(stream, p, args);
  if constexpr (kFourTiles)
    if (p.m > 32) return launch_few_rows<FourTiles<Block>, kFree>(stream, p, args);
  launch_few_rows<Tile<Block, 2, kRowTiles>, kFree>(stream, p, args);
}

template <bool kFree>
void launch(hip::Stream& stream, const QuantMatmulGroupProblem& p, const QuantMatmulGroupArgs& args) {
  if (p.weights == DType::kQ4K) return launch_tokens<BlockQ4K, kFree>(stream, p, args);
  if (p.weights == DType::kQ6K) return launch_tokens<BlockQ6K, kFree>(stream, p, args);
  launch_tokens<BlockQ8_0, kFree>(stream, p, args);
}

}  // namespace

void gemm_v3_group(hip::Stream& stream, const QuantMatmulGroupProblem& p, const QuantMatmulGroupArgs& args) {
  launch<false>(stream, p, args);
}
void gemm_v3(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args) {
  gemm_v3_group(stream, group_of_one(p), group_of_one(args));
}
void gemm_v3_wide(hip::Stream& stream, const QuantMatmulProblem& problem, const QuantMatmulArgs& arguments) {
  const auto p = group_of_one(problem);
  const auto args = group_of_one(arguments);
  if (p.weights == DType::kQ4K) return launch_few_rows<FourTiles<BlockQ4K>, false>(stream, p, args);
  if (p.weights == DType::kQ6K) return launch_few_rows<FourTiles<BlockQ6K>, false>(stream, p, args);
  launch_few_rows<FourTiles<BlockQ8_0>, false>(stream, p, args);
}
void gemm_v3_free(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args) {
  launch<true>(stream, group_of_one(p), group_of_one(args));
}

}  // namespace greta
