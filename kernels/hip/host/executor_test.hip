// The executor itself: threads, barriers, collectives, LDS, atomics, in every order and wave width, on one worker and
// several.
#include <gtest/gtest.h>

#include <numeric>

#include "kernels/hip/launch.hpp"

namespace greta::hip {
namespace {

__global__ void saxpy(const float* x, float* y, float a, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] = fmaf(a, x[i], y[i]);
}

__global__ void reverse_in_lds(const int* x, int* y) {
  GRETA_LDS(int, tile, [256]);
  const int t = static_cast<int>(threadIdx.x), n = static_cast<int>(blockDim.x);
  const int base = static_cast<int>(blockIdx.x) * n;
  tile[t] = x[base + t];
  __syncthreads();
  y[base + t] = tile[n - 1 - t];
  __syncthreads();
  tile[t] = y[base + t] + 1;
  __syncthreads();
  y[base + t] = tile[(t + 1) % n];
}

__global__ void row_sums(const float* x, float* sums, int width) {
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < width; i += static_cast<int>(blockDim.x))
    sum += x[static_cast<int>(blockIdx.x) * width + i];
  sum = wave_sum(sum);
  GRETA_LDS(float, partial, [32]);
  if (lane_id() == 0) partial[wave_id()] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    float total = 0;
    for (int w = 0; w < static_cast<int>(blockDim.x) / wave_size(); ++w) total += partial[w];
    sums[blockIdx.x] = total;
  }
}

__global__ void histogram(const int* x, int* bins, float* total, int n) {
  for (int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); i < n;
       i += static_cast<int>(gridDim.x * blockDim.x)) {
    atomic_add(&bins[x[i]], 1);
    atomic_add(total, 1.0f);
  }
}

class Executor : public ::testing::TestWithParam<ExecConfig> {
 protected:
  void SetUp() override { set_exec_config(GetParam()); }
  void TearDown() override { set_exec_config({}); }
  Stream stream;
};

TEST_P(Executor, RunsEveryThreadOnce) {
  const int n = 100'000;
  std::vector<float> x(n), y(n, 1.0f);
  std::iota(x.begin(), x.end(), 0.0f);
  DeviceBuffer<float> dx("x", n), dy("y", n);
  dx.upload(stream, x);
  dy.upload(stream, y);
  launch(stream, {"saxpy", (n + 255) / 256, 256}, &saxpy, in("x", dx.view(), n), inout("y", dy.view(), n), 2.0f, n);
  const auto out = dy.to_host(stream);
  for (int i = 0; i < n; ++i) ASSERT_EQ(out[i], 2.0f * static_cast<float>(i) + 1.0f) << i;
}

TEST_P(Executor, BarriersOrderLds) {
  const int blocks = 37, threads = 256;
  std::vector<int> x(blocks * threads);
  std::iota(x.begin(), x.end(), 0);
  DeviceBuffer<int32_t> dx("x", x.size()), dy("y", x.size());
  dx.upload(stream, x);
  launch(stream, {"reverse_in_lds", blocks, threads}, &reverse_in_lds, in("x", dx.view(), x.size()),
         out("y", dy.view(), x.size()));
  const auto y = dy.to_host(stream);
  for (int b = 0; b < blocks; ++b)
    for (int t = 0; t < threads; ++t)
      ASSERT_EQ(y[b * threads + t], b * threads + threads - 1 - (t + 1) % threads + 1) << b << " " << t;
}

TEST_P(Executor, WaveSumIsTheButterfly) {
  const int rows = 9, width = 1000, threads = 128;
  std::vector<float> x(rows * width);
  for (size_t i = 0; i < x.size(); ++i) x[i] = 1.0f / static_cast<float>(i + 1);
  DeviceBuffer<float> dx("x", x.size()), sums("sums", rows);
  dx.upload(stream, x);
  launch(stream, {"row_sums", rows, threads}, &row_sums, in("x", dx.view(), x.size()), out("sums", sums.view(), rows),
         width);
  const auto got = sums.to_host(stream);
  const int wave = GetParam().wave;
  for (int r = 0; r < rows; ++r) {
    std::vector<float> lane(threads, 0.0f);
    for (int i = 0; i < width; ++i) lane[i % threads] += x[r * width + i];
    float total = 0;
    for (int w = 0; w < threads / wave; ++w) {
      std::vector<float> v(lane.begin() + w * wave, lane.begin() + (w + 1) * wave);
      for (int d = 1; d < wave; d *= 2) {
        std::vector<float> next(v.size());
        for (int i = 0; i < wave; ++i) next[i] = v[i] + v[i ^ d];
        v = next;
      }
      total += v[wave - 1];
    }
    ASSERT_EQ(got[r], total) << r;
  }
}

TEST_P(Executor, AtomicsCountOnAllWorkers) {
  const int n = 200'000;
  std::vector<int> x(n);
  for (int i = 0; i < n; ++i) x[i] = i % 7;
  DeviceBuffer<int32_t> dx("x", n), bins("bins", 7);
  DeviceBuffer<float> total("total", 1);
  dx.upload(stream, x);
  bins.upload(stream, std::vector<int>(7, 0));
  total.upload(stream, std::vector<float>(1, 0.0f));
  launch(stream, {"histogram", 64, 256}, &histogram, in("x", dx.view(), n), inout("bins", bins.view(), 7),
         inout("total", total.view(), 1), n);
  const auto got = bins.to_host(stream);
  for (int b = 0; b < 7; ++b) EXPECT_EQ(got[b], n / 7 + (b < n % 7)) << b;
  EXPECT_EQ(total.to_host(stream)[0], static_cast<float>(n));
}

std::vector<ExecConfig> configurations() {
  std::vector<ExecConfig> all;
  for (const int wave : {64, 32})
    for (const int workers : {1, 2, 5})
      for (const auto order : {ExecConfig::Order::kForward, ExecConfig::Order::kReverse, ExecConfig::Order::kRandom}) {
        ExecConfig c;
        c.wave = wave, c.workers = workers, c.order = order, c.order_seed = 17;
        all.push_back(c);
      }
  return all;
}

std::string name_of(const ::testing::TestParamInfo<ExecConfig>& info) {
  const char* const order[] = {"forward", "reverse", "random"};
  const ExecConfig& c = info.param;
  return "wave" + std::to_string(c.wave) + "_workers" + std::to_string(c.workers) + "_" +
         order[static_cast<int>(c.order)];
}

INSTANTIATE_TEST_SUITE_P(Configurations, Executor, ::testing::ValuesIn(configurations()), name_of);

}  // namespace
}  // namespace greta::hip
