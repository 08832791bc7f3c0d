// One source on three platforms: that everything kernels/hip/hip.hpp promises does what it says. What passes here on
// host and fails on a device is a fault of the device header (or, once in a lifetime, of the device).
//
// Integers, or floats whose sums are exact, wherever the order of a sum is not what is tested; where it is, the host
// repeats the order. numbers_test.hip has conversions and rounding, tile_fragment_test.hip the matrix tiles.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/hip/host_device.hpp"
#include "kernels/hip/launch.hpp"

namespace greta::hip {
namespace {

/// The waves that the platform can be asked for: both on host, the device's own elsewhere. Asked for before there is a
/// device.
std::vector<int> waves() {
#if defined(GRETA_HOST_EXECUTOR)
  return {64, 32};
#else
  return {wave_size()};
#endif
}

class Smoke : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    saved_ = exec_config();
    ExecConfig config = saved_;
    config.wave = GetParam();
    set_exec_config(config);
    ASSERT_EQ(device_info().wave_size, GetParam());
  }
  void TearDown() override { set_exec_config(saved_); }
  ExecConfig saved_;
};

std::vector<int> random_ints(size_t n, int low, int high, unsigned seed) {
  std::mt19937 rng(seed);
  std::vector<int> v(n);
  for (int& x : v) x = low + static_cast<int>(rng() % static_cast<unsigned>(high - low + 1));
  return v;
}
std::vector<float> random_floats(size_t n, unsigned seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal;
  std::vector<float> v(n);
  for (float& x : v) x = normal(rng);
  return v;
}
uint32_t bits(float f) {
  uint32_t u;
  std::memcpy(&u, &f, 4);
  return u;
}

// ------------------------------------------------------------------------------------------------- indices and tails

__global__ void add_kernel(const float* a, const float* b, float* c, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) c[i] = a[i] + b[i];
}

TEST_P(Smoke, VectorAddWritesItsElementsAndNoOthers) {
  Stream stream;
  for (int n : {1, 255, 256, 257, 1000}) {
    const auto a = random_floats(1024, 1), b = random_floats(1024, 2);
    DeviceBuffer<float> da("a", a.size()), db("b", b.size()), dc("c", a.size());
    da.upload(stream, a);
    db.upload(stream, b);
    const auto before = dc.to_host(stream);
    const auto count = static_cast<size_t>(n);
    launch(stream, {"smoke_add", dim3(static_cast<unsigned>(n + 255) / 256), dim3(256), 0, n}, &add_kernel,
           in("a", da.cview(), count), in("b", db.cview(), count), out("c", dc.view(), count), n);
    const auto c = dc.to_host(stream);
    for (size_t i = 0; i < c.size(); ++i)
      EXPECT_EQ(bits(c[i]), i < count ? bits(a[i] + b[i]) : bits(before[i])) << "n " << n << " i " << i;
  }
}

__global__ void indices_kernel(int* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned at = block * blockDim.x * blockDim.y * blockDim.z + thread;
  out[at] = static_cast<int>(blockIdx.z * 100000 + blockIdx.y * 10000 + blockIdx.x * 1000 + threadIdx.z * 100 +
                             threadIdx.y * 10 + threadIdx.x);
}

TEST_P(Smoke, GridAndBlockHaveThreeDimensions) {
  Stream stream;
  DeviceBuffer<int> out_buffer("indices", 2 * 3 * 4 * 5 * 3 * 2);
  launch(stream, {"smoke_indices", dim3(2, 3, 4), dim3(5, 3, 2)}, &indices_kernel,
         out("out", out_buffer.view(), out_buffer.count()));
  const auto got = out_buffer.to_host(stream);
  size_t at = 0;
  for (int bz = 0; bz < 4; ++bz)
    for (int by = 0; by < 3; ++by)
      for (int bx = 0; bx < 2; ++bx)
        for (int tz = 0; tz < 2; ++tz)
          for (int ty = 0; ty < 3; ++ty)
            for (int tx = 0; tx < 5; ++tx)
              EXPECT_EQ(got[at++], bz * 100000 + by * 10000 + bx * 1000 + tz * 100 + ty * 10 + tx);
}

// -------------------------------------------------------------------------------------------------------------- bytes

__global__ void GRETA_LAUNCH_BOUNDS(64, 8) bytes_kernel(const int* words, int* bytes, int n) {
  const int t = static_cast<int>(threadIdx.x);
  if (t >= n) return;
  const auto word = static_cast<uint32_t>(words[t]);
  GRETA_UNROLL
  for (int i = 0; i < 4; ++i) {
    bytes[8 * t + i] = static_cast<int>(byte_at(word, i));
    bytes[8 * t + 4 + i] = static_cast<int>(four_of_byte(word, i));
  }
}

TEST_P(Smoke, BytesOfWords) {
  Stream stream;
  const std::vector<int> words = {0, -1, 0x03020100, static_cast<int>(0x80ff7f01u), static_cast<int>(0xdeadbeefu)};
  DeviceBuffer<int> dwords("words", words.size()), dbytes("bytes", 8 * words.size());
  dwords.upload(stream, words);
  launch(stream, {"smoke_bytes", dim3(1), dim3(64)}, &bytes_kernel, in("words", dwords.cview(), words.size()),
         out("bytes", dbytes.view(), dbytes.count()), static_cast<int>(words.size()));
  const auto got = dbytes.to_host(stream);
  for (size_t t = 0; t < words.size(); ++t)
    for (size_t i = 0; i < 4; ++i) {
      const uint32_t byte = static_cast<uint32_t>(words[t]) >> (8 * i) & 0xffu;
      EXPECT_EQ(got[8 * t + i], static_cast<int>(byte)) << t << " " << i;
      EXPECT_EQ(got[8 * t + 4 + i], static_cast<int>(byte << 24 | byte << 16 | byte << 8 | byte)) << t << " " << i;
    }
}

// ---------------------------------------------------------------------------------------------------------------- LDS

template <int kThreads>
__global__ void GRETA_LAUNCH_BOUNDS(kThreads, 2) lds_sum_kernel(const int* x, int* sums) {
  GRETA_LDS(int, partial, [2][kThreads]);
  GRETA_DYNAMIC_LDS(int, extra);
  const int t = static_cast<int>(threadIdx.x);
  const int i = static_cast<int>(blockIdx.x) * kThreads + t;
  partial[0][t] = x[i];
  extra[kThreads - 1 - t] = 2 * x[i];
  __syncthreads();
  int from = 0;
  for (int width = kThreads / 2; width > 0; width /= 2) {
    if (t < width) partial[1 - from][t] = partial[from][t] + partial[from][t + width];
    from = 1 - from;
    __syncthreads();
  }
  if (t == 0) {
    int doubled = 0;
    for (int k = 0; k < kThreads; ++k) doubled += extra[k];
    sums[2 * blockIdx.x] = partial[from][0];
    sums[2 * blockIdx.x + 1] = doubled;
  }
}

TEST_P(Smoke, StaticAndDynamicLdsReduceOverBarriers) {
  Stream stream;
  constexpr int kThreads = 256, kBlocks = 7;
  const auto x = random_ints(kThreads * kBlocks, -1000, 1000, 3);
  DeviceBuffer<int> dx("x", x.size()), dsums("sums", 2 * kBlocks);
  dx.upload(stream, x);
  launch(stream, {"smoke_lds_sum<256>", dim3(kBlocks), dim3(kThreads), kThreads * sizeof(int)},
         &lds_sum_kernel<kThreads>, in("x", dx.cview(), x.size()), out("sums", dsums.view(), dsums.count()));
  const auto sums = dsums.to_host(stream);
  for (int b = 0; b < kBlocks; ++b) {
    const int want = std::accumulate(x.begin() + b * kThreads, x.begin() + (b + 1) * kThreads, 0);
    EXPECT_EQ(sums[2 * b], want);
    EXPECT_EQ(sums[2 * b + 1], 2 * want);
  }
}

/// The largest workgroup with the largest LDS that the device offers, less the static part of none.
__global__ void lds_capacity_kernel(int* sums, int words) {
  GRETA_DYNAMIC_LDS(int, all);
  for (int i = static_cast<int>(threadIdx.x); i < words; i += static_cast<int>(blockDim.x)) all[i] = i;
  __syncthreads();
  int sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < words; i += static_cast<int>(blockDim.x))
    sum += all[words - 1 - i] % 7;
  atomic_add(sums, sum);
}

TEST_P(Smoke, AllOfTheLdsCanBeUsed) {
  Stream stream;
  const size_t bytes = device_info().lds_bytes_per_block;
  EXPECT_GE(bytes, size_t{64} << 10);
  const int words = static_cast<int>(bytes / 4);
  DeviceBuffer<int> dsum("sum", 1);
  dsum.upload(stream, std::vector<int>{0});
  launch(stream, {"smoke_lds_capacity", dim3(1), dim3(1024), bytes}, &lds_capacity_kernel, inout("sum", dsum.view(), 1),
         words);
  int want = 0;
  for (int i = 0; i < words; ++i) want += i % 7;
  EXPECT_EQ(dsum.to_host(stream)[0], want);
}

// --------------------------------------------------------------------------------------------------------------- waves

constexpr int kShuffles = 13;

/// Per thread: a rotation, a broadcast, xor by each power of two below the wave, xor by all ones, and the same for
/// unsigned and float.
__global__ void shuffle_kernel(const int* x, int* ints, int* ids) {
  const int t = static_cast<int>(threadIdx.x);
  const int lane = (lane_id() * 7 + 3) % wave_size();
  const unsigned u = static_cast<unsigned>(x[t]);
  const float f = static_cast<float>(x[t]);
  int* to = ints + kShuffles * t;
  to[0] = wave_shfl(x[t], lane);
  to[1] = wave_shfl(x[t], 5);
  for (int i = 0; i < 6; ++i) to[2 + i] = wave_shfl_xor(x[t], (1 << i) & (wave_size() - 1));
  wave_barrier();
  to[8] = wave_shfl_xor(x[t], wave_size() - 1);
  to[9] = static_cast<int>(wave_shfl(u, lane));
  to[10] = static_cast<int>(wave_shfl_xor(u, 3));
  to[11] = static_cast<int>(wave_shfl(f, lane));
  to[12] = static_cast<int>(wave_shfl_xor(f, 3));
  ids[3 * t] = lane_id();
  ids[3 * t + 1] = wave_id();
  ids[3 * t + 2] = wave_size();
}

TEST_P(Smoke, ShufflesMoveValuesBetweenLanes) {
  Stream stream;
  const int wave = GetParam(), threads = 3 * wave;
  const auto n = static_cast<size_t>(threads);
  const auto x = random_ints(n, -100000, 100000, 4);
  DeviceBuffer<int> dx("x", n), dints("ints", kShuffles * n), dids("ids", 3 * n);
  dx.upload(stream, x);
  launch(stream, {"smoke_shuffle", dim3(1), dim3(static_cast<unsigned>(threads))}, &shuffle_kernel,
         in("x", dx.cview(), n), out("ints", dints.view(), kShuffles * n), out("ids", dids.view(), 3 * n));
  const auto ints = dints.to_host(stream), ids = dids.to_host(stream);
  for (int t = 0; t < threads; ++t) {
    const int lane = t % wave, base = t - lane;
    const auto at = [&](int of_lane) { return x[static_cast<size_t>(base + of_lane)]; };
    const int rotated = at((lane * 7 + 3) % wave);
    const int want[kShuffles] = {rotated,
                                 at(5),
                                 at(lane ^ 1),
                                 at(lane ^ 2),
                                 at(lane ^ 4),
                                 at(lane ^ 8),
                                 at(lane ^ 16),
                                 at(lane ^ (32 & (wave - 1))),
                                 at(lane ^ (wave - 1)),
                                 rotated,
                                 at(lane ^ 3),
                                 rotated,
                                 at(lane ^ 3)};
    for (int k = 0; k < kShuffles; ++k)
      EXPECT_EQ(ints[static_cast<size_t>(kShuffles * t + k)], want[k]) << t << ' ' << k;
    EXPECT_EQ(ids[static_cast<size_t>(3 * t)], lane);
    EXPECT_EQ(ids[static_cast<size_t>(3 * t + 1)], t / wave);
    EXPECT_EQ(ids[static_cast<size_t>(3 * t + 2)], wave);
  }
}

__global__ void reduce_kernel(const float* x, const int* y, float* floats, int* ints) {
  const int t = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  floats[2 * t] = wave_sum(x[t]);
  floats[2 * t + 1] = wave_max(x[t]);
  int* to = ints + 6 * t;
  to[0] = wave_sum(y[t]);
  to[1] = wave_max(y[t]);
  to[2] = static_cast<int>(wave_sum(static_cast<unsigned>(y[t])));
  to[3] = static_cast<int>(wave_max(static_cast<unsigned>(y[t])));
  to[4] = wave_any(y[t] > 990);
  to[5] = wave_all(y[t] > -990);
}

TEST_P(Smoke, WaveReductionsAreButterfliesInAscendingDistance) {
  Stream stream;
  const int wave = GetParam();
  const size_t n = 4 * 128 * 8;
  const auto x = random_floats(n, 5);
  const auto y = random_ints(n, -1000, 1000, 6);
  DeviceBuffer<float> dx("x", n), dfloats("floats", 2 * n);
  DeviceBuffer<int> dy("y", n), dints("ints", 6 * n);
  dx.upload(stream, x);
  dy.upload(stream, y);
  launch(stream, {"smoke_reduce", dim3(32), dim3(128)}, &reduce_kernel, in("x", dx.cview(), n), in("y", dy.cview(), n),
         out("floats", dfloats.view(), 2 * n), out("ints", dints.view(), 6 * n));
  const auto floats = dfloats.to_host(stream);
  const auto ints = dints.to_host(stream);
  int any = 0, all = 0;
  for (size_t base = 0; base < n; base += static_cast<size_t>(wave)) {
    const auto lanes = static_cast<size_t>(wave);
    std::vector<float> sum(x.begin() + static_cast<long>(base), x.begin() + static_cast<long>(base + lanes));
    const float max = *std::max_element(sum.begin(), sum.end());
    for (size_t distance = 1; distance < lanes; distance *= 2) {
      auto next = sum;
      for (size_t i = 0; i < lanes; ++i) next[i] = sum[i] + sum[i ^ distance];
      sum = next;
    }
    const std::vector<int> part(y.begin() + static_cast<long>(base), y.begin() + static_cast<long>(base + lanes));
    unsigned unsigned_max = 0;
    for (int v : part) unsigned_max = std::max(unsigned_max, static_cast<unsigned>(v));
    const int total = std::accumulate(part.begin(), part.end(), 0);
    const int want[6] = {total,
                         *std::max_element(part.begin(), part.end()),
                         total,
                         static_cast<int>(unsigned_max),
                         std::any_of(part.begin(), part.end(), [](int v) { return v > 990; }),
                         std::all_of(part.begin(), part.end(), [](int v) { return v > -990; })};
    any += want[4], all += want[5];
    for (size_t i = 0; i < lanes; ++i) {
      EXPECT_EQ(bits(floats[2 * (base + i)]), bits(sum[i])) << base << ' ' << i;
      EXPECT_EQ(bits(floats[2 * (base + i) + 1]), bits(max));
      for (size_t k = 0; k < 6; ++k) EXPECT_EQ(ints[6 * (base + i) + k], want[k]) << base << ' ' << i << ' ' << k;
    }
  }
  const int waves_there = static_cast<int>(n) / wave;
  EXPECT_TRUE(0 < any && any < waves_there && 0 < all && all < waves_there) << "any and all were tried both ways";
}

// ------------------------------------------------------------------------------------------------------------- atomics

__global__ void atomics_kernel(int* counters, int* unsigned_bits, float* floats, int* tickets, int n) {
  GRETA_LDS(int, in_lds, [2]);
  if (threadIdx.x < 2) in_lds[threadIdx.x] = 0;
  __syncthreads();
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) {
    tickets[i] = atomic_add(&counters[0], 1);
    atomic_add(&counters[1], i);
    atomic_add(reinterpret_cast<unsigned*>(unsigned_bits), 3u);
    atomic_add(&floats[0], 0.25f);
    atomic_add(&in_lds[i % 2], 1);
  }
  __syncthreads();
  if (threadIdx.x == 0) atomic_add(&counters[2], in_lds[0] - in_lds[1]);
}

TEST_P(Smoke, AtomicsAddOnceForEachThreadAndHandOutEachValueOnce) {
  Stream stream;
  constexpr int n = 5001;
  DeviceBuffer<int> counters("counters", 3), unsigneds("unsigneds", 1), tickets("tickets", n);
  DeviceBuffer<float> floats("floats", 1);
  counters.upload(stream, std::vector<int>{0, 0, 0});
  unsigneds.upload(stream, std::vector<int>{0});
  floats.upload(stream, std::vector<float>{0.0f});
  launch(stream, {"smoke_atomics", dim3(20), dim3(256)}, &atomics_kernel, inout("counters", counters.view(), 3),
         inout("unsigneds", unsigneds.view(), 1), inout("floats", floats.view(), 1), out("tickets", tickets.view(), n),
         n);
  EXPECT_EQ(counters.to_host(stream), (std::vector<int>{n, n * (n - 1) / 2, 1}));
  EXPECT_EQ(unsigneds.to_host(stream)[0], 3 * n);
  EXPECT_EQ(floats.to_host(stream)[0], 0.25f * n);
  auto order = tickets.to_host(stream);
  std::sort(order.begin(), order.end());
  for (int i = 0; i < n; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
}

// ---------------------------------------------------------------------------------------------- memory, copies, events

TEST_P(Smoke, FreshBuffersHoldPoisonAndCopiesKeepTheirBounds) {
  Stream stream;
  DeviceBuffer<float> f("fresh", 1001);
  for (float v : f.to_host(stream)) EXPECT_TRUE(std::isnan(v));
  const auto x = random_ints(1001, -5, 5, 7);
  DeviceBuffer<int> a("a", 1001), b("b", 1001);
  a.upload(stream, x);
  copy_on_device(stream, b.id(), 4, a.id(), 40, 400);
  std::vector<int> part(100);
  b.download(stream, part, 1);
  EXPECT_EQ(part, std::vector<int>(x.begin() + 10, x.begin() + 110));
  EXPECT_EQ(b.to_host(stream)[0], b.to_host(stream)[200]) << "both still poison";
  EXPECT_THROW(a.upload(stream, x, 1), Error);
  check_guards(stream);
}

TEST_P(Smoke, EventsMeasureTimeOnTheStream) {
  Stream stream;
  const auto n = size_t{1} << 20;
  DeviceBuffer<float> a("a", n), b("b", n), c("c", n);
  Event start, end;
  start.record(stream);
  launch(stream, {"smoke_add", dim3(static_cast<unsigned>(n / 256)), dim3(256)}, &add_kernel, in("a", a.cview(), n),
         in("b", b.cview(), n), out("c", c.view(), n), static_cast<int>(n));
  end.record(stream);
  end.synchronize();
  EXPECT_GT(Event::elapsed_ms(start, end), 0.0);
  EXPECT_LT(Event::elapsed_ms(start, end), 10000.0);
}

INSTANTIATE_TEST_SUITE_P(Wave, Smoke, testing::ValuesIn(waves()),
                         [](const auto& p) { return "w" + std::to_string(p.param); });

}  // namespace
}  // namespace greta::hip
