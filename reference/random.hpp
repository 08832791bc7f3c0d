// Seeded random numbers for tests, benchmarks and synthetic models: the same bits on every platform and compiler.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace greta::reference {

/// SplitMix64 (Steele, Lea and Flood 2014): a counter run through a mixer, so any state is a good start and streams
/// of different seeds are independent for our purposes.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  /// Uniform integer in [0, n), 1 <= n <= 2^32. The bias of the multiply-shift is below n / 2^32.
  uint64_t below(uint64_t n) { return ((next() >> 32) * n) >> 32; }
  /// Uniform in [0, 1), 53 bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// Close to normal(0, 1): the sum of four uniform 16-bit fields, centred; bounded by +-3.5. No libm, so the same
  /// bits everywhere.
  float normal() {
    const uint64_t r = next();
    const auto sum = static_cast<int32_t>((r & 0xffff) + (r >> 16 & 0xffff) + (r >> 32 & 0xffff) + (r >> 48));
    // Variance of the sum: 4 (2^32 - 1) / 12; mean 2 * 65535.
    return static_cast<float>(sum - 131070) * (1.0f / 37837.227f);
  }
  /// Fills bytes with random bits.
  void fill(void* out, size_t n_bytes) {
    auto* p = static_cast<unsigned char*>(out);
    for (; n_bytes >= 8; n_bytes -= 8, p += 8) {
      const uint64_t r = next();
      std::memcpy(p, &r, 8);
    }
    if (n_bytes > 0) {
      const uint64_t r = next();
      std::memcpy(p, &r, n_bytes);
    }
  }

 private:
  uint64_t state_;
};

/// A seed for the stream `index` of `seed` (one per tensor, per chunk, per test case).
inline uint64_t substream(uint64_t seed, uint64_t index) {
  return Random(seed ^ (index * 0xd1342543de82ef95ull + 0x2545f4914f6cdd1dull)).next();
}

}  // namespace greta::reference
