// K and V of one split of one KV head for one wave, in pieces of 16 keys that stream from memory through the wave's own
// LDS or registers into matrix tiles: the copy policy of decode attention. No wave waits for another.
//
//   KvPieces<T, kHeadDim, kWave> kv(lds, source);
//   kv.start();
//   for (tile = 0; tile < kv.tiles(); ++tile) {
//     for (half = 0; half < 2; ++half) kv.scores(s, q, tile, half);     // in this order and in no other
//     ... softmax of the 64 keys, p as operands ...
//     for (half = 0; half < 2; ++half) kv.values(o, p, tile, half);
//   }
//
// The products are those of MmaAttention with one fragment (kernels/tile/mma_attention.hpp), in its order: channels of
// a score ascending by 16, keys of a tile ascending by 16. Keys beyond the last are zeros; their memory is not read.
//
// Wave 64   (gfx942, host) 16-byte loads into registers, one piece ahead. K goes through 16 rows of the wave's LDS into
//           operands; V needs no LDS: a lane loads 4 keys x 8 channels and transposes them in registers, which gives 8
//           operands whose 16 rows are channels c, c + 8, c + 16, ... (4 apart at head_dim 64). The rows of O^T then
//           stand for those channels, and a lane owns 32 successive ones
// Wave 32   (sm_90a, host) cp.async into a ring of three pairs of pieces in the wave's LDS, read by ldmatrix; operands
//           are loaded one step ahead of the matrix instructions, which the compiler keeps in the order written here
// In flight 4 KiB a wave of 64, 16 KiB a wave of 32, at head_dim 128
// Paged     a piece lies in one page (pages hold a multiple of 16 keys); lane i knows the row of piece i of the split
#pragma once

#include "kernels/tile/attention_shape.hpp"
#include "kernels/tile/mma_attention.hpp"

namespace greta {

inline constexpr int kPieceKeys = 16;
inline constexpr int kTilePieces = kKvTileKeys / kPieceKeys;

/// What a wave reads: keys [begin, end) of a head, begin a multiple of 64, begin < end.
template <class T>
struct KvSource {
  const T* k;  ///< what rows count from
  const T* v;
  KvRows rows;  ///< paged: the source holds at most 512 keys
  int begin, end;
};

template <class T, int kHeadDim, int kWave>
class KvPieces {
  using Mma = MmaAttention<T, kHeadDim, kWave, 1>;
  static constexpr int kPiece = kPieceKeys * kHeadDim;
  static constexpr int kPair = 2 * kPiece;
  static constexpr int kRing = 3;                 ///< wave 32: pairs, one in use and the others on their way
  static constexpr int kOrder = 2 * kTilePieces;  ///< pieces of a tile: K K K K V V V V

 public:
  static constexpr int kLdsElements = kWave == 64 ? kPiece : kRing * kPair;

  /// lds: kLdsElements of this wave, aligned to 16 bytes.
  __device__ __forceinline__ KvPieces(T* lds, const KvSource<T>& source) : lds_(lds), source_(source) {
    last_ = source.end - 1 - source.begin;
    key_offset_ = Mma::key_lane_offset(), value_offset_ = Mma::value_lane_offset();
    const int key = kPieceKeys * (hip::lane_id() % 32);
    own_row_ = source.rows.row(source.begin + (key <= last_ ? key : last_ / kPieceKeys * kPieceKeys));
  }

  __device__ __forceinline__ int tiles() const { return last_ / kKvTileKeys + 1; }

  __device__ __forceinline__ void start() {
    if constexpr (kWave == 64) {
      load_piece(0, 0);
    } else {
      GRETA_UNROLL
      for (int n = 0; n < kRing - 1; ++n) issue_pair(0, n, n);
    }
  }

  /// s = Q K^T for keys 32 half .. + 31 of the tile.
  __device__ __forceinline__ void scores(typename Mma::Scores& s, const typename Mma::Queries& q, int tile, int half) {
    Mma::clear(s[0][2 * half]);
    Mma::clear(s[0][2 * half + 1]);
    if constexpr (kWave == 64) {
      GRETA_UNROLL
      for (int block = 2 * half; block < 2 * half + 2; ++block) {
        load_piece(tile, block + 1);
        land_keys(tile, block);
        GRETA_UNROLL
        for (int pair = 0; pair < kHeadDim / 32; ++pair) {
          typename Mma::KvOperand k[2];
          Mma::load_keys(k, lds_, key_offset_, 0, pair);
          GRETA_UNROLL
          for (int n = 0; n < 2; ++n) Mma::multiply(s[0][block], k[n], q[0][2 * pair + n]);
        }
      }
    } else {
      const T* const rows = next_pair(tile, half);
      constexpr int kPairs = kHeadDim / 32;
      typename Mma::KvOperand k[2][2][2];
      const auto load = [&](int pair) {
        GRETA_UNROLL
        for (int b = 0; b < 2; ++b) Mma::load_keys(k[pair % 2][b], rows, key_offset_, b, pair);
      };
      load(0);
      GRETA_UNROLL
      for (int pair = 0; pair < kPairs; ++pair) {
        if (pair + 1 < kPairs) load(pair + 1);
        GRETA_UNROLL
        for (int n = 0; n < 2; ++n) GRETA_UNROLL
        for (int b = 0; b < 2; ++b) Mma::multiply(s[0][2 * half + b], k[pair % 2][b][n], q[0][2 * pair + n]);
      }
    }
  }

  /// o += P V for the same keys.
  __device__ __forceinline__ void values(typename Mma::Output& o, const typename Mma::Weights& p, int tile, int half) {
    if constexpr (kWave == 64) {
      GRETA_UNROLL
      for (int block = 2 * half; block < 2 * half + 2; ++block) {
        load_piece(tile, kTilePieces + block + 1);
        multiply_values(o, Mma::unpacked(p[0][block]), tile, block);
      }
    } else {
      const T* const rows = next_pair(tile, 2 + half);
      constexpr int kGroup = 4, kGroups = Mma::kChannelBlocks / kGroup;  // operands loaded at a time
      typename Mma::KvOperand v[2][kGroup];
      const auto load = [&](int group) {
        GRETA_UNROLL
        for (int c = 0; c < kGroup; ++c)
          Mma::template load_tile<true>(v[group % 2][c], rows, value_offset_, group / kGroups,
                                        group % kGroups * kGroup + c);
      };
      load(0);
      GRETA_UNROLL
      for (int group = 0; group < 2 * kGroups; ++group) {
        if (group + 1 < 2 * kGroups) load(group + 1);
        GRETA_UNROLL
        for (int c = 0; c < kGroup; ++c)
          Mma::multiply(o[0][group % kGroups * kGroup + c], v[group % 2][c],
                        Mma::unpacked(p[0][2 * half + group / kGroups]));
      }
    }
  }

  /// One row of o in f32 to `to` [head_dim]: the lanes of the row (slot `slot` of each) write their channels.
  __device__ static __forceinline__ void store_row(float* to, const typename Mma::Output& o, int slot) {
    if constexpr (kWave == 64) {
      GRETA_UNROLL
      for (int i = 0; i < Mma::kElements; ++i) {
        const int first = kLaneChannels * hip::tile_c_row(64, hip::lane_id(), i);
        GRETA_UNROLL
        for (int c = 0; c < kLaneChannels; c += 4)
          store_pack<4>(to + first + c,
                        Pack<float, 4>{{o[0][c].v[i], o[0][c + 1].v[i], o[0][c + 2].v[i], o[0][c + 3].v[i]}});
      }
    } else {
      GRETA_UNROLL
      for (int c = 0; c < Mma::kChannelBlocks; ++c) GRETA_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int i = 2 * slot + 4 * half;
        store_pack<2>(to + 16 * c + Mma::channel_of(i), Pack<float, 2>{{o[0][c].v[i], o[0][c].v[i + 1]}});
      }
    }
  }

 private:
  /// Row 0 of a piece of the split. A piece beyond the last key has the last one's address.
  __device__ __forceinline__ size_t row_of(int piece) const {
    const int last_piece = last_ / kPieceKeys;
    const int at = piece < last_piece ? piece : last_piece;
    const int listed = hip::wave_read(own_row_, at % 32);
    const int row = source_.rows.paged() ? listed : source_.begin + kPieceKeys * at;
    return source_.rows.stride * static_cast<size_t>(row);
  }
  /// The last key of the piece that may be read.
  __device__ __forceinline__ int last_in(int piece) const {
    const int left = last_ - kPieceKeys * piece;
    return left >= kPieceKeys - 1 ? kPieceKeys - 1 : left >= 0 ? left : last_ % kPieceKeys;
  }
  /// A key's row, `channel` elements in: a scalar address and a 32-bit offset that takes one full-rate multiplication.
  __device__ __forceinline__ const T* in_row(const T* piece, int key, int last, int channel) const {
    const auto row_bytes = static_cast<unsigned>(source_.rows.stride * sizeof(T)) & 0xffffffu;
    const unsigned row = static_cast<unsigned>(key < last ? key : last) & 15u;
    return reinterpret_cast<const T*>(reinterpret_cast<const char*>(piece) +
                                      (row * row_bytes + static_cast<unsigned>(channel) * unsigned{sizeof(T)}));
  }
  /// Keys of a piece that count: below 16 only at the end.
  __device__ __forceinline__ int count_in(int piece) const { return last_ + 1 - kPieceKeys * piece; }

  // --------------------------------------------------------------------------------------- wave 32: in the background

  /// Makes pair `part` of the tile (K K V V) ready and sends for a later one.
  __device__ __forceinline__ const T* next_pair(int tile, int part) {
#if !defined(__HIP__)
    hip::async_wait<kRing - 2>();
    hip::wave_barrier();  // all lanes' copies have landed, and all lanes are done with the pair before
#endif
    const int next = part + kRing - 1;
    issue_pair(next < kTilePieces ? tile : tile + 1, next % kTilePieces, slot_ == 0 ? kRing - 1 : slot_ - 1);
    const T* const ready = lds_ + slot_ * kPair;
    slot_ = slot_ + 1 == kRing ? 0 : slot_ + 1;
    return ready;
  }
  __device__ __forceinline__ void issue_pair([[maybe_unused]] int tile, [[maybe_unused]] int part,
                                             [[maybe_unused]] int slot) {
#if !defined(__HIP__)
    if (tile < tiles()) {  // the same for the whole wave
      constexpr int kChunks = kHeadDim / kChunkElements;
      GRETA_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int piece = tile * kTilePieces + part % 2 * 2 + half, last = last_in(piece), count = count_in(piece);
        const T* const base = (part < 2 ? source_.k : source_.v) + row_of(piece);
        T* const to = lds_ + slot * kPair;
        GRETA_UNROLL
        for (int n = 0; n < kPieceKeys * kChunks / kWave; ++n) {
          const int unit = n * kWave + hip::lane_id(), key = unit / kChunks, chunk = unit % kChunks;
          hip::async_copy16(to + chunk_offset(kHeadDim, kPieceKeys * half + key_position(kWave, key), chunk),
                            in_row(base, key, last, chunk * kChunkElements), key < count);
        }
      }
    }
    hip::async_commit();  // with or without copies, so that groups can be counted
#endif
  }

  // ------------------------------------------------------------------------------------------ wave 64: by registers
  static constexpr int kKUnits = kPieceKeys * kHeadDim / 16 / 64;  ///< of 32 bytes, a lane
  static constexpr int kLaneChannels = kHeadDim / 16;              ///< of a row of V
  static constexpr int kVWords = kLaneChannels / 2;
  static constexpr int kStagedWords = 8 * kKUnits > 4 * kVWords ? 8 * kKUnits : 4 * kVWords;

  template <int N>
  __device__ static __forceinline__ void load(uint32_t* to, const T* from) {
    const auto words = load_pack<N>(reinterpret_cast<const uint32_t*>(from));
    GRETA_UNROLL
    for (int i = 0; i < N; ++i) to[i] = words.v[i];
  }

  /// Sends for piece `part` (K K K K V V V V) of the tile; part 8 is the next tile's first. Beyond the end the last
  /// piece comes once more, from a cache: a branch here would make the compiler copy the registers that are loaded, and
  /// wait for them.
  __device__ __forceinline__ void load_piece(int tile, int part) {
    const int piece = tile * kTilePieces + (part == kOrder ? kTilePieces : part % kTilePieces);
    const bool keys = part % kOrder < kTilePieces;
    const T* const base = (keys ? source_.k : source_.v) + row_of(piece);
    if (keys)
      load_keys(base, last_in(piece), part % 2);
    else
      load_values(base, last_in(piece), part % 2);
    hip::schedule_fence();
  }

  __device__ __forceinline__ void load_keys(const T* base, int last, int stage) {
    GRETA_UNROLL
    for (int n = 0; n < kKUnits; ++n) {
      const KUnit u = k_unit(kHeadDim, n * 64 + hip::lane_id());
      const T* const from = in_row(base, u.key, last, u.channel);
      load<4>(staged_[stage] + 8 * n, from);
      load<4>(staged_[stage] + 8 * n + 4, from + 16);
    }
  }
  /// Writes the staged piece to LDS as rows of operands.
  __device__ __forceinline__ void land_keys(int tile, int block) {
    uint32_t(&w)[kStagedWords] = staged_[block % 2];
    const int count = count_in(tile * kTilePieces + block);
    hip::wave_barrier();  // every lane is done with the piece before
    GRETA_UNROLL
    for (int n = 0; n < kKUnits; ++n) {
      const KUnit u = k_unit(kHeadDim, n * 64 + hip::lane_id());
      GRETA_UNROLL
      for (int i = 0; i < 8; ++i) w[8 * n + i] = u.key < count ? w[8 * n + i] : 0u;
      auto* const to = reinterpret_cast<uint32_t*>(lds_ + chunk_offset(kHeadDim, u.key, u.chunk));
      auto* const next = reinterpret_cast<uint32_t*>(lds_ + chunk_offset(kHeadDim, u.key, u.chunk + 1));
      store_pack(to, Words4{{w[8 * n], w[8 * n + 1], w[8 * n + 4], w[8 * n + 5]}});
      store_pack(next, Words4{{w[8 * n + 2], w[8 * n + 3], w[8 * n + 6], w[8 * n + 7]}});
    }
    hip::wave_barrier();
  }

  __device__ __forceinline__ void load_values(const T* base, int last, int stage) {
    GRETA_UNROLL
    for (int i = 0; i < 4; ++i)
      load<kVWords>(staged_[stage] + kVWords * i,
                    in_row(base, Mma::lane_key() + i, last, kLaneChannels * (hip::lane_id() % kPieceKeys)));
  }
  __device__ __forceinline__ void multiply_values(typename Mma::Output& o, const typename Mma::RowOperand& p, int tile,
                                                  int block) {
    uint32_t(&w)[kStagedWords] = staged_[block % 2];
    const int count = count_in(tile * kTilePieces + block);
    GRETA_UNROLL
    for (int i = 0; i < 4; ++i) GRETA_UNROLL
    for (int j = 0; j < kVWords; ++j) w[kVWords * i + j] = Mma::lane_key() + i < count ? w[kVWords * i + j] : 0u;
    GRETA_UNROLL
    for (int j = 0; j < kVWords; ++j) {  // channels 2 j and 2 j + 1 of the lane's
      const uint32_t even[2] = {hip::pack_low16(w[j], w[kVWords + j]),
                                hip::pack_low16(w[2 * kVWords + j], w[3 * kVWords + j])};
      const uint32_t odd[2] = {hip::pack_high16(w[j], w[kVWords + j]),
                               hip::pack_high16(w[2 * kVWords + j], w[3 * kVWords + j])};
      typename Mma::KvOperand v;
      memcpy(v.v, even, sizeof even);
      Mma::multiply(o[0][2 * j], v, p);
      memcpy(v.v, odd, sizeof odd);
      Mma::multiply(o[0][2 * j + 1], v, p);
    }
  }

  T* lds_;
  KvSource<T> source_;
  int last_;                       ///< key, from begin
  int own_row_ = 0;                ///< paged: row of piece lane % 32
  int key_offset_, value_offset_;  ///< of the lane's operands in a piece in LDS
  int slot_ = 0;                   ///< wave 32: of the pair that is used next
  uint32_t staged_[2][kWave == 64 ? kStagedWords : 1];
};

}  // namespace greta
