// The shape of a workgroup of quantised GEMM v2 (int8_gemm.hpp): what its threads do and where things lie in LDS. For
// .hip files of this operator.
#pragma once

#include "kernels/quant_matmul/matmul_group.hpp"
#include "kernels/tile/int8_tile.hpp"
#include "kernels/tile/weight_piece.hpp"

namespace greta {
namespace int8_gemm {

#if defined(__HIP__)
constexpr int kLanes = 64;
#else
constexpr int kLanes = 32;  // at least, on host
#endif
constexpr int kSteps = kSuperblock / kInt8Step;       // of a superblock
constexpr int kStepBlocks = kInt8Step / kSmallBlock;  // runs of 32 columns: depths of a tile
#if defined(__CUDACC__)
constexpr int kUnrolled = kSteps;  // steps written out, so that what only the first or last one does is no branch
#else
constexpr int kUnrolled = 1;
#endif
static_assert(kSteps >= 2, "a superblock's scales are written in its first step and read in its last");

/// Whether `items` leave some of the threads without work in a round; on host always, which may have twice as many.
GRETA_HOST_DEVICE constexpr bool ragged(int items, int threads) {
#if defined(GRETA_HOST_EXECUTOR)
  return items > 0 && threads > 0;
#else
  return items % threads != 0;
#endif
}

}  // namespace int8_gemm

/// kTm x kTn tiles of a wave, kWm x kWn waves of a workgroup; m: tokens, n: weight rows.
template <class Block_, int kTm_, int kTn_, int kWm_, int kWn_>
struct Tile {
  using Block = Block_;
  using Piece = PieceOf<Block>;
  static constexpr int kTm = kTm_, kTn = kTn_, kWm = kWm_, kWn = kWn_;
  static constexpr int kTokens = kWm * kTm * hip::kTile, kRows = kWn * kTn * hip::kTile;
  static constexpr int kWaves = kWm * kWn, kThreads = kWaves * int8_gemm::kLanes;
  static constexpr bool kQ4 = Piece::kMins, kQ8 = Piece::kBlocks > 1, kQ6 = !kQ4 && !kQ8;
  static constexpr int kPlanes = kQ6 ? 2 : 1;
  // Pieces of a weight row in a step. A piece of Q6_K has runs 64 columns apart: steps of 64 take one run of it, and
  // the other in the next step.
  static constexpr bool kOneRun = kQ6 && kInt8Step == 64;
  static constexpr int kStepPieces = kOneRun ? 4 : kPieces / int8_gemm::kSteps;
  GRETA_HOST_DEVICE static constexpr int superblocks(int n_blocks) {
    return (n_blocks + Piece::kBlocks - 1) / Piece::kBlocks;
  }
  /// Of the superblock, the item-th piece of a row in step `half` of the superblock.
  __device__ static int piece_of(int half, int item) { return (kOneRun ? half / 2 : half) * kStepPieces + item; }
  /// Waves a SIMD that registers must allow: 64 sums of f32 and 64 of i32 a lane leave room for two.
  static constexpr int kWavesPerSimd = kTm * kTn == 8 ? 2 : 3;
  static constexpr int kWorkgroups = kWavesPerSimd * 4 / kWaves;  // on a CU

  /// Q4_K, sm_90a: what a superblock has once waits in LDS until it is needed, not in 13 registers that the sums need.
#if defined(__CUDACC__)
  static constexpr bool kRawHeads = kQ4;
#else
  static constexpr bool kRawHeads = false;
#endif

  // Work of a thread in a step; of kHeads, in a superblock.
  static constexpr int kWeightItems = (kRows * kStepPieces + kThreads - 1) / kThreads;
  static constexpr int kTokenChunks = kTokens * (kInt8Step / 16);
  static constexpr int kTokenItems = (kTokenChunks + kThreads - 1) / kThreads;
  static constexpr int kScaleItems = (kTokens * int8_gemm::kStepBlocks + kThreads - 1) / kThreads;  // Q8_0
  static constexpr int kHeads = (kTokens + kRows + kThreads - 1) / kThreads;  // tokens and rows, for their scales

  // LDS in bytes from the start: two step buffers, then what a superblock has once.
  static constexpr int kX = 0, kW = kX + kTokens * kInt8Stride;
  static constexpr int kScales = kW + kPlanes * kRows * kInt8Stride;  // Q4_K: [row] 4 bytes of scales
  static constexpr int kRowD = kScales + (kQ4 ? kRows * 4 : 0);       // Q8_0: [block][row] d
  static constexpr int kTokenD = kRowD + (kQ8 ? int8_gemm::kStepBlocks * kRows * 4 : 0);  // Q8_0: [block][token] d
  static constexpr int kBuffer = kTokenD + (kQ8 ? int8_gemm::kStepBlocks * kTokens * 4 : 0);
  static_assert(kBuffer % 16 == 0);
  static constexpr int kSuperX = 2 * kBuffer;                        // Q4_K, Q6_K: [token] d
  static constexpr int kSuperD = kSuperX + (kQ8 ? 0 : kTokens * 4);  // [row] d and dmin
  static constexpr int kMinX = kSuperD + (kQ8 ? 0 : kRows * 8);      // Q4_K: [token] hi[8], lo[8]
  static constexpr int kMinW = kMinX + (kQ4 ? kTokens * 16 : 0);     // Q4_K: [row] minima[8]
  static constexpr int kRaw = kMinW + (kQ4 ? kRows * 8 : 0);         // kRawHeads: [token] d, sums; [row] header
  static constexpr int kLds = kRaw + (kRawHeads ? kTokens * 48 + kRows * 16 : 0);
#if defined(__CUDACC__)
  static_assert(kLds <= (kWorkgroups == 2 ? hip::kLdsBytesForTwo : hip::kLdsBytes));
#endif
};

/// For more than 64 rows of X. Q6_K unpacks most for a product, and on an H200 two workgroups an SM, one of which
/// unpacks while the other multiplies, are worth more there than the wider tile (docs/experiments_quant_matmul.md).
#if defined(__CUDACC__)
template <class Block>
using LargeTile = Tile<Block, 4, 2, 2, PieceOf<Block>::kMins || PieceOf<Block>::kBlocks != 1 ? 4 : 2>;
#else
template <class Block>
using LargeTile = Tile<Block, 4, 2, 2, 4>;
#endif

}  // namespace greta
