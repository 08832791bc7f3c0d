// The workgroup of quantised GEMM v3 and of its free variant: a tile of tokens x weight rows, a superblock a wave.
// Formula, arithmetic and placement: gemm_v3.hip. For .hip files of this operator.
#pragma once

#include <type_traits>

#include "kernels/quant_matmul/few_rows_layout.hpp"
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

/// A lane's bytes of a superblock of one weight row, as stored, and what they are as operands. refetch(block, run,
/// left, sub): of another superblock, what is not needed after run `sub` of this one; of all runs in turn, all of it.
template <class Block>
struct LaneWeights;

template <>
struct LaneWeights<BlockQ4K> {
  Words2 qs[kRuns / 2];
  __device__ __forceinline__ void refetch(const BlockQ4K* block, int run, int, int sub) {
    if (sub % 2 == 1) qs[sub / 2] = load8<8>(block->qs + 32 * (sub / 2) + 8 * run);
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
  __device__ __forceinline__ void refetch(const BlockQ6K* block, int run, int, int sub) {
    const int half = sub / 4, quarter = sub % 4, low = 2 * half + quarter % 2;
    if (quarter >= 2) ql[low] = load8<2>(block->ql + 32 * low + 8 * run);
    if (quarter == 3) qh[half] = load8<2>(block->qh + 32 * half + 8 * run);
    if (sub == kRuns - 1) scales = load16<2>(block->scales);
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
  __device__ __forceinline__ void refetch(const BlockQ8_0* block, int run, int left, int sub) {
    qs[sub] = load8<2>(block[sub < left ? sub : 0].qs + 8 * run);
  }
  __device__ __forceinline__ Words2 bytes(int sub) const { return qs[sub]; }
};

/// kPasses times kTm x kTn tiles of 16 x 16 for a wave; m: tokens, n: weight rows. Passes share the weights' loads and
/// nothing else: sums of one are in registers at a time. LDS in bytes.
template <class Block_, int kTm_, int kTn_, int kPasses_ = 1>
struct Tile {
  using Block = Block_;
  using Piece = PieceOf<Block>;
  using Activation = typename Piece::Activation;
  static constexpr int kTm = kTm_, kTn = kTn_, kPasses = kPasses_, kTokenTiles = kPasses * kTm;
  static constexpr int kTokens = kTokenTiles * hip::kTile, kRows = kTn * hip::kTile;
  static constexpr int kThreads = kWaves * kLanes, kOutputs = kTokens * kRows;
  /// Outputs of a thread: kOwn times kPack neighbouring rows of a token; and whether some thread has fewer (host:
  /// `--wave 64` has twice the threads).
  static constexpr int kPack = kOutputs % (4 * kThreads) == 0 ? 4 : kOutputs % (2 * kThreads) == 0 ? 2 : 1;
  static constexpr int kPacks = kOutputs / kPack, kOwn = (kPacks + kThreads - 1) / kThreads;
#if defined(GRETA_HOST_EXECUTOR)
  static constexpr bool kRagged = true;
#else
  static constexpr bool kRagged = kPacks % kThreads != 0;
#endif
  static constexpr bool kQ4 = Piece::kMins, kQ8 = Piece::kBlocks > 1, kQ6 = !kQ4 && !kQ8;
  static constexpr int kHeads = kQ8 ? kRuns : 1;  ///< values of d a row and a token have in a superblock
  /// From one head's values to the next: eight heads of four rows are written at once, and fall in 32 banks.
  static constexpr int kRowStride = kRows + (kQ8 ? 4 : 0), kTokenStride = kTokens + (kQ8 ? 4 : 0);
  GRETA_HOST_DEVICE static constexpr int superblocks(int n_blocks) {
    return (n_blocks + Piece::kBlocks - 1) / Piece::kBlocks;
  }

  // Of one wave, from the start of its slot: what an output's link of the chain is made of, and the headers.
  static constexpr int kTerms = kQ4 ? 2 : 1;           // integer sums as floats; Q8_0: the sum of the superblock
  static constexpr int kRowD = 4 * kTerms * kOutputs;  // [head][row] d; Q4_K: d and dmin
  static constexpr int kTokenD = kRowD + kHeads * kRowStride * (kQ4 ? 8 : 4);  // [head][token] d
  static constexpr int kRowScales = kTokenD + 4 * kHeads * kTokenStride;       // Q4_K: [row] scales[8], minima[8]
  static constexpr int kTokenSums = kRowScales + (kQ4 ? 16 * kRows : 0);       // Q4_K: [token] hi[8], lo[8]
  static constexpr int kSlot = kTokenSums + (kQ4 ? 16 * kTokens : 0);
  /// Two slots a wave, where there is room: the next round is written while slower threads still read this one's.
  static constexpr int kBuffers = 2 * kWaves * kSlot <= hip::kLdsBytesForTwo ? 2 : 1;
  static constexpr int kLds = kBuffers * kWaves * kSlot;
  static_assert(kSlot % 16 == 0 && kLds <= (kPasses == 1 ? hip::kLdsBytesForTwo : hip::kLdsBytes));
  /// Waves a SIMD that registers must allow; the free variant keeps its sums in them.
  GRETA_HOST_DEVICE static constexpr int waves_per_simd(bool free) {
    return kPasses > 1 || kTm * kTn > 2 ? 2 : kTm * kTn == 1 ? 4 : free ? 2 : 3;
  }
};

/// What a workgroup works on: tokens and weight rows from where the pointers stand; beyond the last the last once more.
template <class T>
struct Extent {
  const typename T::Block* weights;
  const typename T::Activation* x;
  int tokens, rows;  ///< that exist from there, at least one
  int n_blocks;
  __device__ __forceinline__ Extent(const typename T::Block* all_weights, const typename T::Activation* all_x, int m,
                                    int n_out, int blocks, int64_t token0, int64_t row0)
      : weights(all_weights + row0 * blocks),
        x(all_x + token0 * blocks),
        tokens(m - static_cast<int>(token0)),
        rows(n_out - static_cast<int>(row0)),
        n_blocks(blocks) {}
  /// Where token or row i of the tile begins, in blocks.
  __device__ __forceinline__ int token_at(int i) const { return (i < tokens ? i : tokens - 1) * n_blocks; }
  __device__ __forceinline__ int row_at(int i) const { return (i < rows ? i : rows - 1) * n_blocks; }
  __device__ __forceinline__ const typename T::Activation* token(int i, int s) const {
    return x + (token_at(i) + s * T::Piece::kBlocks);
  }
  __device__ __forceinline__ const typename T::Block* row(int i, int s) const {
    return weights + (row_at(i) + s * T::Piece::kBlocks);
  }
  /// Blocks of superblock s that exist (Q8_0: at the end of a row fewer than eight).
  __device__ __forceinline__ int blocks_left(int s) const { return n_blocks - s * T::Piece::kBlocks; }
};

/// Headers of a superblock, as loaded, shared out over the lanes so that neighbours load from one row: an access costs
/// a cycle for each row that it touches. Item i of a lane is number lane + i * wave size of all.
template <class T>
struct Heads {
  static constexpr int kOfToken = T::kQ4 ? 3 : T::kHeads;  ///< Q4_K: d, sums of the first half, of the second
  static constexpr int kTokenItems = (T::kTokens * kOfToken + kLanes - 1) / kLanes;
  static constexpr int kRowItems = (T::kRows * T::kHeads + kLanes - 1) / kLanes;
  using Item = std::conditional_t<T::kQ4, Words4, float>;
  Item of_row[kRowItems], of_token[kTokenItems];

  __device__ static __forceinline__ int item(int i) { return hip::lane_id() + i * hip::wave_size(); }
  __device__ __forceinline__ void fetch(const Extent<T>& extent, int s) {
    const int left = extent.blocks_left(s);
    GRETA_UNROLL
    for (int i = 0; i < kRowItems; ++i) {
      const int at = item(i) < T::kRows * T::kHeads ? item(i) : 0, b = at % T::kHeads;
      const auto* const from = extent.row(at / T::kHeads, s);
      if constexpr (T::kQ4)
        of_row[i] = load16<16>(from);
      else
        of_row[i] = hip::to_float(from[b < left ? b : 0].d);
    }
    GRETA_UNROLL
    for (int i = 0; i < kTokenItems; ++i) {
      const int at = item(i) < T::kTokens * kOfToken ? item(i) : 0, b = at % kOfToken;
      const auto* const from = extent.token(at / kOfToken, s);
      if constexpr (T::kQ4)
        of_token[i] = load16<16>(reinterpret_cast<const Words4*>(from) + b);
      else
        of_token[i] = from[b < left ? b : 0].d;
    }
  }
  /// To the wave's slot.
  __device__ __forceinline__ void put(int8_t* slot) const {
    auto* const to_row = reinterpret_cast<float*>(slot + T::kRowD);
    auto* const to_token = reinterpret_cast<float*>(slot + T::kTokenD);
    GRETA_UNROLL
    for (int i = 0; i < kRowItems; ++i) {
      const int at = item(i), row = at / T::kHeads;
      if (at >= T::kRows * T::kHeads) continue;
      if constexpr (T::kQ4) {
        const Words4& header = of_row[i];
        const ScalesQ4K all = all_scales(header);
        store_pack<2>(to_row + 2 * row,
                      Pack<float, 2>{{piece_detail::half_at(header.v[0], 0), piece_detail::half_at(header.v[0], 16)}});
        store_pack<4>(reinterpret_cast<uint32_t*>(slot + T::kRowScales + 16 * row),
                      Words4{{all.scales[0], all.scales[1], all.mins[0], all.mins[1]}});
      } else {
        to_row[at % T::kHeads * T::kRowStride + row] = of_row[i];
      }
    }
    GRETA_UNROLL
    for (int i = 0; i < kTokenItems; ++i) {
      const int at = item(i), token = at / kOfToken, part = at % kOfToken;
      if (at >= T::kTokens * kOfToken) continue;
      if constexpr (T::kQ4) {
        const Words4 in_half[1] = {of_token[i]};
        const SplitSums<1> half = split_sums(in_half);
        auto* const sums = reinterpret_cast<uint32_t*>(slot + T::kTokenSums + 16 * token);
        if (part == 0)
          to_token[token] = hip::bits_float(of_token[i].v[0]);
        else
          sums[part - 1] = half.hi[0], sums[part + 1] = half.lo[0];
      } else {
        to_token[part * T::kTokenStride + token] = of_token[i];
      }
    }
  }
};

/// A lane's bytes of a superblock of a tile of tokens.
struct LaneTokens {
  Int8Bytes bytes[kRuns];
  /// Columns 32 sub .. + 31.
  template <class T>
  __device__ __forceinline__ void fetch(const Extent<T>& extent, int tile, int s, int sub) {
    GRETA_UNROLL
    for (int r = 0; r < int8_slots(); ++r) {
      const auto* const block = extent.token(16 * tile + int8_row(r), s);
      if constexpr (T::kQ8)
        bytes[sub][r] = load8<8>(block[sub < extent.blocks_left(s) ? sub : 0].qs + 8 * int8_run());
      else
        bytes[sub][r] = load8<8>(block->qs + 32 * sub + 8 * int8_run());
    }
  }
};

/// Products of a superblock and the first.. tiles of tokens by one wave, whose slot has its headers: term(kind, tile of
/// tokens, tile of rows, values) for each of its tiles. `left`: blocks of the superblock that exist. used(sub): of
/// `tokens` and `weights` run `sub` is no longer needed.
template <class T, class Term, class Used>
__device__ __forceinline__ void multiply(const int8_t* slot, int left, int first, const LaneTokens (&tokens)[T::kTm],
                                         const LaneWeights<typename T::Block> (&weights)[T::kTn][kInt8Slots], Term term,
                                         Used used) {
  using hip::FragmentC, hip::FragmentC8;
  const int lane = hip::lane_id(), wave = hip::wave_size(), elements = hip::tile_elements(wave);
  const int slots = int8_slots(), run = int8_run();
  const auto operand_a = [&](int k, int sub) { return int8_a(tokens[k].bytes[sub]); };

  if constexpr (T::kQ8) {
    FragmentC part[T::kTm][T::kTn] = {};
    const FragmentC8 biased = all_biased();
    GRETA_UNROLL
    for (int sub = 0; sub < kRuns; ++sub) {
      if (sub >= left) break;
      const auto* const row_d = reinterpret_cast<const float*>(slot + T::kRowD) + sub * T::kRowStride;
      const auto* const token_d = reinterpret_cast<const float*>(slot + T::kTokenD) + sub * T::kTokenStride;
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
          const FragmentC8 dot = hip::mma_16x16x32(a[k], b, biased);
          GRETA_UNROLL
          for (int i = 0; i < elements; ++i) {
            const float d = row_d[16 * n + hip::tile_c_col(wave, lane, i)] *
                            token_d[16 * (first + k) + hip::tile_c_row(wave, lane, i)];
            part[k][n].v[i] = fmaf(d, unbiased(dot.v[i]), part[k][n].v[i]);
          }
        }
      }
      used(sub);
    }
    GRETA_UNROLL
    for (int k = 0; k < T::kTm; ++k) GRETA_UNROLL
    for (int n = 0; n < T::kTn; ++n) term(0, first + k, n, part[k][n]);
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
    used(sub);
  }
  GRETA_UNROLL
  for (int k = 0; k < T::kTm; ++k) GRETA_UNROLL
  for (int n = 0; n < T::kTn; ++n) {
    if constexpr (T::kQ4) {
      const int8_t* const token_sums = slot + T::kTokenSums + 16 * 16 * (first + k);
      const hip::FragmentB8 mins = load_int8_b_depth8(slot + T::kRowScales + 16 * 16 * n + 8, 16);
      FragmentC8 minima = hip::mma_16x16x32_half(load_int8_a_depth8(token_sums, 16), mins, FragmentC8{});
      GRETA_UNROLL
      for (int i = 0; i < elements; ++i) minima.v[i] = 64 * minima.v[i] + kBias;
      minima = hip::mma_16x16x32_half(load_int8_a_depth8(token_sums + 8, 16), mins, minima);
      FragmentC values;
      GRETA_UNROLL
      for (int i = 0; i < elements; ++i) values.v[i] = unbiased(minima.v[i]);
      term(1, first + k, n, values);
    }
    FragmentC values;
    GRETA_UNROLL
    for (int i = 0; i < elements; ++i) {
      int value = sum[k][n].v[i];
      if constexpr (T::kQ6) value += static_cast<int>(static_cast<unsigned>(high[k][n].v[i]) << 6);
      values.v[i] = static_cast<float>(value);
    }
    term(0, first + k, n, values);
  }
}

/// Where a tile's element i lies among terms of one kind, and its values there.
template <class T>
__device__ __forceinline__ int place_of(int k, int n, int i) {
  const int wave = hip::wave_size(), lane = hip::lane_id();
  return term_at(wave, T::kRows, 16 * k + hip::tile_c_row(wave, lane, i), 16 * n + hip::tile_c_col(wave, lane, i));
}
template <class T>
__device__ __forceinline__ void put_terms(float* terms, int k, int n, const hip::FragmentC& values) {
  const int elements = hip::tile_elements(hip::wave_size());
  GRETA_UNROLL
  for (int i = 0; i < elements; i += 2) {
    if (hip::wave_size() == 32) {
      store_pack<2>(terms + place_of<T>(k, n, i), Pack<float, 2>{{values.v[i], values.v[i + 1]}});
    } else {
      terms[place_of<T>(k, n, i)] = values.v[i];
      terms[place_of<T>(k, n, i + 1)] = values.v[i + 1];
    }
  }
}

/// The links that a superblock adds to the sums of kPack outputs, weight rows row .. of a token, from the terms and
/// headers in the slot of the wave that made them.
template <class T, int kPack>
__device__ __forceinline__ void add_links(const int8_t* slot, int token, int row, float* sums) {
  const auto* const terms = reinterpret_cast<const float*>(slot) + term_at(hip::wave_size(), T::kRows, token, row);
  const auto term = load_pack<kPack>(terms);
  if constexpr (T::kQ8) {
    GRETA_UNROLL
    for (int j = 0; j < kPack; ++j) sums[j] = sums[j] + term.v[j];
  } else {
    const auto* const row_d = reinterpret_cast<const float*>(slot + T::kRowD);
    const float dx = reinterpret_cast<const float*>(slot + T::kTokenD)[token];
    if constexpr (T::kQ4) {
      const auto minimum = load_pack<kPack>(terms + T::kOutputs);
      GRETA_UNROLL
      for (int j = 0; j < kPack; ++j) {
        const Pack<float, 2> d = load_pack<2>(row_d + 2 * (row + j));
        sums[j] = fmaf(d.v[0] * dx, term.v[j], sums[j]);
        sums[j] = fmaf(-(d.v[1] * dx), minimum.v[j], sums[j]);
      }
    } else {
      const auto d = load_pack<kPack>(row_d + row);
      GRETA_UNROLL
      for (int j = 0; j < kPack; ++j) sums[j] = fmaf(d.v[j] * dx, term.v[j], sums[j]);
    }
  }
}

}  // namespace few_rows
}  // namespace greta
