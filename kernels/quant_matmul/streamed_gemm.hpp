// The workgroup of quantised GEMM v4: waves that bring superblocks to LDS and unpack them, and waves that multiply.
// Formula, arithmetic and placement: gemm_v4.hip. For .hip files of this operator.
#pragma once

#include <algorithm>
#include <cstddef>

#include "kernels/quant_matmul/matmul_group.hpp"
#include "kernels/quant_matmul/streamed_layout.hpp"
#include "kernels/tile/int8_operand.hpp"
#include "kernels/tile/weight_piece.hpp"

namespace greta {
namespace streamed {

constexpr int kRuns = kSuperblock / kSmallBlock;  ///< of 32 columns in a superblock
constexpr int kTokenUnits = kSuperblock / kUnit;  ///< of a token's values in a superblock

#if defined(__HIP__)
constexpr int kLanes = 64;
#else
constexpr int kLanes = 32;  // at least: host has 64 with `--wave 64`
#endif

/// Tiles of 16 weight rows of a workgroup: sm_90a multiplies 32 x 16 outputs a wave, gfx942 16 x 16. Twice as many read
/// X half as often; gfx942's LDS has no room for them beside 64 tokens of Q6_K.
#if defined(__CUDACC__)
constexpr int kRowTilesOfV4 = 2, kWideRowTiles = 4;
#else
constexpr int kRowTilesOfV4 = 1, kWideRowTiles = kRowTilesOfV4;
#endif

/// kTokenTiles x kRowTiles tiles of 16 tokens x 16 weight rows for a workgroup.
template <class Block_, int kTokenTiles_, int kRowTiles_ = kRowTilesOfV4>
struct Tile {
  using Block = Block_;
  using Piece = PieceOf<Block>;
  static constexpr bool kQ4 = Piece::kMins;
  static constexpr int kTokenTiles = kTokenTiles_, kRowTiles = kRowTiles_;
#if defined(__CUDACC__)
  static constexpr int kLayout = 32;                   ///< wave that rows lie for
  static constexpr int kTm = kTokenTiles > 1 ? 2 : 1;  ///< tiles of tokens of a multiplying wave
  static constexpr int kBuffers = 4;
  static constexpr int kFetchers = kQ4 ? 2 * kRowTiles : 8;  ///< H200: docs/experiments_quant_matmul.md
#else
  static constexpr int kLayout = 64;
  static constexpr int kTm = 1, kBuffers = 2, kFetchers = 4;
#endif
  static constexpr int kTokens = kTokenTiles * hip::kTile, kRows = kRowTiles * hip::kTile;
  static constexpr int kMultipliers = kTokenTiles / kTm * kRowTiles, kWaves = kMultipliers + kFetchers;
  static constexpr int kThreads = kWaves * kLanes, kFetchThreads = kFetchers * kLanes;  ///< at least

  // Work of a fetching thread in a superblock.
  static constexpr int kTokenItems = (kTokens * kTokenUnits + kFetchThreads - 1) / kFetchThreads;
  static constexpr int kPieceItems = (kRows * kPieces + kFetchThreads - 1) / kFetchThreads;
  /// Units that hold a row's superblock: it begins on one, or at any even place of it.
  static constexpr bool kWhole = sizeof(Block) % kUnit == 0;
  static constexpr int kBytes = static_cast<int>(sizeof(Block)), kBefore = kWhole ? 0 : kUnit - 2;
  static constexpr int kRowUnits = (kBefore + kBytes + kUnit - 1) / kUnit;
  static constexpr int kRowItems = (kRows * kRowUnits + kFetchThreads - 1) / kFetchThreads;

  // LDS in bytes. A superblock of weights as it is multiplied, two of them.
  static constexpr int kStride = row_stride(kLayout), kPlanes = kQ4 ? 1 : 2;
  static constexpr int kScales = kPlanes * kRows * kStride;          // Q4_K: [row] scales[8]
  static constexpr int kMins = kScales + (kQ4 ? kRuns * kRows : 0);  // Q4_K: [row] minima[8]
  static constexpr int kRowD = kMins + (kQ4 ? kRuns * kRows : 0);    // [row] d, dmin
  static constexpr int kUnpacked = kRowD + 8 * kRows;
  // Rings: activations, a token's header behind its values; weights as stored.
  static constexpr int kTokenRing = 2 * kUnpacked, kTokenStage = kTokens * kStride;
  static constexpr int kRowRing = kTokenRing + kBuffers * kTokenStage, kRowStage = kRows * stored_stride(kQ4);
#if defined(__HIP__)
  static constexpr int kLds = kRowRing;  // weights come through registers
#else
  static constexpr int kLds = kRowRing + kBuffers * kRowStage;
#endif
  static_assert(kUnpacked % kUnit == 0 && kLds <= hip::kLdsBytes);
};

/// What a workgroup works on: all tokens, weight rows from row0, superblocks [first, first + count) of both. Beyond the
/// last token or row the last once more.
template <class T>
struct Extent {
  const typename T::Block* weights;
  const BlockQ8Act256* x;
  const int8_t *begin, *end;  ///< of the whole matrix of weights
  int tokens, rows;           ///< that exist, at least one
  int stride;                 ///< superblocks from row to row
  int count;
  __device__ __forceinline__ Extent(const typename T::Block* all_weights, int n_out, const BlockQ8Act256* all_x, int m,
                                    int n_blocks, int64_t row0, int first, int n_super)
      : weights(all_weights + row0 * n_blocks + first),
        x(all_x + first),
        begin(reinterpret_cast<const int8_t*>(all_weights)),
        end(reinterpret_cast<const int8_t*>(all_weights + static_cast<int64_t>(n_out) * n_blocks)),
        tokens(m),
        rows(n_out - static_cast<int>(row0)),
        stride(n_blocks),
        count(n_super) {}
  __device__ __forceinline__ const BlockQ8Act256* token(int i) const {
    return x + (i < tokens ? i : tokens - 1) * stride;
  }
  __device__ __forceinline__ const typename T::Block* row(int i) const {
    return weights + (i < rows ? i : rows - 1) * stride;
  }
};

/// Superblocks of a tile on their way to LDS, by the fetching waves. In iteration s, after the barrier that ends s - 1:
///   send(s)         later superblocks are sent for
///   unpack(s + 1)   its weights, for the next iteration
///   land(s)         before the next barrier: what the next iteration reads has arrived
/// sm_90a    cp.async into rings of four: activations three superblocks ahead, weights as stored four. Tokens that do
///           not exist are zeros: if all workgroups read the last one for them, its lines would be what they wait for
/// gfx942    by registers: activations stored at the end of the iteration in which they are loaded, weights loaded a
///           superblock before they are unpacked. Host: as that with a wave of 64, as sm_90a with one of 32
template <class T>
class SuperblockStream {
  using Block = typename T::Block;

 public:
  /// thread: of the fetching ones.
  __device__ __forceinline__ SuperblockStream(int8_t* lds, const Extent<T>& extent, int thread)
      : lds_(lds), extent_(extent), thread_(thread), threads_(T::kFetchers * hip::wave_size()) {
    GRETA_UNROLL
    for (int i = 0; i < T::kTokenItems; ++i) {
      const int item = item_of(i) < T::kTokens * kTokenUnits ? item_of(i) : 0;
      tokens_[i] = extent.token(item / kTokenUnits)->qs + kUnit * (item % kTokenUnits);
    }
    header_ = reinterpret_cast<const int8_t*>(extent.token(thread < T::kTokens ? thread : 0));
    GRETA_UNROLL
    for (int i = 0; i < T::kRowItems; ++i) {
      const int item = item_of(i) < T::kRows * T::kRowUnits ? item_of(i) : 0;
      rows_[i] = reinterpret_cast<const int8_t*>(extent.row(item / T::kRowUnits)) + kUnit * (item % T::kRowUnits);
      row_places_[i] = item / T::kRowUnits * stored_stride(T::kQ4) + kUnit * (item % T::kRowUnits);
    }
  }

  /// Before the first iteration: begin(); a barrier; begun().
  __device__ __forceinline__ void begin() {
    if (staged()) {
      load_pieces(0);
      load_tokens(0);
      store_tokens(0);
    } else {
#if !defined(__HIP__)
      send_rows(0);
      hip::async_commit();
      GRETA_UNROLL
      for (int s = 0; s < T::kBuffers - 1; ++s) {
        send_tokens(s);
        send_rows(s + 1);
        hip::async_commit();
      }
      hip::async_wait<T::kBuffers - 1>();
#endif
    }
  }
  __device__ __forceinline__ void begun() {
    unpack(0);
    if (staged())
      load_pieces(1);
    else
      wait();
  }
  __device__ __forceinline__ void send(int s) {
    if (staged()) {
      load_tokens(s + 1);
    } else {
#if !defined(__HIP__)
      send_tokens(s + T::kBuffers - 1);
      send_rows(s + T::kBuffers);
      hip::async_commit();
#endif
    }
  }
  __device__ __forceinline__ void unpack(int s) {
    if (s >= extent_.count) return;
    GRETA_UNROLL
    for (int i = 0; i < T::kPieceItems; ++i) {
      if (item_of(i) >= T::kRows * kPieces) break;
      const PieceAt at = piece_of(i);
      RawPiece raw = raw_[i];
      if (!staged()) {
        const int8_t* stored = lds_ + T::kRowRing + s % T::kBuffers * T::kRowStage + at.row * stored_stride(T::kQ4);
        if (!T::kWhole) stored += reinterpret_cast<uintptr_t>(extent_.row(at.row) + s) % kUnit;
        raw = T::Piece::fetch(reinterpret_cast<const Block*>(stored), at.piece);
      }
      put(lds_ + s % 2 * T::kUnpacked, at, T::Piece::decode(raw, at.piece));
    }
  }
  __device__ __forceinline__ void land(int s) {
    if (staged()) {
      store_tokens(s + 1);
      load_pieces(s + 2);
    } else {
      wait();
    }
  }

 private:
  /// By registers; else in the background.
  __device__ static __forceinline__ bool staged() {
#if defined(__HIP__)
    return true;
#elif defined(__CUDACC__)
    return false;
#else
    return hip::wave_size() == 64;
#endif
  }
  __device__ __forceinline__ int item_of(int i) const { return thread_ + i * threads_; }
  __device__ __forceinline__ PieceAt piece_of(int i) const { return piece_at(hip::wave_size(), T::kQ4, item_of(i)); }
  __device__ __forceinline__ int8_t* token_stage(int s) const {
    return lds_ + T::kTokenRing + s % T::kBuffers * T::kTokenStage;
  }
  __device__ __forceinline__ int token_place(int i) const {
    return item_of(i) / kTokenUnits * T::kStride + item_of(i) % kTokenUnits * kUnit;
  }

#if !defined(__HIP__)
  __device__ __forceinline__ void send_tokens(int s) const {
    if (s >= extent_.count) return;
    const int from = s * static_cast<int>(sizeof(BlockQ8Act256));
    GRETA_UNROLL
    for (int i = 0; i < T::kTokenItems; ++i)
      if (item_of(i) < T::kTokens * kTokenUnits)
        hip::async_copy16(token_stage(s) + token_place(i), tokens_[i] + from,
                          item_of(i) / kTokenUnits < extent_.tokens);
    if (thread_ < T::kTokens)
      hip::async_copy16(token_stage(s) + thread_ * T::kStride + kSuperblock, header_ + from, thread_ < extent_.tokens);
  }
  __device__ __forceinline__ void send_rows(int s) const {
    if (s >= extent_.count) return;
    int8_t* const stage = lds_ + T::kRowRing + s % T::kBuffers * T::kRowStage;
    GRETA_UNROLL
    for (int i = 0; i < T::kRowItems; ++i) {
      if (item_of(i) >= T::kRows * T::kRowUnits) break;
      const int8_t* from = rows_[i] + s * static_cast<int>(sizeof(Block));
      if (!T::kWhole) from -= reinterpret_cast<uintptr_t>(from) % kUnit;
      int8_t* const to = stage + row_places_[i];
      if (T::kWhole || (from >= extent_.begin && from + kUnit <= extent_.end)) {
        hip::async_copy16(to, from, true);
      } else {  // holds the first or last byte of the matrix
        for (int j = 0; j < kUnit; j += 2)
          if (from + j >= extent_.begin && from + j < extent_.end)
            *reinterpret_cast<uint16_t*>(to + j) = *reinterpret_cast<const uint16_t*>(from + j);
      }
    }
  }
#endif
  __device__ __forceinline__ void wait() const {
#if !defined(__HIP__)
    hip::async_wait<T::kBuffers - 2>();
#endif
  }

  __device__ __forceinline__ void load_tokens(int s) {
    if (s >= extent_.count) return;
    const int from = s * static_cast<int>(sizeof(BlockQ8Act256));
    GRETA_UNROLL
    for (int i = 0; i < T::kTokenItems; ++i)
      if (item_of(i) < T::kTokens * kTokenUnits) values_[i] = load16<16>(tokens_[i] + from);
    if (thread_ < T::kTokens) d_ = *reinterpret_cast<const float*>(header_ + from);
  }
  __device__ __forceinline__ void store_tokens(int s) const {
    if (s >= extent_.count) return;
    GRETA_UNROLL
    for (int i = 0; i < T::kTokenItems; ++i)
      if (item_of(i) < T::kTokens * kTokenUnits)
        store_int8_run<T::kStride>(token_stage(s) + token_place(i), values_[i]);
    if (thread_ < T::kTokens) *reinterpret_cast<float*>(token_stage(s) + thread_ * T::kStride + kSuperblock) = d_;
  }
  __device__ __forceinline__ void load_pieces(int s) {
    if (s >= extent_.count) return;
    GRETA_UNROLL
    for (int i = 0; i < T::kPieceItems; ++i)
      if (item_of(i) < T::kRows * kPieces)
        raw_[i] = T::Piece::fetch(extent_.row(piece_of(i).row) + s, piece_of(i).piece);
  }

  /// A piece as operands. Q6_K: values times their scales as 64 hi + lo.
  __device__ static __forceinline__ void put(int8_t* buffer, const PieceAt& at, WeightPiece w) {
    int8_t* const to = buffer + at.row * T::kStride;
    const int lo_at = T::Piece::lo_at(at.piece), hi_at = T::Piece::hi_at(at.piece);
    if (at.piece == 0)
      store_pack<2>(reinterpret_cast<float*>(buffer + T::kRowD + 8 * at.row), Pack<float, 2>{{w.d, w.dmin}});
    if constexpr (T::kQ4) {
      // Two neighbouring pieces have the same pair of runs; each gives one its scale and minimum.
      const int shift = 8 * (at.piece % 2);
      buffer[T::kScales + kRuns * at.row + at.piece] = static_cast<int8_t>(w.scale_pair >> shift);
      buffer[T::kMins + kRuns * at.row + at.piece] = static_cast<int8_t>(w.min_pair >> shift);
    } else {
      const HighPlanes high = split_planes(w);
      store_int8_run<T::kStride>(to + T::kRows * T::kStride + lo_at, high.lo);
      store_int8_run<T::kStride>(to + T::kRows * T::kStride + hi_at, high.hi);
    }
    store_int8_run<T::kStride>(to + lo_at, w.lo);
    store_int8_run<T::kStride>(to + hi_at, w.hi);
  }

  int8_t* lds_;
  const Extent<T>& extent_;
  int thread_, threads_;
  const int8_t *tokens_[T::kTokenItems], *header_, *rows_[T::kRowItems];
  int row_places_[T::kRowItems];
  // staged()
  Words4 values_[T::kTokenItems] = {};
  float d_ = 0.0f;
  RawPiece raw_[T::kPieceItems] = {};
};

/// The outputs of a multiplying wave: kTm tiles of tokens times a tile of rows.
template <class T>
struct Outputs {
  int token, row;  ///< of the workgroup's tile, the wave's first
  hip::FragmentC sums[T::kTm] = {};

  __device__ __forceinline__ explicit Outputs(int wave)
      : token(wave % (T::kTokenTiles / T::kTm) * T::kTm * hip::kTile),
        row(wave / (T::kTokenTiles / T::kTm) * hip::kTile) {}
  __device__ __forceinline__ int token_of(int k, int i) const {
    return token + hip::kTile * k + hip::tile_c_row(hip::wave_size(), hip::lane_id(), i);
  }
  __device__ __forceinline__ int row_of(int i) const {
    return row + hip::tile_c_col(hip::wave_size(), hip::lane_id(), i);
  }

  /// Adds the links of superblock s.
  __device__ __forceinline__ void add(const int8_t* lds, int s) {
    using hip::FragmentC8;
    const int elements = hip::tile_elements(hip::wave_size());
    const int8_t* const buffer = lds + s % 2 * T::kUnpacked;
    const int8_t* const tokens = lds + T::kTokenRing + s % T::kBuffers * T::kTokenStage;
    const int8_t* const a_rows = tokens + token * T::kStride;
    const int8_t* const b_rows = buffer + row * T::kStride;
    FragmentC8 low[T::kTm] = {};
    [[maybe_unused]] FragmentC8 high[T::kTm] = {}, minima[T::kTm];
    [[maybe_unused]] Words2 mins[kInt8Slots], scales[kInt8Columns];
    if constexpr (T::kQ4) {
      GRETA_UNROLL
      for (int k = 0; k < T::kTm; ++k) minima[k] = all_biased();
      GRETA_UNROLL
      for (int r = 0; r < int8_slots(); ++r) mins[r] = eight_at(buffer + T::kMins, row + int8_row(r));
      GRETA_UNROLL
      for (int c = 0; c < int8_columns(); ++c) scales[c] = eight_at(buffer + T::kScales, row + int8_column(c));
    }
    GRETA_UNROLL
    for (int sub = 0; sub < kRuns; ++sub) {
      hip::FragmentA8 a[T::kTm];
      GRETA_UNROLL
      for (int k = 0; k < T::kTm; ++k)
        a[k] = load_int8_a<T::kStride>(a_rows + hip::kTile * k * T::kStride, kSmallBlock * sub);
      const hip::FragmentB8 b = load_int8_b<T::kStride>(b_rows, kSmallBlock * sub);
      if constexpr (T::kQ4) {
        // The minimum of a run, as if it were each of its values.
        Int8Bytes of_minimum;
        GRETA_UNROLL
        for (int r = 0; r < int8_slots(); ++r) {
          const uint32_t word = hip::four_of_byte(mins[r].v[sub / 4], sub % 4);
          of_minimum[r] = {{word, word}};
        }
        int scale[kInt8Columns];
        GRETA_UNROLL
        for (int c = 0; c < int8_columns(); ++c)
          scale[c] = static_cast<int>(hip::byte_at(scales[c].v[sub / 4], sub % 4));
        GRETA_UNROLL
        for (int k = 0; k < T::kTm; ++k) {
          const FragmentC8 dot = hip::mma_16x16x32(a[k], b, FragmentC8{});
          GRETA_UNROLL
          for (int i = 0; i < elements; ++i)
            low[k].v[i] = hip::mad24(scale[int8_column_slot(i)], dot.v[i], low[k].v[i]);
          minima[k] = hip::mma_16x16x32(a[k], int8_b(of_minimum), minima[k]);
        }
      } else {
        const hip::FragmentB8 b_high = load_int8_b<T::kStride>(b_rows + T::kRows * T::kStride, kSmallBlock * sub);
        GRETA_UNROLL
        for (int k = 0; k < T::kTm; ++k) {
          low[k] = hip::mma_16x16x32(a[k], b, low[k]);
          high[k] = hip::mma_16x16x32(a[k], b_high, high[k]);
        }
      }
    }
    GRETA_UNROLL
    for (int k = 0; k < T::kTm; ++k) GRETA_UNROLL
    for (int i = 0; i < elements; ++i) {
      const float dx = *reinterpret_cast<const float*>(tokens + token_of(k, i) * T::kStride + kSuperblock);
      const auto d = load_pack<2>(reinterpret_cast<const float*>(buffer + T::kRowD + 8 * row_of(i)));
      int value = low[k].v[i];
      if constexpr (!T::kQ4) value += static_cast<int>(static_cast<unsigned>(high[k].v[i]) << 6);
      float& sum = sums[k].v[i];
      sum = fmaf(d.v[0] * dx, static_cast<float>(value), sum);
      if constexpr (T::kQ4) sum = fmaf(-(d.v[1] * dx), unbiased(minima[k].v[i]), sum);
    }
  }

 private:
  __device__ static __forceinline__ Words2 eight_at(const int8_t* bytes, int of_row) {
    return load_pack<2>(reinterpret_cast<const uint32_t*>(bytes + kRuns * of_row));
  }
};

/// The workgroup's tile over its superblocks, by all of its threads, in T::kLds bytes of LDS: store_output(token, row
/// of the tile, sum) is called once for each output that exists.
template <class T, class Store>
__device__ __forceinline__ void multiply_tile(int8_t* lds, const Extent<T>& extent, Store store_output) {
  const int wave = hip::wave_uniform(hip::wave_id());
  const bool fetches = wave >= T::kMultipliers;
  SuperblockStream<T> stream(lds, extent,
                             fetches ? static_cast<int>(threadIdx.x) - T::kMultipliers * hip::wave_size() : 0);
  Outputs<T> outputs(wave);

  if (fetches) stream.begin();
  __syncthreads();
  if (fetches) stream.begun();
  for (int s = 0; s < extent.count; ++s) {
    __syncthreads();
    if (fetches) {
      stream.send(s);
      stream.unpack(s + 1);
      stream.land(s);
    } else {
      outputs.add(lds, s);
    }
  }

  if (fetches) return;
  GRETA_UNROLL
  for (int k = 0; k < T::kTm; ++k) GRETA_UNROLL
  for (int i = 0; i < hip::tile_elements(hip::wave_size()); ++i) {
    const int token = outputs.token_of(k, i), row = outputs.row_of(i);
    if (token < extent.tokens && row < extent.rows) store_output(token, row, outputs.sums[k].v[i]);
  }
}

/// Blocks of a row of n_in columns, refused where the rows of a tile have 2^31 of them or a row of X takes 2 GiB.
template <class T>
int row_blocks(int64_t n_in) {
  const int64_t blocks = int_extent("quant_matmul: n_in", n_in) / kSuperblock;
  int_extent("quant_matmul: bytes of a row of x", blocks * static_cast<int64_t>(sizeof(BlockQ8Act256)));
  int_extent("quant_matmul: blocks of a tile's rows", blocks * std::max(T::kTokens, T::kRows));
  return static_cast<int>(blocks);
}

}  // namespace streamed
}  // namespace greta
