// Every LDS access of attention on matrix tiles against the model of the banks; the model itself against counts by
// hand; and an unpadded, unswizzled layout, which must come out slow.
#include "kernels/tile/lds_banks.hpp"

#include <gtest/gtest.h>

#include <set>

#include "kernels/hip/fragment.hpp"
#include "kernels/tile/kv_layout.hpp"

namespace greta {
namespace {

TEST(LdsBanks, CountsByHand) {
  for (const int wave : {64, 32}) {
    EXPECT_EQ(lds_clocks(wave, 4, LdsAccess::kRead, [](int lane) { return 4 * lane; }), wave / 32);
    EXPECT_EQ(lds_clocks(wave, 4, LdsAccess::kRead, [](int) { return 64; }), wave / 32) << "one word for all";
    EXPECT_EQ(lds_clocks(wave, 4, LdsAccess::kRead, [](int lane) { return 128 * lane; }), wave) << "one bank for all";
    EXPECT_EQ(lds_clocks(wave, 8, LdsAccess::kWrite, [](int lane) { return 8 * lane; }), wave / 16);
    EXPECT_EQ(lds_clocks(wave, 16, LdsAccess::kRead, [](int lane) { return 16 * lane; }), wave / 8);
    EXPECT_EQ(lds_clocks(wave, 16, LdsAccess::kWrite, [](int lane) { return 16 * lane; }), wave / 8);
    EXPECT_EQ(lds_ideal_clocks(wave, 16), wave / 8);
  }
  EXPECT_EQ(lds_clocks(32, 16, LdsAccess::kRead, [](int lane) { return lane < 8 ? 256 * lane : -1; }), 8);
}

/// Byte address of chunk `chunk` of a row, swizzled or not.
struct Layout {
  int width;
  bool swizzle;
  int operator()(int row, int chunk) const {
    return 2 * (swizzle ? chunk_offset(width, row, chunk) : row * width + chunk * kChunkElements);
  }
};

/// The operand reads of wave 64: chunk 4p+g of row r in lane 16g+r; r runs over K's keys or V's channels.
int read_clocks_64(const Layout& at, int first_row, int pair) {
  return lds_clocks(64, 16, LdsAccess::kRead,
                    [&](int lane) { return at(first_row + lane % 16, pair * 4 + lane / 16); });
}

TEST(LdsBanks, OperandReadsOfWave64MeetNoConflict) {
  for (const int head_dim : {64, 128}) {
    for (int block = 0; block < 4; ++block)
      for (int pair = 0; pair < head_dim / 32; ++pair)
        EXPECT_EQ(read_clocks_64({head_dim, true}, 16 * block, pair), 8) << "K " << head_dim;
    for (int block = 0; block < head_dim / 16; ++block)
      for (int pair = 0; pair < 2; ++pair)
        EXPECT_EQ(read_clocks_64({kKvTileKeys, true}, 16 * block, pair), 8) << "V " << head_dim;
  }
}

/// ldmatrix: lane l gives the address of row l % 8 of matrix l / 8.
int ldmatrix_clocks(const Layout& at, int first_row, int first_chunk, bool transposed) {
  return lds_clocks(32, 16, LdsAccess::kRead, [&](int lane) {
    const int m = lane / 8, low = m % 2, high = m / 2;
    return at(first_row + 8 * (transposed ? low : high) + lane % 8, first_chunk + (transposed ? high : low));
  });
}

TEST(LdsBanks, OperandReadsOfWave32MeetNoConflict) {
  for (const int head_dim : {64, 128})
    for (int block = 0; block < 4; ++block)
      for (int step = 0; step < head_dim / 16; ++step)
        for (const bool transposed : {false, true})
          EXPECT_EQ(ldmatrix_clocks({head_dim, true}, 16 * block, 2 * step, transposed), 4);
}

TEST(LdsBanks, CopiesMeetNoConflict) {
  for (const int head_dim : {64, 128}) {
    const Layout keys{head_dim, true}, channels{kKvTileKeys, true};
    for (int first = 0; first < k_units(head_dim); first += 64)
      for (const int second : {0, 1})
        EXPECT_EQ(lds_clocks(64, 16, LdsAccess::kWrite,
                             [&](int lane) {
                               const KUnit u = k_unit(head_dim, first + lane);
                               return keys(key_row(64, u.key), u.chunk + second);
                             }),
                  8);
    for (int first = 0; first < v_blocks(head_dim); first += 64)
      for (int c = 0; c < 8; ++c)
        EXPECT_EQ(lds_clocks(64, 8, LdsAccess::kWrite,
                             [&](int lane) {
                               const VBlock b = v_block(head_dim, first + lane);
                               return channels(b.channel + c, b.chunk) + 8 * b.half;
                             }),
                  4);
    const int chunks = head_dim / kChunkElements;  // wave 32: a chunk a lane, rows of keys
    for (int first = 0; first < kKvTileKeys * chunks; first += 32)
      EXPECT_EQ(
          lds_clocks(32, 16, LdsAccess::kWrite,
                     [&](int lane) { return keys(key_row(32, (first + lane) / chunks), (first + lane) % chunks); }),
          4);
  }
}

TEST(LdsBanks, TheUnpaddedLayoutIsSeenToBeSlow) {
  for (const int head_dim : {64, 128}) {
    EXPECT_GE(read_clocks_64({head_dim, false}, 0, 0), 4 * 8);
    EXPECT_GE(read_clocks_64({kKvTileKeys, false}, 0, 0), 4 * 8);
    EXPECT_GE(ldmatrix_clocks({head_dim, false}, 0, 0, false), 8 * 4);
    EXPECT_GE(ldmatrix_clocks({head_dim, false}, 0, 0, true), 8 * 4);
  }
  // A transposing store of single elements with the lanes along the row.
  EXPECT_GE(lds_clocks(64, 2, LdsAccess::kWrite, [](int lane) { return 2 * lane * kKvTileKeys; }), 16);
}

TEST(KvLayout, EveryElementHasAPlaceOfItsOwn) {
  for (const int wave : {64, 32})
    for (const int head_dim : {64, 128}) {
      std::set<int> k, v;
      for (int key = 0; key < kKvTileKeys; ++key)
        for (int c = 0; c < head_dim; ++c)
          k.insert(k_offset(wave, head_dim, key, c)), v.insert(v_offset(wave, head_dim, key, c));
      for (const auto& places : {k, v}) {
        EXPECT_EQ(static_cast<int>(places.size()), kv_tile_elements(head_dim));
        EXPECT_EQ(*places.begin(), 0);
        EXPECT_EQ(*places.rbegin(), kv_tile_elements(head_dim) - 1);
      }
    }
}

TEST(KvLayout, OffsetsOfBlocksAreOffsetsOfChunks) {
  for (const int width : {64, 128})
    for (int block = 0; block < 8; ++block)
      for (int r = 0; r < 16; ++r)
        for (const int many : {2, 4})
          for (int first = 0; first < width / kChunkElements; first += many)
            for (int c = 0; c < many; ++c)
              EXPECT_EQ(block_chunk_offset(width, chunk_offset(width, r, c), block, first),
                        chunk_offset(width, 16 * block + r, first + c));
}

TEST(KvLayout, UnitsAndBlocksCoverTheTileOnce) {
  for (const int head_dim : {64, 128}) {
    std::set<int> k, v;
    for (int i = 0; i < k_units(head_dim); ++i) {
      const KUnit u = k_unit(head_dim, i);
      for (int c = 0; c < 8; ++c)
        for (const int second : {0, 1}) {
          const int channel = u.channel + 16 * second + c;
          k.insert(u.key * head_dim + channel);
          EXPECT_EQ(chunk_of(64, channel), u.chunk + c / 4);
          EXPECT_EQ(within_chunk(64, channel), 4 * second + c % 4);
        }
    }
    for (int i = 0; i < v_blocks(head_dim); ++i) {
      const VBlock b = v_block(head_dim, i);
      for (int key = 0; key < 4; ++key)
        for (int c = 0; c < 8; ++c) {
          v.insert((b.key + key) * head_dim + b.channel + c);
          EXPECT_EQ(chunk_of(64, b.key + key), b.chunk);
          EXPECT_EQ(within_chunk(64, b.key + key), 4 * b.half + key);
        }
    }
    EXPECT_EQ(static_cast<int>(k.size()), kv_tile_elements(head_dim));
    EXPECT_EQ(static_cast<int>(v.size()), kv_tile_elements(head_dim));
  }
}

TEST(KvLayout, ALaneHoldsFourNeighbouringKeysOnBothWaves) {
  for (const int wave : {64, 32}) {
    std::set<int> keys;
    for (int position = 0; position < 16; ++position) {
      keys.insert(key_at_position(wave, position));
      EXPECT_EQ(key_position(wave, key_at_position(wave, position)), position);
    }
    EXPECT_EQ(keys.size(), 16u);
  }
  for (int lane = 0; lane < 64; ++lane)
    for (int i = 0; i < 4; ++i) EXPECT_EQ(key_at_position(64, hip::tile_c_row(64, lane, i)), 4 * (lane / 16) + i);
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 8; ++i)
      EXPECT_EQ(key_at_position(32, hip::tile_c_col(32, lane, i)), 4 * (lane % 4) + i % 2 + 2 * (i / 4));
}

}  // namespace
}  // namespace greta
