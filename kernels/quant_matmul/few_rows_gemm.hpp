// The workgroup of quantised GEMM v3 and of its free variant: a tile of tokens x weight rows, a superblock a wave.
// Formula, arithmetic and placement: gemm_v3.hip. For .hip files of this operator.
#pragma once

#include "kernels/quant_matmul/matmul_group.hpp"
#include "kernels/tile/int8_operand.hpp"
#include "kernels/tile/weight_piece.hpp"

namespace greta {
namespace few_rows {

#if defined(__CUDACC__)
constexpr int kWaves = 8, kLanes = 32;
#elif defined(__HIP__)
constexpr int kWaves = 4, kLanes = 64;
#else
constexpr int kWaves = 4, kLanes = 32;  // lanes at least: `--wave 64` has twice as many
#endif
constexpr int kRuns = kSuperblock / kSmallBlock;  ///< of 32 columns in a superblock

/// A lane's bytes of a superblock of one weight row, as stored, and what they are as operands.
template <class Block>
struct LaneWeights;

template <>
struct LaneWeights<BlockQ4K> {
  Words2 qs[kRuns / 2];
  __device__ __forceinline__ void fetch(const BlockQ4K* block, int run, int) {
    GRETA_UNROLL
    for (int p = 0; p < kRuns / 2; ++p) qs[p] = load8<8>(block->qs + 32 * p + 8 * run);
  }
  __device__ __forceinline__ Words2 bytes(int sub) const {
    Words2 q;
    GRETA_UNROLL
    for (int i = 0; i < 2; ++i) q.v[i] = (qs[sub / 2].v[i] >> (sub % 2 * 4)) & 0x0f0f0f0fu;
    return q;
  }
};

template <>
struct LaneWeights<BlockQ6K> {
  Words2 ql[4], qh[2];
  Words4 scales;
  __device__ __forceinline__ void fetch(const BlockQ6K* block, int run, int) {
    GRETA_UNROLL
    for (int i = 0; i < 4; ++i) ql[i] = load8<2>(block->ql + 32 * i + 8 * run);
    GRETA_UNROLL
    for (int i = 0; i < 2; ++i) qh[i] = load8<2>(block->qh + 32 * i + 8 * run);
    scales = load16<2>(block->scales);
  }
  /// (q - 32) * scale of columns 32 sub .. + 31 as 64 hi + lo.
  __device__ __forceinline__ void planes(int sub, int run, Words2& lo, Words2& hi) const {
    const int half = sub / 4, quarter = sub % 4;
    const int scale = piece_detail::signed_byte(scales.v[sub / 2] >> (run / 2 * 8), sub % 2 * 16);
    GRETA_UNROLL
    for (int i = 0; i < 2; ++i) {
      const uint32_t low = (ql[2 * half + quarter % 2].v[i] >> (quarter / 2 * 4)) & 0x0f0f0f0fu;
      const ScaledPlanes p = scaled_planes(low | ((qh[half].v[i] >> (2 * quarter)) & 0x03030303u) << 4, scale);
      lo.v[i] = p.lo, hi.v[i] = p.hi;
    }
  }
};

template <>
struct LaneWeights<BlockQ8_0> {
  Words2 qs[kRuns];
  /// `left` blocks of the superblock exist; of the others the first, and no product is made of it.
  __device__ __forceinline__ void fetch(const BlockQ8_0* block, int run, int left) {
    GRETA_UNROLL
    for (int b = 0; b < kRuns; ++b) qs[b] = load8<2>(block[b < left ? b : 0].qs + 8 * run);
  }
  __device__ __forceinline__ Words2 bytes(int sub) const { return qs[sub]; }
};

/// kTm x kTn tiles of 16 x 16 for a wave; m: tokens, n: weight rows. LDS in bytes.
template <class Block_, int kTm_, int kTn_>
struct Tile {
  using Block = Block_;
  using Piece = PieceOf<Block>;
  using Activation = typename Piece::Activation;
  static constexpr int kTm = kTm_, kTn = kTn_, kTokens = kTm * hip::kTile, kRows = kTn * hip::kTile;
  static constexpr int kThreads = kWaves * kLanes, kOutputs = kTokens * kRows;
  /// Outputs of a thread, and whether some thread has fewer (host: `--wave 64` has twice the threads).
  static constexpr int kOwn = (kOutputs + kThreads - 1) / kThreads;
#if defined(GRETA_HOST_EXECUTOR)
  static constexpr bool kRagged = true;
#else
  static constexpr bool kRagged = kOutputs % kThreads != 0;
#endif
  static constexpr bool kQ4 = Piece::kMins, kQ8 = Piece::kBlocks > 1, kQ6 = !kQ4 && !kQ8;
  static_assert(kTokens <= 32 && kRows <= 32, "a lane has the header of a token and of a row");
  static constexpr int kHeads = kQ8 ? kRuns : 1;  ///< values of d a row and a token have in a superblock
  GRETA_HOST_DEVICE static constexpr int superblocks(int n_blocks) {
    return (n_blocks + Piece::kBlocks - 1) / Piece::kBlocks;
  }

  // Of one wave, from the start of its slot: what an output's link of the chain is made of, and the headers.
  static constexpr int kTerms = kQ4 ? 2 : 1;           // integer sums as floats; Q8_0: the sum of the superblock
  static constexpr int kRowD = 4 * kTerms * kOutputs;  // [head][row] d; Q4_K: d and dmin
  static constexpr int kTokenD = kRowD + kHeads * kRows * (kQ4 ? 8 : 4);  // [head][token] d
  static constexpr int kRowScales = kTokenD + 4 * kHeads * kTokens;       // Q4_K: [row] scales[8], minima[8]
  static constexpr int kTokenSums = kRowScales + (kQ4 ? 16 * kRows : 0);  // Q4_K: [token] hi[8], lo[8]
  static constexpr int kSlot = kTokenSums + (kQ4 ? 16 * kTokens : 0);
  /// Two slots a wave, where there is room: the next round is written while slower threads still read this one's.
  static constexpr int kBuffers = 2 * kWaves * kSlot <= hip::kLdsBytesForTwo ? 2 : 1;
  static constexpr int kLds = kBuffers * kWaves * kSlot;
  static_assert(kSlot % 16 == 0 && kLds <= hip::kLdsBytesForTwo);
  /// Whether headers and tokens of the next superblock are fetched as early as its weights. More than one tile of
  /// tokens would not stay in registers, and Q6_K and Q8_0 lose more by fewer waves than they gain.
  static constexpr bool kAhead = kQ4 && kTm == 1;
  /// Waves a SIMD that registers must allow.
  static constexpr int kWavesPerSimd = kTm * kTn == 1 ? 4 : kTm * kTn == 2 ? 3 : 2;
};

/// What a workgroup works on: tokens [token0, ..) of x, weight rows [row0, ..); beyond the last the last once more.
template <class T>
struct Extent {
  const typename T::Block* weights;
  const typename T::Activation* x;
  int m, n_out, n_blocks;
  int64_t token0, row0;
  __device__ __forceinline__ const typename T::Activation* token(int i, int s) const {
    return x + (token0 + i < m ? token0 + i : m - 1) * n_blocks + s * T::Piece::kBlocks;
  }
  __device__ __forceinline__ const typename T::Block* row(int i, int s) const {
    return weights + (row0 + i < n_out ? row0 + i : n_out - 1) * n_blocks + s * T::Piece::kBlocks;
  }
  /// Blocks of superblock s that exist (Q8_0: at the end of a row fewer than eight).
  __device__ __forceinline__ int blocks_left(int s) const { return n_blocks - s * T::Piece::kBlocks; }
};

/// Headers of a superblock, of the token and of the row whose number the lane has, as loaded.
template <class T>
struct Heads {
  float row_d[T::kHeads], token_d[T::kHeads];
  Words4 row, sums[2];  ///< Q4_K

  __device__ __forceinline__ void fetch(const Extent<T>& extent, int s) {
    const int lane = hip::lane_id();
    const auto* const of_token = extent.token(lane < T::kTokens ? lane : 0, s);
    const auto* const of_row = extent.row(lane < T::kRows ? lane : 0, s);
    if constexpr (T::kQ4) {
      row = load16<16>(of_row);
      sums[0] = load16<16>(of_token->sums), sums[1] = load16<16>(of_token->sums + 8);
      token_d[0] = of_token->d;
    } else {
      const int left = extent.blocks_left(s);
      GRETA_UNROLL
      for (int b = 0; b < T::kHeads; ++b) {
        row_d[b] = hip::to_float(of_row[b < left ? b : 0].d);
        token_d[b] = of_token[b < left ? b : 0].d;
      }
    }
  }
  /// To the wave's slot.
  __device__ __forceinline__ void put(int8_t* slot) const {
    const int lane = hip::lane_id();
    auto* const to_row = reinterpret_cast<float*>(slot + T::kRowD);
    auto* const to_token = reinterpret_cast<float*>(slot + T::kTokenD);
    if constexpr (T::kQ4) {
      if (lane < T::kRows) {
        const ScalesQ4K all = all_scales(row);
        store_pack<2>(to_row + 2 * lane,
                      Pack<float, 2>{{piece_detail::half_at(row.v[0], 0), piece_detail::half_at(row.v[0], 16)}});
        store_pack<4>(reinterpret_cast<uint32_t*>(slot + T::kRowScales + 16 * lane),
                      Words4{{all.scales[0], all.scales[1], all.mins[0], all.mins[1]}});
      }
      if (lane < T::kTokens) {
        const SplitSums split = split_sums(sums);
        to_token[lane] = token_d[0];
        store_pack<4>(reinterpret_cast<uint32_t*>(slot + T::kTokenSums + 16 * lane),
                      Words4{{split.hi[0], split.hi[1], split.lo[0], split.lo[1]}});
      }
    } else {
      GRETA_UNROLL
      for (int b = 0; b < T::kHeads; ++b) {
        if (lane < T::kRows) to_row[b * T::kRows + lane] = row_d[b];
        if (lane < T::kTokens) to_token[b * T::kTokens + lane] = token_d[b];
      }
    }
  }
};

/// A lane's bytes of a superblock of a tile of tokens.
struct LaneTokens {
  Int8Bytes bytes[kRuns];
  template <class T>
  __device__ __forceinline__ void fetch(const Extent<T>& extent, int tile, int s) {
    const int run = int8_run();
    GRETA_UNROLL
    for (int r = 0; r < int8_slots(); ++r) {
      const auto* const block = extent.token(16 * tile + int8_row(r), s);
      GRETA_UNROLL
      for (int sub = 0; sub < kRuns; ++sub) {
        if constexpr (T::kQ8)
          bytes[sub][r] = load8<8>(block[sub < extent.blocks_left(s) ? sub : 0].qs + 8 * run);
        else
          bytes[sub][r] = load8<8>(block->qs + 32 * sub + 8 * run);
      }
    }
  }
};

/// Products of a superblock by one wave, whose slot has its headers: term(kind, tile of tokens, tile of rows, element,
/// value) for every element of its tiles. `left`: blocks of the superblock that exist.
template <class T, class Term>
__device__ __forceinline__ void multiply(const int8_t* slot, int left, const LaneTokens (&tokens)[T::kTm],
                                         const LaneWeights<typename T::Block> (&weights)[T::kTn][kInt8Slots],
                                         Term term) {
  using hip::FragmentC, hip::FragmentC8;
  const int lane = hip::lane_id(), wave = hip::wave_size(), elements = hip::tile_elements(wave);
  const int slots = int8_slots(), run = int8_run();
  const auto operand_a = [&](int k, int sub) { return int8_a(tokens[k].bytes[sub]); };

  if constexpr (T::kQ8) {
    FragmentC part[T::kTm][T::kTn] = {};
    GRETA_UNROLL
    for (int sub = 0; sub < kRuns; ++sub) {
      if (sub >= left) break;
      const auto* const row_d = reinterpret_cast<const float*>(slot + T::kRowD) + sub * T::kRows;
      const auto* const token_d = reinterpret_cast<const float*>(slot + T::kTokenD) + sub * T::kTokens;
      hip::FragmentA8 a[T::kTm];
      GRETA_UNROLL
      for (int k = 0; k < T::kTm; ++k) a[k] = operand_a(k, sub);
      GRETA_UNROLL
      for (int n = 0; n < T::kTn; ++n) {
        Int8Bytes bytes = {};
        GRETA_UNROLL
        for (int r = 0; r < slots; ++r) bytes[r] = weights[n][r].bytes(sub);
        const hip::FragmentB8 b = int8_b(bytes);
        GRETA_UNROLL
        for (int k = 0; k < T::kTm; ++k) {
          const FragmentC8 dot = hip::mma_16x16x32(a[k], b, FragmentC8{});
          GRETA_UNROLL
          for (int i = 0; i < elements; ++i) {
            const float d =
                row_d[16 * n + hip::tile_c_col(wave, lane, i)] * token_d[16 * k + hip::tile_c_row(wave, lane, i)];
            part[k][n].v[i] = fmaf(d, static_cast<float>(dot.v[i]), part[k][n].v[i]);
          }
        }
      }
    }
    GRETA_UNROLL
    for (int k = 0; k < T::kTm; ++k) GRETA_UNROLL
    for (int n = 0; n < T::kTn; ++n) GRETA_UNROLL
    for (int i = 0; i < elements; ++i) term(0, k, n, i, part[k][n].v[i]);
    return;
  }

  FragmentC8 sum[T::kTm][T::kTn] = {}, high[T::kQ6 ? T::kTm : 1][T::kTn] = {};
  [[maybe_unused]] Words4 row_scales[T::kTn][kInt8Columns];
  if constexpr (T::kQ4) {
    GRETA_UNROLL
    for (int n = 0; n < T::kTn; ++n) GRETA_UNROLL
    for (int c = 0; c < int8_columns(); ++c)
      row_scales[n][c] =
          load_pack<4>(reinterpret_cast<const uint32_t*>(slot + T::kRowScales + 16 * (16 * n + int8_column(c))));
  }
  GRETA_UNROLL
  for (int sub = 0; sub < kRuns; ++sub) {
    hip::FragmentA8 a[T::kTm];
    GRETA_UNROLL
    for (int k = 0; k < T::kTm; ++k) a[k] = operand_a(k, sub);
    GRETA_UNROLL
    for (int n = 0; n < T::kTn; ++n) {
      Int8Bytes bytes = {};
      if constexpr (T::kQ4) {
        GRETA_UNROLL
        for (int r = 0; r < slots; ++r) bytes[r] = weights[n][r].bytes(sub);
        const hip::FragmentB8 b = int8_b(bytes);
        GRETA_UNROLL
        for (int k = 0; k < T::kTm; ++k) {
          const FragmentC8 dot = hip::mma_16x16x32(a[k], b, FragmentC8{});
          GRETA_UNROLL
          for (int i = 0; i < elements; ++i) {
            const uint32_t scales = row_scales[n][int8_column_slot(i)].v[sub / 4];
            sum[k][n].v[i] = hip::mad24(static_cast<int>((scales >> (sub % 4 * 8)) & 0xffu), dot.v[i], sum[k][n].v[i]);
          }
        }
      } else if constexpr (T::kQ6) {
        Int8Bytes high_bytes = {};
        GRETA_UNROLL
        for (int r = 0; r < slots; ++r) weights[n][r].planes(sub, run, bytes[r], high_bytes[r]);
        const hip::FragmentB8 b = int8_b(bytes), b_high = int8_b(high_bytes);
        GRETA_UNROLL
        for (int k = 0; k < T::kTm; ++k) {
          sum[k][n] = hip::mma_16x16x32(a[k], b, sum[k][n]);
          high[k][n] = hip::mma_16x16x32(a[k], b_high, high[k][n]);
        }
      }
    }
  }
  GRETA_UNROLL
  for (int k = 0; k < T::kTm; ++k) GRETA_UNROLL
  for (int n = 0; n < T::kTn; ++n) {
    if constexpr (T::kQ4) {
      const int8_t* const token_sums = slot + T::kTokenSums + 16 * 16 * k;
      const hip::FragmentB8 mins = load_int8_b_depth8(slot + T::kRowScales + 16 * 16 * n + 8, 16);
      FragmentC8 minima = hip::mma_16x16x32_half(load_int8_a_depth8(token_sums, 16), mins, FragmentC8{});
      GRETA_UNROLL
      for (int i = 0; i < elements; ++i) minima.v[i] = 64 * minima.v[i];
      minima = hip::mma_16x16x32_half(load_int8_a_depth8(token_sums + 8, 16), mins, minima);
      GRETA_UNROLL
      for (int i = 0; i < elements; ++i) term(1, k, n, i, static_cast<float>(minima.v[i]));
    }
    GRETA_UNROLL
    for (int i = 0; i < elements; ++i) {
      int value = sum[k][n].v[i];
      if constexpr (T::kQ6) value += static_cast<int>(static_cast<unsigned>(high[k][n].v[i]) << 6);
      term(0, k, n, i, static_cast<float>(value));
    }
  }
}

/// The links that a superblock adds to an output's sum, from the terms and headers in the slot of the wave that made
/// them. output: token * T::kRows + row.
template <class T>
__device__ __forceinline__ float linked(const int8_t* slot, int output, float sum) {
  const auto* const terms = reinterpret_cast<const float*>(slot);
  if constexpr (T::kQ8) {
    return sum + terms[output];
  } else {
    const auto* const row_d = reinterpret_cast<const float*>(slot + T::kRowD);
    const float dx = reinterpret_cast<const float*>(slot + T::kTokenD)[output / T::kRows];
    const int row = output % T::kRows;
    if constexpr (T::kQ4) {
      const Pack<float, 2> d = load_pack<2>(row_d + 2 * row);
      sum = fmaf(d.v[0] * dx, terms[output], sum);
      return fmaf(-(d.v[1] * dx), terms[T::kOutputs + output], sum);
    }
    return fmaf(row_d[row] * dx, terms[output], sum);
  }
}

}  // namespace few_rows
}  // namespace greta
