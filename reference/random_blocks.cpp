// Random rows of stored weights, written without an intermediate float row so that a synthetic model is made at the
// speed of the disk. Quants are sums of two uniform numbers (a triangle, close to the bell of trained weights inside a
// block); scales vary by a factor of two between sub-blocks, as trained ones do.
#include <array>
#include <cmath>
#include <cstring>

#include "reference/quant_blocks.hpp"
#include "reference/random.hpp"

namespace greta::reference {
namespace {

half_t half(double v) { return half_from_float(static_cast<float>(v)); }

/// Variance of the sum of two uniform integers 0..n-1.
constexpr double triangle_variance(double n) { return 2 * (n * n - 1) / 12; }

// Standard deviation of w / d. Q4_K: q has the triangle of 8 and one more bit; a scale is uniform in 32..63, mean
// square 47.5^2 + (32^2 - 1) / 12. Q6_K: the triangle of 32, one more bit, mean -0.5; scales of magnitude 64..127.
const double kSpreadQ8 = std::sqrt(triangle_variance(128));
const double kSpreadQ4K = std::sqrt((triangle_variance(8) + 0.25) * (47.5 * 47.5 + 1023.0 / 12));
const double kSpreadQ6K = std::sqrt((triangle_variance(32) + 0.25 + 0.25) * (95.5 * 95.5 + 4095.0 / 12));

BlockQ8_0 weights_q8_0(Random& random, double sigma) {
  BlockQ8_0 block;
  std::array<uint8_t, 64> bits;
  random.fill(bits.data(), bits.size());
  for (int i = 0; i < 32; ++i) block.qs[i] = static_cast<int8_t>((bits[2 * i] & 127) + (bits[2 * i + 1] & 127) - 127);
  block.d = half(sigma / kSpreadQ8);
  return block;
}

BlockQ4K weights_q4k(Random& random, double sigma) {
  // q = a + b + c with a, b in 0..7 and c in 0..1: 0..15 with mean 7.5. Both nibbles of a byte come from one random
  // 16-bit number.
  BlockQ4K block;
  std::array<uint16_t, 128> bits;
  random.fill(bits.data(), sizeof(bits));
  for (int i = 0; i < 128; ++i) {
    const uint32_t r = bits[i];
    const uint32_t low = (r & 7) + (r >> 3 & 7) + (r >> 6 & 1);
    const uint32_t high = (r >> 7 & 7) + (r >> 10 & 7) + (r >> 13 & 1);
    block.qs[i] = static_cast<uint8_t>(low | high << 4);
  }
  // Scale and minimum of a sub-block are the same number in 32..63, so that d * sc * 7.5 = dmin * m centres it.
  const uint64_t r = random.next();
  int scale[8];
  for (int j = 0; j < 8; ++j) scale[j] = 32 + static_cast<int>(r >> (8 * j) & 31);
  for (int j = 0; j < 4; ++j) {
    const int packed = scale[j] | (scale[j + 4] >> 4) << 6;
    block.scales[j] = block.scales[j + 4] = static_cast<uint8_t>(packed);
    block.scales[j + 8] = static_cast<uint8_t>((scale[j + 4] & 15) * 17);
  }
  block.d = half(sigma / kSpreadQ4K);
  block.dmin = half(7.5 * half_to_float(block.d));
  return block;
}

BlockQ6K weights_q6k(Random& random, double sigma) {
  // q = a + b + c with a, b in 0..31 and c in 0..1: 0..63; the odd half of the mean is undone by scales of both signs.
  BlockQ6K block;
  std::array<uint16_t, 128> bits[2];
  random.fill(bits, sizeof(bits));
  for (int h = 0; h < 2; ++h) {
    uint8_t q[128];
    for (int i = 0; i < 128; ++i) {
      const uint32_t r = bits[h][i];
      q[i] = static_cast<uint8_t>((r & 31) + (r >> 5 & 31) + (r >> 10 & 1));
    }
    for (int l = 0; l < 32; ++l) {
      block.ql[64 * h + l] = static_cast<uint8_t>((q[l] & 15) | q[l + 64] << 4);
      block.ql[64 * h + 32 + l] = static_cast<uint8_t>((q[l + 32] & 15) | q[l + 96] << 4);
      block.qh[32 * h + l] =
          static_cast<uint8_t>(q[l] >> 4 | (q[l + 32] >> 4) << 2 | (q[l + 64] >> 4) << 4 | (q[l + 96] >> 4) << 6);
    }
  }
  uint64_t r[2] = {random.next(), random.next()};
  for (int g = 0; g < 16; ++g) {
    const int bit8 = static_cast<int>(r[g / 8] >> (8 * (g % 8)) & 127);
    const int magnitude = 64 + (bit8 & 63);
    block.scales[g] = static_cast<int8_t>((bit8 & 64) ? -magnitude : magnitude);
  }
  block.d = half(sigma / kSpreadQ6K);
  return block;
}

/// A finite F16 of either sign and magnitude up to `limit`, zero now and then.
half_t any_half(Random& random, double limit) {
  if (random.below(16) == 0) return {0};
  return half(std::fmin(limit, 65504.0) * random.uniform(-1, 1));
}

BlockQ8_0 any_q8_0(Random& random, double sigma) {
  BlockQ8_0 block;
  random.fill(&block, sizeof(block));
  block.d = any_half(random, sigma * 64 / 128);
  return block;
}
BlockQ4K any_q4k(Random& random, double sigma) {
  BlockQ4K block;
  random.fill(&block, sizeof(block));
  block.d = any_half(random, sigma * 32 / (63 * 15));
  block.dmin = any_half(random, sigma * 32 / 63);
  return block;
}
BlockQ6K any_q6k(Random& random, double sigma) {
  BlockQ6K block;
  random.fill(&block, sizeof(block));
  block.d = any_half(random, sigma * 64 / (128 * 32));
  return block;
}

/// Spread over twenty binades below 64 sigma, with exact zeros.
float any_float(Random& random, float sigma) {
  if (random.below(16) == 0) return 0;
  return std::ldexp(sigma * static_cast<float>(random.uniform(-1, 1)), 6 - static_cast<int>(random.below(20)));
}

template <class Block, class Make>
void fill_row(int64_t n_blocks, void* out, Make make) {
  for (int64_t b = 0; b < n_blocks; ++b) {
    const Block block = make();
    std::memcpy(static_cast<char*>(out) + static_cast<size_t>(b) * sizeof(Block), &block, sizeof(Block));
  }
}

}  // namespace

void random_row(DType type, RandomBlocks kind, float sigma, uint64_t seed, int64_t n_values, void* out) {
  row_bytes(type, n_values);
  Random random(seed);
  const bool any = kind == RandomBlocks::kAnyBits;
  const int64_t n_blocks = n_values / dtype_block_values(type);
  const auto value = [&] { return any ? any_float(random, sigma) : sigma * random.normal(); };
  switch (type) {
    case DType::kF16:
      return fill_row<half_t>(n_blocks, out, [&] { return half_from_float(value()); });
    case DType::kBF16:
      return fill_row<bf16_t>(n_blocks, out, [&] { return bf16_from_float(value()); });
    case DType::kQ8_0:
      return fill_row<BlockQ8_0>(n_blocks, out, [&] { return (any ? any_q8_0 : weights_q8_0)(random, sigma); });
    case DType::kQ4K:
      return fill_row<BlockQ4K>(n_blocks, out, [&] { return (any ? any_q4k : weights_q4k)(random, sigma); });
    case DType::kQ6K:
      return fill_row<BlockQ6K>(n_blocks, out, [&] { return (any ? any_q6k : weights_q6k)(random, sigma); });
    default:
      return fill_row<float>(n_blocks, out, value);
  }
}

}  // namespace greta::reference
