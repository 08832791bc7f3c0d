// Where the elements of a K tile and of a V tile lie in LDS, for attention on matrix tiles. HIP-free.
//
// A tile holds 64 keys of one KV head in 16-bit elements; rows are cut into chunks of 16 bytes. The layouts follow the
// wave, as fragments do (kernels/hip/fragment.hpp):
//
//   wave 64   S^T = K Q^T and O^T = V^T P^T: K and V^T are A operands, four elements along the depth in a lane.
//             K rows are keys, depth = channels; V rows are channels, depth = keys. The depth is stored in groups of
//             32: a chunk holds elements 4g..4g+3 of the first 16 and of the second 16, so one 16-byte read brings a
//             lane's operands of two successive matrix instructions.
//   wave 32   S = Q K^T and O = P V: K and V are B operands. Rows are keys, channels in natural order; ldmatrix reads
//             K, transposing ldmatrix V. The rows of every 16 keys are permuted (key_position), so that the columns
//             of S which a lane holds, 2q, 2q+1, 2q+8, 2q+9 with q = lane % 4, are keys 4q .. 4q+3: the same four keys
//             that a lane of a wave of 64 holds, hence the same sums of p.
//
// swizzled_chunk() spreads the chunks of a row over the banks. kernels/tile/lds_banks_test.cpp runs every access of
// the kernels through a model of the banks.
#pragma once

#include "kernels/hip/host_device.hpp"

namespace greta {

inline constexpr int kKvTileKeys = 64;
inline constexpr int kChunkElements = 8;  ///< 16-bit elements in 16 bytes

/// Elements of a K or V tile.
GRETA_HOST_DEVICE constexpr int kv_tile_elements(int head_dim) { return kKvTileKeys * head_dim; }

/// The place among the 16 columns (or depths) of a matrix tile at which key `key` of a block of 16 stands, and back.
GRETA_HOST_DEVICE constexpr int key_position(int wave, int key) {
  return wave == 64 ? key : 8 * (key / 2 % 2) + 2 * (key / 4) + key % 2;
}
GRETA_HOST_DEVICE constexpr int key_at_position(int wave, int position) {
  return wave == 64 ? position : 4 * (position / 2 % 4) + 2 * (position / 8) + position % 2;
}

/// Chunk `chunk` of a row of 8 or 16 chunks lies at this chunk of the row. Reads of one chunk of 8 rows, and of chunks
/// 4h+g and 4h+g+1 of 4 rows each, then touch all 32 banks once, and so do the writes of a copy (all 8 chunks of a
/// row; the even ones or the odd ones of a row of 16; one chunk of rows r, r+8, ..., r+56).
GRETA_HOST_DEVICE constexpr int swizzled_chunk(int row, int chunk) {
  return chunk ^ (chunk >> 3) ^ (row & 7) ^ (row >> 3 & 7);
}

/// Chunk of a row, and element in the chunk, of depth (wave 64) or channel (wave 32) `e`.
GRETA_HOST_DEVICE constexpr int chunk_of(int wave, int e) {
  return wave == 64 ? e / 32 * 4 + e / 4 % 4 : e / kChunkElements;
}
GRETA_HOST_DEVICE constexpr int within_chunk(int wave, int e) {
  return wave == 64 ? e / 16 % 2 * 4 + e % 4 : e % kChunkElements;
}

/// Offset of a chunk in a tile whose rows are `width` elements.
GRETA_HOST_DEVICE constexpr int chunk_offset(int width, int row, int chunk) {
  return row * width + swizzled_chunk(row, chunk) * kChunkElements;
}
/// The same for row 16 block + r and chunk first + c, given chunk_offset(width, r, c) of r < 16 and c < 4: one
/// exclusive or with a constant; the rest fits the offset field of an LDS instruction. `first` is a
/// multiple of the number of c.
GRETA_HOST_DEVICE constexpr int block_chunk_offset(int width, int lane_offset, int block, int first) {
  const int flip = (first & 7) ^ (first >> 3) ^ (2 * block & 7);
  return (lane_offset ^ flip * kChunkElements) + 16 * block * width + (first >> 3) * 8 * kChunkElements;
}
GRETA_HOST_DEVICE constexpr int element_offset(int wave, int width, int row, int e) {
  return chunk_offset(width, row, chunk_of(wave, e)) + within_chunk(wave, e);
}

/// Row of a key of the tile in LDS, where rows are keys.
GRETA_HOST_DEVICE constexpr int key_row(int wave, int key) { return key / 16 * 16 + key_position(wave, key % 16); }

/// Offsets of an element of the tile.
GRETA_HOST_DEVICE constexpr int k_offset(int wave, int head_dim, int key, int channel) {
  return element_offset(wave, head_dim, key_row(wave, key), channel);
}
GRETA_HOST_DEVICE constexpr int v_offset(int wave, int head_dim, int key, int channel) {
  return wave == 64 ? element_offset(wave, kKvTileKeys, channel, key)
                    : element_offset(wave, head_dim, key_row(wave, key), channel);
}

// ------------------------------------------------------------------------------------------ who copies what, wave 64
// A K tile is copied in units of 32 bytes: 8 channels of each half of a group of 32, loaded as two chunks and stored as
// two. A V tile in blocks of 4 keys by 8 channels, loaded as 4 chunks, transposed in registers, stored as 8 halves of
// chunks. Unit and block numbers run with the thread; their order keeps 128 bytes of a row together in memory.

struct KUnit {
  int key;
  int channel;  ///< first of 8; the other 8 start at channel + 16
  int chunk;    ///< first of two
};
GRETA_HOST_DEVICE constexpr int k_units(int head_dim) { return kKvTileKeys * head_dim / 16; }
GRETA_HOST_DEVICE constexpr KUnit k_unit(int head_dim, int unit) {
  const int per_row = head_dim / 16, j = unit % per_row;
  return {unit / per_row, j / 2 * 32 + j % 2 * 8, j / 2 * 4 + j % 2 * 2};
}

struct VBlock {
  int key;      ///< first of 4
  int channel;  ///< first of 8
  int chunk;    ///< of the 8 rows
  int half;     ///< of the chunk
};
GRETA_HOST_DEVICE constexpr int v_blocks(int head_dim) { return kKvTileKeys / 4 * head_dim / 8; }
GRETA_HOST_DEVICE constexpr VBlock v_block(int head_dim, int block) {
  const int high = head_dim / 64, half = block / 8 % 2, rest = block / 16;
  const int octet = block % 8 + rest % high * 8, group = rest / high % 4, pair = rest / high / 4;
  return {32 * pair + 16 * half + 4 * group, 8 * octet, pair * 4 + group, half};
}

}  // namespace greta
