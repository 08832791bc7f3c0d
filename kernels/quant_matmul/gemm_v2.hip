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
//           LDS rows: kernels/tile/int8_tile.hpp.
// From v1   matrix tiles instead of dot products on the vector units; two buffers instead of one.
#include "kernels/quant_matmul/matmul_group.hpp"
#include "kernels/tile/int8_tile.hpp"
#include "kernels/tile/weight_piece.hpp"

namespace greta {
namespace {

#if defined(__HIP__)
constexpr int kLanes = 64;
#else
constexpr int kLanes = 32;  // at least, on host
#endif
constexpr int kSteps = kSuperblock / kInt8Step;       // of a superblock
constexpr int kStepBlocks = kInt8Step / kSmallBlock;  // runs of 32 columns: depths of a tile
static_assert(kSteps >= 2, "a superblock's scales are written in its first step and read in its last");

/// Whether `items` leave some of the threads without work in a round; on host always, which may have twice as many.
GRETA_HOST_DEVICE constexpr bool ragged(int items, int threads) {
#if defined(GRETA_HOST_EXECUTOR)
  return items > 0 && threads > 0;
#else
  return items % threads != 0;
#endif
}

/// kTm x kTn tiles of a wave, kWm x kWn waves of a workgroup; m: tokens, n: weight rows.
template <class Block_, int kTm_, int kTn_, int kWm_, int kWn_>
struct Tile {
  using Block = Block_;
  using Piece = PieceOf<Block>;
  static constexpr int kTm = kTm_, kTn = kTn_, kWm = kWm_, kWn = kWn_;
  static constexpr int kTokens = kWm * kTm * hip::kTile, kRows = kWn * kTn * hip::kTile;
  static constexpr int kWaves = kWm * kWn, kThreads = kWaves * kLanes;
  static constexpr bool kQ4 = Piece::kMins, kQ8 = Piece::kBlocks > 1, kQ6 = !kQ4 && !kQ8;
  static constexpr int kPlanes = kQ6 ? 2 : 1;
  // Pieces of a weight row in a step. A piece of Q6_K has runs 64 columns apart: steps of 64 take one run of it, and
  // the other in the next step.
  static constexpr bool kOneRun = kQ6 && kInt8Step == 64;
  static constexpr int kStepPieces = kOneRun ? 4 : kPieces / kSteps;
  /// Of the superblock, the item-th of a row in step `half` of the superblock.
  __device__ static int piece_of(int half, int item) {
    return (kOneRun ? half / 2 : half) * kStepPieces + item % kStepPieces;
  }
  static_assert(kTokens + kRows <= kThreads, "a thread for each token's and row's scales");

  // Work of a thread in a step.
  static constexpr int kWeightItems = (kRows * kStepPieces + kThreads - 1) / kThreads;
  static constexpr int kTokenChunks = kTokens * (kInt8Step / 16);
  static constexpr int kTokenItems = (kTokenChunks + kThreads - 1) / kThreads;
  static constexpr int kScaleItems = (kTokens * kStepBlocks + kThreads - 1) / kThreads;  // Q8_0

  // LDS in bytes from the start: two step buffers, then what a superblock has once.
  static constexpr int kX = 0, kW = kX + kTokens * kInt8Stride;
  static constexpr int kScales = kW + kPlanes * kRows * kInt8Stride;           // Q4_K: [row] 4 bytes of scales
  static constexpr int kRowD = kScales + (kQ4 ? kRows * 4 : 0);                // Q8_0: [block][row] d
  static constexpr int kTokenD = kRowD + (kQ8 ? kStepBlocks * kRows * 4 : 0);  // Q8_0: [block][token] d
  static constexpr int kBuffer = kTokenD + (kQ8 ? kStepBlocks * kTokens * 4 : 0);
  static_assert(kBuffer % 16 == 0);
  static constexpr int kSuperX = 2 * kBuffer;                        // Q4_K, Q6_K: [token] d
  static constexpr int kSuperD = kSuperX + (kQ8 ? 0 : kTokens * 4);  // [row] d and dmin
  static constexpr int kMinX = kSuperD + (kQ8 ? 0 : kRows * 8);      // Q4_K: [token] hi[8], lo[8]
  static constexpr int kMinW = kMinX + (kQ4 ? kTokens * 16 : 0);     // Q4_K: [row] minima[8]
  static constexpr int kLds = kMinW + (kQ4 ? kRows * 8 : 0);
};

/// Sums of 32 activations as 64 hi + lo, bytes.
struct SplitSums {
  uint32_t hi[2], lo[2];
};
__device__ __forceinline__ SplitSums split_sums(const Words4 (&sums)[2]) {
  SplitSums s = {};
  GRETA_UNROLL
  for (int j = 0; j < 8; ++j) {
    const uint32_t pair = sums[j / 4].v[j % 4];
    const int sum = (static_cast<int>(pair << 16) >> 16) + (static_cast<int>(pair) >> 16);
    s.hi[j / 4] |= (static_cast<uint32_t>(sum >> 6) & 0xffu) << (8 * (j % 4));
    s.lo[j / 4] |= (static_cast<uint32_t>(sum) & 0x3fu) << (8 * (j % 4));
  }
  return s;
}

/// A whole number n, |n| < 2^22, as n + kBias: the bits of the float 1.5 * 2^23 + n. One subtraction gives it back as a
/// float, and a tile whose sums start at kBias needs no conversion.
constexpr int kBias = 0x4b400000;
__device__ __forceinline__ float unbiased(int biased) {
  return hip::bits_float(static_cast<uint32_t>(biased)) - 12582912.0f;
}

template <class T>
__global__ GRETA_LAUNCH_BOUNDS(T::kThreads, T::kWaves == 8 ? (T::kTm * T::kTn == 8 ? 2 : 4)
                                                           : 3) void gemm_kernel(GRETA_GROUP_WEIGHTS(typename T::Block),
                                                                                 const typename T::Piece::Activation* x,
                                                                                 GRETA_GROUP_OUTPUTS, int n_blocks,
                                                                                 int token_tiles) {
  using Piece = typename T::Piece;
  using hip::FragmentC, hip::FragmentC8;
  GRETA_DYNAMIC_LDS(int8_t, lds);
#if defined(GRETA_HOST_EXECUTOR)
  const int n_threads = static_cast<int>(blockDim.x);
#else
  constexpr int n_threads = T::kThreads;
#endif
  const int t = static_cast<int>(threadIdx.x), lane = hip::lane_id(), wave = hip::wave_size();
  const int wave_m = hip::wave_id() % T::kWm * T::kTm * hip::kTile;  // first token of the wave in the tile
  const int wave_n = hip::wave_id() / T::kWm * T::kTn * hip::kTile;
  const int elements = hip::tile_elements(wave);
  const MatmulPart<typename T::Block> part_of = GRETA_GROUP_PART;
  const typename T::Block* const weights = part_of.weights;
  const int tile = part_of.block, n_out = part_of.n_out;
  const int64_t token0 = static_cast<int64_t>(tile % token_tiles) * T::kTokens;
  const int64_t row0 = static_cast<int64_t>(tile / token_tiles) * T::kRows;
  const int n_super = (n_blocks + Piece::kBlocks - 1) / Piece::kBlocks;
  const int n_steps = n_super * kSteps;
  const auto token_at = [&](int i) { return token0 + i < m ? token0 + i : m - 1; };
  const auto row_at = [&](int i) { return row0 + i < n_out ? row0 + i : n_out - 1; };

  RawPiece raw[T::kWeightItems] = {};
  [[maybe_unused]] Words4 chunks[T::kTokenItems];
  float token_d[T::kScaleItems] = {};

  // Loads of a step, to registers. Blocks beyond the end of a Q8_0 row: the row's first, and no product below.
  const auto fetch = [&](int step, [[maybe_unused]] int8_t* buffer) {
    const int block = step / kSteps * Piece::kBlocks, half = step % kSteps;
    GRETA_UNROLL
    for (int i = 0; i < T::kWeightItems; ++i) {
      const int item = t + i * n_threads;
      if (ragged(T::kRows * T::kStepPieces, T::kThreads) && item >= T::kRows * T::kStepPieces) break;
      const int piece = T::piece_of(half, item);
      const bool exists = !T::kQ8 || block + piece < n_blocks;
      raw[i] =
          Piece::fetch(weights + row_at(item / T::kStepPieces) * n_blocks + (exists ? block : 0), exists ? piece : 0);
    }
    GRETA_UNROLL
    for (int i = 0; i < T::kTokenItems; ++i) {
      const int item = t + i * n_threads;
      if (ragged(T::kTokenChunks, T::kThreads) && item >= T::kTokenChunks) break;
      const int token = item / (kInt8Step / 16), column = item % (kInt8Step / 16) * 16;
      const auto* from = x + token_at(token) * n_blocks;
      const int8_t* bytes;
      if constexpr (T::kQ8) {
        const int b = block + half * kStepBlocks + column / kSmallBlock;
        bytes = from[b < n_blocks ? b : 0].qs + column % kSmallBlock;
      } else {
        bytes = from[block].qs + half * kInt8Step + column;
      }
#if defined(__CUDACC__)
      hip::async_copy16(buffer + T::kX + token * kInt8Stride + column, bytes, true);
#else
      chunks[i] = load16<16>(bytes);
#endif
    }
    if constexpr (T::kQ8) {
      GRETA_UNROLL
      for (int i = 0; i < T::kScaleItems; ++i) {
        const int item = t + i * n_threads, b = block + half * kStepBlocks + item / T::kTokens;
        if (item < T::kTokens * kStepBlocks)
          token_d[i] = x[token_at(item % T::kTokens) * n_blocks + (b < n_blocks ? b : 0)].d;
      }
    }
  };
  // And from there to LDS, weights unpacked.
  const auto store = [&](int step, int8_t* buffer) {
    const int half = step % kSteps;
    GRETA_UNROLL
    for (int i = 0; i < T::kWeightItems; ++i) {
      const int item = t + i * n_threads;
      if (ragged(T::kRows * T::kStepPieces, T::kThreads) && item >= T::kRows * T::kStepPieces) break;
      const int row = item / T::kStepPieces, piece = T::piece_of(half, item);
      WeightPiece w = Piece::decode(raw[i], piece);
      [[maybe_unused]] int8_t* const to = buffer + T::kW + row * kInt8Stride - half * kInt8Step;
      if constexpr (T::kOneRun) {
        int8_t* const at = buffer + T::kW + row * kInt8Stride + 16 * (item % T::kStepPieces);
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
        Words4 high_of_lo, high_of_hi;
        GRETA_UNROLL
        for (int k = 0; k < 4; ++k) {
          const ScaledPlanes a = scaled_planes(w.lo.v[k], w.scale_lo), b = scaled_planes(w.hi.v[k], w.scale_hi);
          w.lo.v[k] = a.lo, high_of_lo.v[k] = a.hi, w.hi.v[k] = b.lo, high_of_hi.v[k] = b.hi;
        }
        store_int8_run(to + T::kRows * kInt8Stride + Piece::lo_at(piece), high_of_lo);
        store_int8_run(to + T::kRows * kInt8Stride + Piece::hi_at(piece), high_of_hi);
      }
      if constexpr (!T::kOneRun) {
        store_int8_run(to + Piece::lo_at(piece), w.lo);
        store_int8_run(to + Piece::hi_at(piece), w.hi);
      }
      if constexpr (T::kQ4) {
        // Two pieces have the same pair of scales; the even one writes it.
        if (piece % 2 == 0)
          *reinterpret_cast<uint16_t*>(buffer + T::kScales + row * 4 + item % T::kStepPieces) =
              static_cast<uint16_t>(w.scale_lo | w.scale_hi << 8);
      }
      if constexpr (T::kQ8)
        *reinterpret_cast<float*>(buffer + T::kRowD + (item % T::kStepPieces * T::kRows + row) * 4) = w.d;
    }
#if !defined(__CUDACC__)
    GRETA_UNROLL
    for (int i = 0; i < T::kTokenItems; ++i) {
      const int item = t + i * n_threads;
      if (ragged(T::kTokenChunks, T::kThreads) && item >= T::kTokenChunks) break;
      const int token = item / (kInt8Step / 16), column = item % (kInt8Step / 16) * 16;
      store_int8_run(buffer + T::kX + token * kInt8Stride + column, chunks[i]);
    }
#endif
    if constexpr (T::kQ8) {
      GRETA_UNROLL
      for (int i = 0; i < T::kScaleItems; ++i) {
        const int item = t + i * n_threads;
        if (item < T::kTokens * kStepBlocks) *reinterpret_cast<float*>(buffer + T::kTokenD + item * 4) = token_d[i];
      }
    }
#if defined(__CUDACC__)
    hip::async_commit();
    hip::async_wait<0>();
#endif
  };

  FragmentC8 biased;
  GRETA_UNROLL
  for (int i = 0; i < hip::kFragmentCapacity; ++i) biased.v[i] = kBias;
  FragmentC acc[T::kTm][T::kTn] = {};
  FragmentC8 isum[T::kTm][T::kTn] = {};              // Q4_K, Q6_K
  FragmentC part[T::kQ8 ? T::kTm : 1][T::kTn] = {};  // Q8_0
  fetch(0, lds);
  for (int step = 0; step < n_steps; ++step) {
    int8_t* const buffer = lds + step % 2 * T::kBuffer;
    store(step, buffer);
    __syncthreads();
    if (step + 1 < n_steps) fetch(step + 1, lds + (step + 1) % 2 * T::kBuffer);
    const int block = step / kSteps * Piece::kBlocks, half = step % kSteps;

    // What the superblock has once: loaded in its first step, in LDS after the products, read in its last.
    Words4 header, sums[2];
    const bool of_token = t < T::kTokens, of_row = !of_token && t < T::kTokens + T::kRows;
    float row_d = 0.0f;
    if constexpr (!T::kQ8) {
      if (half == 0 && of_token) {
        const auto* from = x + token_at(t) * n_blocks + block;
        header = load16<16>(from);
        if constexpr (T::kQ4) sums[0] = load16<16>(from->sums), sums[1] = load16<16>(from->sums + 8);
      }
      if (half == 0 && of_row) {
        const auto* from = weights + row_at(t - T::kTokens) * n_blocks + block;
        if constexpr (T::kQ4)
          header = load16<16>(from);
        else
          row_d = hip::to_float(from->d);
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
              isum[k][n].v[i] =
                  hip::mad24(static_cast<int>((scales[n][i] >> (8 * j)) & 0xffu), dot.v[i], isum[k][n].v[i]);
          }
        } else if constexpr (T::kQ6) {
          const hip::FragmentB8 high = load_int8_b(columns + T::kRows * kInt8Stride, j * kSmallBlock);
          GRETA_UNROLL
          for (int k = 0; k < T::kTm; ++k) {
            const FragmentC8 dot = hip::mma_16x16x32(a[k], high, FragmentC8{});
            isum[k][n] = hip::mma_16x16x32(a[k], b, isum[k][n]);
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

    if constexpr (!T::kQ8) {
      if (half == 0 && of_token) {
        *reinterpret_cast<uint32_t*>(lds + T::kSuperX + t * 4) = header.v[0];
        if constexpr (T::kQ4) {
          const SplitSums s = split_sums(sums);
          *reinterpret_cast<Words4*>(lds + T::kMinX + t * 16) = {{s.hi[0], s.hi[1], s.lo[0], s.lo[1]}};
        }
      }
      if (half == 0 && of_row) {
        const int row = t - T::kTokens;
        float dmin = 0.0f;
        if constexpr (T::kQ4) {
          row_d = piece_detail::half_at(header.v[0], 0), dmin = piece_detail::half_at(header.v[0], 16);
          const ScalesQ4K all = all_scales(header);
          store_pack<2>(reinterpret_cast<uint32_t*>(lds + T::kMinW + row * 8),
                        Pack<uint32_t, 2>{{all.mins[0], all.mins[1]}});
        }
        store_pack<2>(reinterpret_cast<float*>(lds + T::kSuperD + row * 8), Pack<float, 2>{{row_d, dmin}});
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
            msum = hip::mma_16x16x32(load_int8_a_depth8(lds + T::kMinX + token * 16, 16), mins, FragmentC8{});
            GRETA_UNROLL
            for (int i = 0; i < elements; ++i) msum.v[i] = 64 * msum.v[i] + kBias;
            msum = hip::mma_16x16x32(load_int8_a_depth8(lds + T::kMinX + token * 16 + 8, 16), mins, msum);
          }
          GRETA_UNROLL
          for (int i = 0; i < elements; ++i) {
            const float dx =
                *reinterpret_cast<const float*>(lds + T::kSuperX + (token + hip::tile_c_row(wave, lane, i)) * 4);
            float& sum = acc[k][n].v[i];
            sum = fmaf(d[i].v[0] * dx, static_cast<float>(isum[k][n].v[i]), sum);
            if constexpr (T::kQ4) sum = fmaf(-(d[i].v[1] * dx), unbiased(msum.v[i]), sum);
            isum[k][n].v[i] = 0;
          }
        }
      }
    }
  }

  GRETA_UNROLL
  for (int k = 0; k < T::kTm; ++k) GRETA_UNROLL
  for (int n = 0; n < T::kTn; ++n) GRETA_UNROLL
  for (int i = 0; i < elements; ++i) {
    const int64_t token = token0 + wave_m + k * hip::kTile + hip::tile_c_row(wave, lane, i);
    const int64_t row = row0 + wave_n + n * hip::kTile + hip::tile_c_col(wave, lane, i);
    if (token < m && row < n_out)
      store_any(part_of.y_f32, part_of.y_f16, part_of.y_bf16, token * n_out + row, acc[k][n].v[i]);
  }
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
               int_extent("quant_matmul: n_in", p.n_in) / dtype_block_values(p.weights),
               int_extent("quant_matmul: m", token_tiles));
}

template <class Block>
void launch_tiles(hip::Stream& stream, const QuantMatmulGroupProblem& p, const QuantMatmulGroupArgs& args) {
  using Large = Tile<Block, 4, 2, 2, 4>;
  if (p.m <= 16) return launch_gemm<Tile<Block, 1, 1, 1, 4>>(stream, p, args);
  if (p.m <= 64) return launch_gemm<Tile<Block, 4, 1, 1, 4>>(stream, p, args);
  launch_gemm<Large>(stream, p, args);
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

}  // namespace greta
