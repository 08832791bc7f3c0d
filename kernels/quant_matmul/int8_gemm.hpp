// The workgroup of quantised GEMM v2 and of its variants: a tile of tokens x weight rows over a range of superblocks,
// by int8 matrix tiles. Formula, arithmetic and placement: gemm_v2.hip. For .hip files of this operator.
//
// On sm_90a registers are the limit: the sums of a wave take 128 of a lane's 255. So what can be is kept elsewhere
// (activations and the headers of Q4_K wait in LDS), and integer work beside the products is spared: addresses of a
// step are 32-bit places added to one 64-bit address, and the steps of a superblock are written out.
#pragma once

#include <algorithm>

#include "kernels/quant_matmul/int8_gemm_shape.hpp"

namespace greta {
namespace int8_gemm {

/// What a superblock has once of a token and of a row, to its place in LDS. Functions, not lambdas: of lambdas the
/// gfx942 compiler makes a second loop of products for the steps that have them.
template <class T>
__device__ __forceinline__ void put_token(int8_t* lds, int token, const Words4& header, const Words4 (&sums)[2]) {
  *reinterpret_cast<uint32_t*>(lds + T::kSuperX + token * 4) = header.v[0];
  if constexpr (T::kQ4) {
    const SplitSums<2> s = split_sums(sums);
    *reinterpret_cast<Words4*>(lds + T::kMinX + token * 16) = {{s.hi[0], s.hi[1], s.lo[0], s.lo[1]}};
  }
}
template <class T>
__device__ __forceinline__ void put_row(int8_t* lds, int row, const Words4& header, float d) {
  float dmin = 0.0f;
  if constexpr (T::kQ4) {
    d = piece_detail::half_at(header.v[0], 0), dmin = piece_detail::half_at(header.v[0], 16);
    const ScalesQ4K all = all_scales(header);
    store_pack<2>(reinterpret_cast<uint32_t*>(lds + T::kMinW + row * 8), Pack<uint32_t, 2>{{all.mins[0], all.mins[1]}});
  }
  store_pack<2>(reinterpret_cast<float*>(lds + T::kSuperD + row * 8), Pack<float, 2>{{d, dmin}});
}

/// Blocks of a row of n_in columns, refused where the rows of a tile take 2 GiB: places in it are 32-bit numbers of
/// bytes.
template <class T>
int row_blocks(int64_t n_in) {
  const int64_t blocks =
      int_extent("quant_matmul: n_in", n_in) / dtype_block_values(dtype_of<typename T::Block>::value);
  constexpr size_t kWidest =
      std::max(T::kTokens * sizeof(typename T::Piece::Activation), T::kRows * sizeof(typename T::Block));
  int_extent("quant_matmul: bytes of a tile's rows", blocks * static_cast<int64_t>(kWidest));
  return static_cast<int>(blocks);
}

/// Tokens [token0, + T::kTokens) times weight rows [row0, + T::kRows), superblocks [first, end) of them (first < end),
/// in T::kLds bytes of LDS. Every thread of the workgroup calls it; store_output(token, row, sum) is called once for
/// each output that exists. n_blocks: row_blocks<T>().
template <class T, class Store>
__device__ __forceinline__ void multiply_tile(int8_t* lds, const typename T::Block* weights, int n_out,
                                              const typename T::Piece::Activation* x, int m, int n_blocks,
                                              int64_t token0, int64_t row0, int first, int end, Store store_output) {
  using Piece = typename T::Piece;
  using Block = typename T::Block;
  using hip::FragmentC, hip::FragmentC8;
#if defined(GRETA_HOST_EXECUTOR)
  const unsigned n_threads = blockDim.x;
#else
  constexpr unsigned n_threads = T::kThreads;
#endif
  const unsigned t = threadIdx.x;
  const int lane = hip::lane_id(), wave = hip::wave_size();
  const int wave_m = hip::wave_id() % T::kWm * T::kTm * hip::kTile;  // first token of the wave in the tile
  const int wave_n = hip::wave_id() / T::kWm * T::kTn * hip::kTile;
  const int elements = hip::tile_elements(wave);
  // A token's or row's place from the first of the tile in bytes, 32 bits of them: a step adds it to an address that
  // the whole workgroup has. Beyond the end: the last once more.
  // Of absent tokens sm_90a copies zeros, which no memory is read for: every workgroup would ask for the last token's
  // lines again and again. The question costs large tiles of Q6_K 7 % (docs/experiments_quant_matmul.md): not
  // there, nor in those of Q8_0, where nobody has measured it.
  [[maybe_unused]] constexpr bool kAsks = T::kQ4 || T::kTokens <= 64;
  using Activation = typename Piece::Activation;
  const char* const x_bytes = reinterpret_cast<const char*>(x + token0 * n_blocks);
  const char* const w_bytes = reinterpret_cast<const char*>(weights + row0 * n_blocks);
  const int tokens = m - token0 < T::kTokens ? static_cast<int>(m - token0) : T::kTokens;
  const int rows = n_out - row0 < T::kRows ? static_cast<int>(n_out - row0) : T::kRows;
  const auto token_at = [&](int i) {
    return static_cast<uint32_t>(i < tokens ? i : tokens - 1) * (static_cast<uint32_t>(n_blocks) * sizeof(Activation));
  };
  const auto row_at = [&](int i) {
    return static_cast<uint32_t>(i < rows ? i : rows - 1) * (static_cast<uint32_t>(n_blocks) * sizeof(Block));
  };
  const auto activation = [&](int block, uint32_t at) {
    return reinterpret_cast<const Activation*>(x_bytes + static_cast<int64_t>(block) * sizeof(Activation) + at);
  };
  const auto weight = [&](int block, uint32_t at) {
    return reinterpret_cast<const Block*>(w_bytes + static_cast<int64_t>(block) * sizeof(Block) + at);
  };
  // Rounds of a step's work: thread t has piece t % kStepPieces and 16 columns t % kChunks in all of them.
  constexpr unsigned kPieceThreads = T::kStepPieces, kChunks = kInt8Step / 16;
  const int piece_row = static_cast<int>(t / kPieceThreads), piece_item = static_cast<int>(t % kPieceThreads);
  const int chunk_token = static_cast<int>(t / kChunks), column = static_cast<int>(t % kChunks * 16);
  const int piece_rows = static_cast<int>(n_threads / kPieceThreads);
  const int chunk_tokens = static_cast<int>(n_threads / kChunks);

  RawPiece raw[T::kWeightItems] = {};
  [[maybe_unused]] Words4 chunks[T::kTokenItems];
  float token_d[T::kScaleItems] = {};

  // Loads of a step, to registers. Blocks beyond the end of a Q8_0 row: the row's first, and no product below.
  const auto fetch = [&](int block, int half, [[maybe_unused]] int8_t* buffer) {
    const int piece = T::piece_of(half, piece_item);
    const bool exists = !T::kQ8 || block + piece < n_blocks;
    GRETA_UNROLL
    for (int i = 0; i < T::kWeightItems; ++i) {
      const int row = piece_row + i * piece_rows;
      if (ragged(T::kRows * T::kStepPieces, T::kThreads) && row >= T::kRows) break;
      raw[i] = Piece::fetch(weight(exists ? block : 0, row_at(row)), exists ? piece : 0);
    }
    GRETA_UNROLL
    for (int i = 0; i < T::kTokenItems; ++i) {
      const int token = chunk_token + i * chunk_tokens;
      if (ragged(T::kTokenChunks, T::kThreads) && token >= T::kTokens) break;
      const int8_t* bytes;
      if constexpr (T::kQ8) {
        const int b = block + half * kStepBlocks + column / kSmallBlock;
        bytes = activation(b < n_blocks ? b : 0, token_at(token))->qs + column % kSmallBlock;
      } else {
        bytes = activation(block, token_at(token) + static_cast<uint32_t>(column))->qs + half * kInt8Step;
      }
#if defined(__CUDACC__)
      hip::async_copy16(buffer + T::kX + token * kInt8Stride + column, bytes, !kAsks || token < tokens);
#else
      chunks[i] = load16<16>(bytes);
#endif
    }
    if constexpr (T::kQ8) {
      GRETA_UNROLL
      for (int i = 0; i < T::kScaleItems; ++i) {
        const unsigned item = t + i * n_threads;
        const int b = block + half * kStepBlocks + static_cast<int>(item / T::kTokens);
        if (item < T::kTokens * kStepBlocks)
          token_d[i] = activation(b < n_blocks ? b : 0, token_at(static_cast<int>(item % T::kTokens)))->d;
      }
    }
  };
  // And from there to LDS, weights unpacked.
  const auto store = [&](int half, int8_t* buffer) {
    const int piece = T::piece_of(half, piece_item);
    GRETA_UNROLL
    for (int i = 0; i < T::kWeightItems; ++i) {
      const int row = piece_row + i * piece_rows;
      if (ragged(T::kRows * T::kStepPieces, T::kThreads) && row >= T::kRows) break;
      WeightPiece w = Piece::decode(raw[i], piece);
      [[maybe_unused]] int8_t* const to = buffer + T::kW + row * kInt8Stride - half * kInt8Step;
      if constexpr (T::kOneRun) {
        int8_t* const at = buffer + T::kW + row * kInt8Stride + 16 * piece_item;
        const bool upper = half % 2;
        Words4 low, high;
        GRETA_UNROLL
        for (int k = 0; k < 4; ++k) {
          const ScaledPlanes run = scaled_planes(upper ? w.hi.v[k] : w.lo.v[k], upper ? w.scale_hi : w.scale_lo);
          low.v[k] = run.lo, high.v[k] = run.hi;
        }
        store_int8_run(at, low);
        store_int8_run(at + T::kRows * kInt8Stride, high);
      } else if constexpr (T::kQ6) {
        const HighPlanes planes = split_planes(w);
        store_int8_run(to + T::kRows * kInt8Stride + Piece::lo_at(piece), planes.lo);
        store_int8_run(to + T::kRows * kInt8Stride + Piece::hi_at(piece), planes.hi);
      }
      if constexpr (!T::kOneRun) {
        store_int8_run(to + Piece::lo_at(piece), w.lo);
        store_int8_run(to + Piece::hi_at(piece), w.hi);
      }
      if constexpr (T::kQ4) {
        // Two pieces have the same pair of scales; the even one writes it.
        if (piece % 2 == 0)
          *reinterpret_cast<uint16_t*>(buffer + T::kScales + row * 4 + piece_item) =
              static_cast<uint16_t>(w.scale_lo | w.scale_hi << 8);
      }
      if constexpr (T::kQ8) *reinterpret_cast<float*>(buffer + T::kRowD + (piece_item * T::kRows + row) * 4) = w.d;
    }
#if !defined(__CUDACC__)
    GRETA_UNROLL
    for (int i = 0; i < T::kTokenItems; ++i) {
      const int token = chunk_token + i * chunk_tokens;
      if (ragged(T::kTokenChunks, T::kThreads) && token >= T::kTokens) break;
      store_int8_run(buffer + T::kX + token * kInt8Stride + column, chunks[i]);
    }
#endif
    if constexpr (T::kQ8) {
      GRETA_UNROLL
      for (int i = 0; i < T::kScaleItems; ++i) {
        const unsigned item = t + i * n_threads;
        if (item < T::kTokens * kStepBlocks) *reinterpret_cast<float*>(buffer + T::kTokenD + item * 4) = token_d[i];
      }
    }
#if defined(__CUDACC__)
    hip::async_commit();
    hip::async_wait<0>();
#endif
  };

#if defined(__CUDACC__)
  // kRawHeads: what a superblock has once, copied to LDS as it is, and put to its place by the thread that copied it.
  const auto copy_heads = [&](int block) {
    GRETA_UNROLL
    for (int i = 0; i < T::kHeads; ++i) {
      const int item = static_cast<int>(t + i * n_threads), row = item - T::kTokens;
      if (item < T::kTokens) {
        const auto* const from = reinterpret_cast<const char*>(activation(block, token_at(item)));
        GRETA_UNROLL
        for (int k = 0; k < 48; k += 16) hip::async_copy16(lds + T::kRaw + item * 48 + k, from + k, item < tokens);
      } else if (row < T::kRows) {
        hip::async_copy16(lds + T::kRaw + T::kTokens * 48 + row * 16, weight(block, row_at(row)), true);
      }
    }
  };
  const auto put_heads = [&] {
    GRETA_UNROLL
    for (int i = 0; i < T::kHeads; ++i) {
      const int item = static_cast<int>(t + i * n_threads), row = item - T::kTokens;
      if (item < T::kTokens) {
        const auto* const raw = reinterpret_cast<const Words4*>(lds + T::kRaw + item * 48);
        const Words4 sums[2] = {raw[1], raw[2]};
        put_token<T>(lds, item, raw[0], sums);
      } else if (row < T::kRows) {
        put_row<T>(lds, row, *reinterpret_cast<const Words4*>(lds + T::kRaw + T::kTokens * 48 + row * 16), 0.0f);
      }
    }
  };
#endif

  const FragmentC8 biased = all_biased();
  FragmentC acc[T::kTm][T::kTn] = {};
  FragmentC8 isum[T::kTm][T::kTn] = {};              // Q4_K, Q6_K
  FragmentC part[T::kQ8 ? T::kTm : 1][T::kTn] = {};  // Q8_0
  fetch(first * Piece::kBlocks, 0, lds);
  const int n_steps = end * kSteps;
  for (int round = first * kSteps; round < n_steps; round += kUnrolled) GRETA_UNROLL
  for (int u = 0; u < kUnrolled; ++u) {
    const int step = round + u, block = step / kSteps * Piece::kBlocks;
    const int half = kUnrolled == kSteps ? u : step % kSteps, parity = kUnrolled == kSteps ? u % 2 : step % 2;
    int8_t* const buffer = lds + parity * T::kBuffer;
    store(half, buffer);
#if defined(__CUDACC__)
    if (T::kRawHeads && half == kSteps - 1) put_heads();
#endif
    __syncthreads();
    if (u + 1 < kUnrolled || step + 1 < n_steps) {
      const int next_half = (kUnrolled == kSteps ? u + 1 : step + 1) % kSteps;
      fetch((step + 1) / kSteps * Piece::kBlocks, next_half, lds + (1 - parity) * T::kBuffer);
    }

    // What the superblock has once: loaded in its first step, in LDS after the products, read in its last.
    Words4 header[T::kHeads], sums[T::kHeads][2];
    float row_d[T::kHeads] = {};
#if defined(__CUDACC__)
    if (T::kRawHeads && half == 0) copy_heads(block);
#endif
    if (!T::kQ8 && !T::kRawHeads && half == 0) {
      GRETA_UNROLL
      for (int i = 0; i < T::kHeads; ++i) {
        const unsigned item = t + i * n_threads;
        const int row = static_cast<int>(item) - T::kTokens;
        if (item < T::kTokens) {
          const Activation* const from = activation(block, token_at(static_cast<int>(item)));
          header[i] = load16<16>(from);
          if constexpr (T::kQ4) sums[i][0] = load16<16>(from->sums), sums[i][1] = load16<16>(from->sums + 8);
        }
        if (item >= T::kTokens && row < T::kRows) {
          const Block* const from = weight(block, row_at(row));
          if constexpr (T::kQ4)
            header[i] = load16<16>(from);
          else if constexpr (T::kQ6)
            row_d[i] = hip::to_float(from->d);
        }
      }
    }

    uint32_t scales[T::kTn][hip::kFragmentCapacity];
    if constexpr (T::kQ4) {
      GRETA_UNROLL
      for (int n = 0; n < T::kTn; ++n) GRETA_UNROLL
      for (int i = 0; i < elements; ++i) {
        const auto* const of_row = buffer + T::kScales + (wave_n + n * hip::kTile + hip::tile_c_col(wave, lane, i)) * 4;
        // A step of two pieces has one pair of scales a row; the other two bytes are nobody's.
        if constexpr (T::kStepPieces > 2)
          scales[n][i] = *reinterpret_cast<const uint32_t*>(of_row);
        else
          scales[n][i] = *reinterpret_cast<const uint16_t*>(of_row);
      }
    }
    const int left = n_blocks - block - half * kStepBlocks;  // Q8_0: blocks of this step that the row has
    GRETA_UNROLL
    for (int j = 0; j < kStepBlocks; ++j) {
      if (T::kQ8 && j >= left) break;
      const bool fresh = kUnrolled == kSteps && half == 0 && j == 0;  // sums of the superblock before are still there
      hip::FragmentA8 a[T::kTm];
      GRETA_UNROLL
      for (int i = 0; i < T::kTm; ++i)
        a[i] = load_int8_a(buffer + T::kX + (wave_m + i * hip::kTile) * kInt8Stride, j * kSmallBlock);
      float dx[T::kQ8 ? T::kTm : 1][hip::kFragmentCapacity];
      if constexpr (T::kQ8) {
        GRETA_UNROLL
        for (int k = 0; k < T::kTm; ++k) GRETA_UNROLL
        for (int i = 0; i < elements; ++i)
          dx[k][i] = *reinterpret_cast<const float*>(
              buffer + T::kTokenD + (j * T::kTokens + wave_m + k * hip::kTile + hip::tile_c_row(wave, lane, i)) * 4);
      }
      GRETA_UNROLL
      for (int n = 0; n < T::kTn; ++n) {
        const int8_t* const columns = buffer + T::kW + (wave_n + n * hip::kTile) * kInt8Stride;
        const hip::FragmentB8 b = load_int8_b(columns, j * kSmallBlock);
        if constexpr (T::kQ4) {
          GRETA_UNROLL
          for (int k = 0; k < T::kTm; ++k) {
            const FragmentC8 dot = hip::mma_16x16x32(a[k], b, FragmentC8{});
            GRETA_UNROLL
            for (int i = 0; i < elements; ++i)
              isum[k][n].v[i] = hip::mad24(static_cast<int>((scales[n][i] >> (8 * j)) & 0xffu), dot.v[i],
                                           fresh ? 0 : isum[k][n].v[i]);
          }
        } else if constexpr (T::kQ6) {
          const hip::FragmentB8 high = load_int8_b(columns + T::kRows * kInt8Stride, j * kSmallBlock);
          GRETA_UNROLL
          for (int k = 0; k < T::kTm; ++k) {
            const FragmentC8 dot = hip::mma_16x16x32(a[k], high, FragmentC8{});
            isum[k][n] = hip::mma_16x16x32(a[k], b, fresh ? FragmentC8{} : isum[k][n]);
            GRETA_UNROLL
            for (int i = 0; i < elements; ++i)
              isum[k][n].v[i] += static_cast<int>(static_cast<unsigned>(dot.v[i]) << 6);
          }
        } else {
          float d[hip::kFragmentCapacity];
          GRETA_UNROLL
          for (int i = 0; i < elements; ++i)
            d[i] = *reinterpret_cast<const float*>(
                buffer + T::kRowD + (j * T::kRows + wave_n + n * hip::kTile + hip::tile_c_col(wave, lane, i)) * 4);
          GRETA_UNROLL
          for (int k = 0; k < T::kTm; ++k) {
            const FragmentC8 dot = hip::mma_16x16x32(a[k], b, biased);
            GRETA_UNROLL
            for (int i = 0; i < elements; ++i)
              part[k][n].v[i] = fmaf(d[i] * dx[k][i], unbiased(dot.v[i]), part[k][n].v[i]);
          }
        }
      }
    }

    if (!T::kQ8 && !T::kRawHeads && half == 0) {
      GRETA_UNROLL
      for (int i = 0; i < T::kHeads; ++i) {
        const unsigned item = t + i * n_threads;
        const int row = static_cast<int>(item) - T::kTokens;
        if (item < T::kTokens) put_token<T>(lds, static_cast<int>(item), header[i], sums[i]);
        if (item >= T::kTokens && row < T::kRows) put_row<T>(lds, row, header[i], row_d[i]);
      }
    }
    if (half != kSteps - 1) continue;

    // The superblock's links of the chains.
    GRETA_UNROLL
    for (int n = 0; n < T::kTn; ++n) {
      hip::FragmentB8 mins;
      Pack<float, 2> d[hip::kFragmentCapacity] = {};
      if constexpr (T::kQ4) mins = load_int8_b_depth8(lds + T::kMinW + (wave_n + n * hip::kTile) * 8, 8);
      if constexpr (!T::kQ8) {
        GRETA_UNROLL
        for (int i = 0; i < elements; ++i)
          d[i] = load_pack<2>(reinterpret_cast<const float*>(
              lds + T::kSuperD + (wave_n + n * hip::kTile + hip::tile_c_col(wave, lane, i)) * 8));
      }
      GRETA_UNROLL
      for (int k = 0; k < T::kTm; ++k) {
        if constexpr (T::kQ8) {
          GRETA_UNROLL
          for (int i = 0; i < elements; ++i) acc[k][n].v[i] = acc[k][n].v[i] + part[k][n].v[i], part[k][n].v[i] = 0.0f;
        } else {
          const int token = wave_m + k * hip::kTile;
          FragmentC8 msum = {};
          if constexpr (T::kQ4) {
            msum = hip::mma_16x16x32_half(load_int8_a_depth8(lds + T::kMinX + token * 16, 16), mins, FragmentC8{});
            GRETA_UNROLL
            for (int i = 0; i < elements; ++i) msum.v[i] = 64 * msum.v[i] + kBias;
            msum = hip::mma_16x16x32_half(load_int8_a_depth8(lds + T::kMinX + token * 16 + 8, 16), mins, msum);
          }
          GRETA_UNROLL
          for (int i = 0; i < elements; ++i) {
            const float dx =
                *reinterpret_cast<const float*>(lds + T::kSuperX + (token + hip::tile_c_row(wave, lane, i)) * 4);
            float& sum = acc[k][n].v[i];
            sum = fmaf(d[i].v[0] * dx, static_cast<float>(isum[k][n].v[i]), sum);
            if constexpr (T::kQ4) sum = fmaf(-(d[i].v[1] * dx), unbiased(msum.v[i]), sum);
            if (kUnrolled != kSteps) isum[k][n].v[i] = 0;
          }
        }
      }
    }
  }

  GRETA_UNROLL
  for (int k = 0; k < T::kTm; ++k) GRETA_UNROLL
  for (int n = 0; n < T::kTn; ++n) GRETA_UNROLL
  for (int i = 0; i < elements; ++i) {
    const int token = wave_m + k * hip::kTile + hip::tile_c_row(wave, lane, i);
    const int row = wave_n + n * hip::kTile + hip::tile_c_col(wave, lane, i);
    if (token < tokens && row < rows) store_output(token0 + token, row0 + row, acc[k][n].v[i]);
  }
}

}  // namespace int8_gemm
}  // namespace greta
