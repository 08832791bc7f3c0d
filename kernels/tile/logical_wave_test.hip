// The logical trees against plain loops: the same bits on waves of 64 and of 32, whatever the order threads run in.
#include "kernels/tile/logical_wave.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "kernels/hip/launch.hpp"

namespace greta {
namespace {

/// One wave a row of 64 values: sums[row], maxima[row]; written by every lane, read back from the last one.
template <int kSlots>
__global__ void reduce_rows(const float* x, float* sums, float* maxima) {
  const int row = static_cast<int>(blockIdx.x);
  float v[kSlots];
  for (int s = 0; s < kSlots; ++s) v[s] = x[row * kLogicalWave + logical_lane<kSlots>(s)];
  const float sum = logical_sum(v), max = logical_max(v);
  if (hip::lane_id() == hip::wave_size() - 1) sums[row] = sum, maxima[row] = max;
}

/// One workgroup a row of 256 values. A second sum at once after the first would show a barrier missing in between.
__global__ void reduce_blocks(const float* x, float* sums) {
  GRETA_LDS(float, partials, [kBlock256Partials]);
  const float v = x[blockIdx.x * kBlock256 + threadIdx.x];
  const float sum = block_sum_256(v, partials);
  const float again = block_sum_256(v * 2.0f, partials);
  if (threadIdx.x == 77) sums[2 * blockIdx.x] = sum, sums[2 * blockIdx.x + 1] = again;
}

/// sum of v[0 .. n) with distances 1, 2, 4, ...
float tree(const float* v, int n) {
  std::vector<float> level(v, v + n);
  for (int distance = 1; distance < n; distance *= 2)
    for (int i = 0; i < n; i += 2 * distance) level[i] = level[i] + level[i + distance];
  return level[0];
}

/// Values of mixed sign and size, so that another order of summation gives other bits.
std::vector<float> mixed_values(size_t count) {
  std::vector<float> values(count);
  uint32_t state = 12345;
  for (float& v : values) {
    state = state * 1664525u + 1013904223u;
    const int exponent = static_cast<int>(state >> 28) - 8;
    v = std::ldexp(static_cast<float>(static_cast<int32_t>(state << 4) >> 8), exponent - 20);
  }
  return values;
}

constexpr int kRows = 37;

struct Sums {
  std::vector<float> rows, maxima, blocks;
};

Sums run(const std::vector<float>& x) {
  hip::Stream stream;
  hip::DeviceBuffer<float> values("values", x.size()), sums("sums", kRows), maxima("maxima", kRows),
      blocks("blocks", 2 * kRows);
  values.upload(stream, x);
  with_logical_slots([&](auto slots) {
    constexpr int kSlots = decltype(slots)::value;
    hip::launch(stream, {"reduce_rows", dim3(kRows), dim3(kLogicalWave / kSlots), 0, kRows}, &reduce_rows<kSlots>,
                hip::in("x", values.cview(), kRows * kLogicalWave), hip::out("sums", sums.view(), kRows),
                hip::out("maxima", maxima.view(), kRows));
  });
  hip::launch(stream, {"reduce_blocks", dim3(kRows), dim3(kBlock256), 0, kRows}, &reduce_blocks,
              hip::in("x", values.cview(), kRows * kBlock256), hip::out("sums", blocks.view(), 2 * kRows));
  stream.synchronize();
  return {sums.to_host(stream), maxima.to_host(stream), blocks.to_host(stream)};
}

class RestoreConfig {
 public:
  ~RestoreConfig() { hip::set_exec_config(saved_); }

 private:
  hip::ExecConfig saved_ = hip::exec_config();
};

TEST(LogicalWave, SameBitsAsPlainTreesOnEveryWaveAndOrder) {
  const RestoreConfig restore;
  const std::vector<float> x = mixed_values(kRows * kBlock256);
  for (const int wave : {64, 32})
    for (const auto order :
         {hip::ExecConfig::Order::kForward, hip::ExecConfig::Order::kReverse, hip::ExecConfig::Order::kRandom}) {
      hip::ExecConfig config = hip::exec_config();
      config.wave = wave, config.order = order, config.order_seed = 7;
      hip::set_exec_config(config);
      const Sums got = run(x);
      for (int row = 0; row < kRows; ++row) {
        SCOPED_TRACE("wave " + std::to_string(wave) + " row " + std::to_string(row));
        const float* v = x.data() + row * kLogicalWave;
        EXPECT_EQ(got.rows[row], tree(v, kLogicalWave));
        EXPECT_EQ(got.maxima[row], *std::max_element(v, v + kLogicalWave));
        const float of_block = tree(x.data() + row * kBlock256, kBlock256);
        EXPECT_EQ(got.blocks[2 * row], of_block);
        EXPECT_EQ(got.blocks[2 * row + 1], 2.0f * of_block);
      }
    }
}

TEST(LogicalWave, AnotherOrderWouldShow) {
  // The check above can fail: on these values a serial sum, and a tree with descending distances, have other bits.
  const std::vector<float> x = mixed_values(kRows * kBlock256);
  int serial_differs = 0, descending_differs = 0;
  for (int row = 0; row < kRows; ++row) {
    const float* v = x.data() + row * kBlock256;
    float serial = 0.0f;
    for (int i = 0; i < kBlock256; ++i) serial += v[i];
    std::vector<float> level(v, v + kBlock256);
    for (int distance = kBlock256 / 2; distance >= 1; distance /= 2)
      for (int i = 0; i < distance; ++i) level[i] = level[i] + level[i + distance];
    const float want = tree(v, kBlock256);
    serial_differs += serial != want, descending_differs += level[0] != want;
  }
  EXPECT_GT(serial_differs, kRows / 2);
  EXPECT_GT(descending_differs, kRows / 2);
}

TEST(LogicalWave, NanReachesTheSum) {
  const RestoreConfig restore;
  std::vector<float> x(kRows * kBlock256, 1.0f);
  x[63] = std::numeric_limits<float>::quiet_NaN();
  for (const int wave : {64, 32}) {
    hip::ExecConfig config = hip::exec_config();
    config.wave = wave;
    hip::set_exec_config(config);
    const Sums got = run(x);
    EXPECT_TRUE(std::isnan(got.rows[0]));
    EXPECT_TRUE(std::isnan(got.blocks[0]));
    EXPECT_EQ(got.rows[1], 64.0f);
  }
}

}  // namespace
}  // namespace greta
