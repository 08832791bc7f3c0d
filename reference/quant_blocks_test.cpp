// Dequantisation against blocks worked by hand, and the activation quantiser against its definition step by step.
#include "reference/quant_blocks.hpp"

#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/hip/error.hpp"
#include "reference/random.hpp"

namespace greta::reference {
namespace {

template <class Block>
std::vector<double> values_of(DType type, const Block& block) {
  std::vector<double> out(static_cast<size_t>(dtype_block_values(type)));
  dequantise_row(type, &block, std::span<double>(out));
  return out;
}

TEST(QuantBlocks, Q4KByHand) {
  BlockQ4K b = {};
  b.d = {0x3800};     // 0.5
  b.dmin = {0x3400};  // 0.25
  // Sub-block 0: scale 5, min 7. Sub-block 3: scale 63, min 63. Sub-block 4: scale 0b110101 = 53, min 0b101100 = 44.
  b.scales[0] = 5 | (3 << 6);   // top two bits of scale 4 are 11
  b.scales[4] = 7 | (2 << 6);   // top two bits of min 4 are 10
  b.scales[8] = 5 | (12 << 4);  // low four bits: scale 4 0101, min 4 1100
  b.scales[3] = 63;
  b.scales[7] = 63;
  b.qs[1] = 0x9;             // value 1 (sub-block 0): q = 9; value 33 (sub-block 1): q = 0
  b.qs[32 + 2] = 0xf0;       // value 64 + 32 + 2 (sub-block 3): q = 15
  b.qs[2 * 32 + 31] = 0x0a;  // value 128 + 31 (sub-block 4): q = 10
  const std::vector<double> w = values_of(DType::kQ4K, b);
  EXPECT_EQ(w[0], -0.25 * 7);
  EXPECT_EQ(w[1], 0.5 * 5 * 9 - 0.25 * 7);  // 20.75
  EXPECT_EQ(w[33], 0.0);
  EXPECT_EQ(w[98], 0.5 * 63 * 15 - 0.25 * 63);  // 456.75
  EXPECT_EQ(w[159], 0.5 * 53 * 10 - 0.25 * 44);
  EXPECT_EQ(w[128], -0.25 * 44);
  EXPECT_EQ(w[255], 0.0);
}

TEST(QuantBlocks, Q6KByHand) {
  BlockQ6K b = {};
  b.d = {0x3c00};  // 1.0
  for (int g = 0; g < 16; ++g) b.scales[g] = static_cast<int8_t>(g + 1);
  b.scales[15] = -128;
  // Half 0, l = 3: value 3 = 0b10'0101 = 37, value 35 = 0b01'1111 = 31, value 67 = 0b11'0000 = 48, value 99 = 0.
  b.ql[3] = 0x05;
  b.ql[3 + 32] = 0x0f;
  b.qh[3] = 2 | (1 << 2) | (3 << 4);
  // Half 1, l = 31: value 128 + 96 + 31 = 255 gets 63.
  b.ql[64 + 32 + 31] = 0xf0;
  b.qh[32 + 31] = 3 << 6;
  const std::vector<double> w = values_of(DType::kQ6K, b);
  EXPECT_EQ(w[3], 1 * (37 - 32));
  EXPECT_EQ(w[35], 3 * (31 - 32));
  EXPECT_EQ(w[67], 5 * (48 - 32));
  EXPECT_EQ(w[99], 7 * -32);
  EXPECT_EQ(w[255], -128 * 31);
  EXPECT_EQ(w[254], -128 * -32);
  EXPECT_EQ(w[16], 2 * -32);
}

TEST(QuantBlocks, SmallFormatsByHand) {
  BlockQ8_0 b = {};
  b.d = {0x2e66};  // 0.0999755859375
  b.qs[0] = -128;
  b.qs[31] = 127;
  const std::vector<double> w = values_of(DType::kQ8_0, b);
  EXPECT_EQ(w[0], -128 * 0.0999755859375);
  EXPECT_EQ(w[31], 127 * 0.0999755859375);
  EXPECT_EQ(w[1], 0.0);

  const half_t h[3] = {{0x0001}, {0xc100}, {0x7bff}};
  double d[3];
  dequantise_row(DType::kF16, h, std::span<double>(d));
  EXPECT_EQ(d[0], 0x1p-24);
  EXPECT_EQ(d[1], -2.5);
  EXPECT_EQ(d[2], 65504.0);
  const bf16_t bf[1] = {{0xbfc0}};
  dequantise_row(DType::kBF16, bf, std::span<double>(d, 1));
  EXPECT_EQ(d[0], -1.5);
  const float f[1] = {0x1.2p-140f};
  dequantise_row(DType::kF32, f, std::span<double>(d, 1));
  EXPECT_EQ(d[0], 0x1.2p-140);
}

TEST(QuantBlocks, FloatIsTheDoubleRoundedOnce) {
  for (const DType type : {DType::kQ4K, DType::kQ6K, DType::kQ8_0, DType::kF16, DType::kBF16, DType::kF32}) {
    std::vector<char> row(row_bytes(type, 2560));
    random_row(type, RandomBlocks::kAnyBits, 1.0f, 7, 2560, row.data());
    std::vector<double> d(2560);
    std::vector<float> f(2560);
    dequantise_row(type, row.data(), std::span<double>(d));
    dequantise_row(type, row.data(), std::span<float>(f));
    for (size_t i = 0; i < d.size(); ++i) ASSERT_EQ(f[i], static_cast<float>(d[i])) << dtype_name(type) << " " << i;
  }
}

TEST(QuantBlocks, PackUndoesUnpack) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    BlockQ4K a, a2;
    random_row(DType::kQ4K, RandomBlocks::kAnyBits, 1.0f, seed, 256, &a);
    a2 = pack(unpack(a));
    EXPECT_EQ(0, std::memcmp(&a, &a2, sizeof(a)));
    BlockQ6K b, b2;
    random_row(DType::kQ6K, RandomBlocks::kAnyBits, 1.0f, seed, 256, &b);
    b2 = pack(unpack(b));
    EXPECT_EQ(0, std::memcmp(&b, &b2, sizeof(b)));
  }
}

TEST(QuantBlocks, RefusesLengthsAndTypes) {
  EXPECT_EQ(row_bytes(DType::kQ4K, 512), 288u);
  EXPECT_EQ(row_bytes(DType::kBF16, 3), 6u);
  const auto message = [](DType type, int64_t n) -> std::string {
    try {
      row_bytes(type, n);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInvalidArgument);
      return e.what();
    }
    return "accepted";
  };
  EXPECT_EQ(message(DType::kQ4K, 4100), "q4_k row of 4100 values is not a positive multiple of the 256-value block");
  EXPECT_NE(message(DType::kQ8_0, 0), "accepted");
  EXPECT_NE(message(DType::kF32, -1), "accepted");
  EXPECT_NE(message(DType::kQ8Act256, 256).find("q8_act256 holds no weights"), std::string::npos);
}

TEST(QuantBlocks, ActivationsByHand) {
  std::vector<float> x(300, 0.0f);
  x[0] = 127.0f;  // d = 1, r = 1
  x[1] = 0.5f;    // tie to even: 0
  x[2] = 1.5f;    // tie to even: 2
  x[3] = -2.5f;   // tie to even: -2
  x[4] = -126.6f;
  x[17] = 100.0f;
  x[256] = -3.0f;  // second block, amax 3
  x[257] = 1.0f;   // 127 / 3 = 42.333332 -> 42
  const std::vector<BlockQ8Act256> b = quantise_activations_256(x);
  ASSERT_EQ(b.size(), 2u);
  EXPECT_EQ(b[0].d, 1.0f);
  EXPECT_EQ(b[0].qs[0], 127);
  EXPECT_EQ(b[0].qs[1], 0);
  EXPECT_EQ(b[0].qs[2], 2);
  EXPECT_EQ(b[0].qs[3], -2);
  EXPECT_EQ(b[0].qs[4], -127);
  EXPECT_EQ(b[0].sums[0], 127 + 0 + 2 - 2 - 127);
  EXPECT_EQ(b[0].sums[1], 100);
  EXPECT_EQ(b[0].sums[15], 0);
  EXPECT_EQ(b[1].d, 3.0f / 127.0f);
  EXPECT_EQ(b[1].qs[0], -127);
  EXPECT_EQ(b[1].qs[1], 42);
  EXPECT_EQ(b[1].sums[0], -85);
  EXPECT_EQ(b[1].qs[255], 0);  // padding

  const std::vector<BlockQ8Act32> s = quantise_activations_32(std::span(x).first(40));
  ASSERT_EQ(s.size(), 2u);
  EXPECT_EQ(s[0].qs[17], 100);
  EXPECT_EQ(s[1].d, 0.0f);
  std::vector<double> back(40);
  dequantise_activations(s, std::span<double>(back));
  EXPECT_EQ(back[17], 100.0);
  EXPECT_THROW(dequantise_activations(s, std::span<double>(std::vector<double>(65).data(), 65)), Error);
}

TEST(QuantBlocks, ActivationsAtTheEdgesOfFloat) {
  // r = 127 / amax overflows below about 3.7e-37: the block counts as zero. Just above it works.
  std::vector<float> x(32, 0.0f);
  x[5] = 1e-38f;
  BlockQ8Act32 b;
  quantise_activations(x, &b);
  EXPECT_EQ(b.d, 0.0f);
  EXPECT_EQ(b.qs[5], 0);
  x[5] = 1e-36f;
  quantise_activations(x, &b);
  EXPECT_EQ(b.qs[5], 127);
  x[5] = -FLT_MAX;
  quantise_activations(x, &b);
  EXPECT_EQ(b.qs[5], -127);
  EXPECT_EQ(b.d, FLT_MAX / 127.0f);
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    x[6] = bad;
    quantise_activations(x, &b);
    EXPECT_TRUE(std::isnan(b.d));
    EXPECT_EQ(b.qs[5], 0);
  }
}

TEST(QuantBlocks, ActivationErrorIsHalfAStep) {
  Random random(11);
  std::vector<float> x(4096);
  for (float& v : x) v = 3.0f * random.normal();
  const std::vector<BlockQ8Act256> blocks = quantise_activations_256(x);
  std::vector<double> back(x.size());
  dequantise_activations(blocks, std::span<double>(back));
  for (size_t i = 0; i < x.size(); ++i) EXPECT_LE(std::fabs(back[i] - x[i]), 0.5001 * blocks[i / 256].d);
}

}  // namespace
}  // namespace greta::reference
