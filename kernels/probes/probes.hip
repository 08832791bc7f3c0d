#include "kernels/probes/probes.hpp"

#include "kernels/hip/launch.hpp"

namespace greta {
namespace {

constexpr unsigned kBlocks = 4, kThreads = 128;

__global__ GRETA_LAUNCH_BOUNDS(128, 1) void schedule_kernel(int32_t* counter, int32_t* tickets, int32_t* wave) {
  const unsigned i = blockIdx.x * kThreads + threadIdx.x;
  tickets[i] = hip::atomic_add(counter, 1);
  if (i == 0) wave[0] = hip::wave_size();
}

}  // namespace

std::vector<int32_t> probe_schedule(hip::Stream& stream) {
  constexpr size_t kCount = size_t{kBlocks} * kThreads;
  hip::DeviceBuffer<int32_t> counter("probe.counter", 1), tickets("probe.tickets", kCount), wave("probe.wave", 1);
  counter.upload(stream, std::vector<int32_t>{0});
  hip::launch(stream, {"probe_schedule", dim3(kBlocks), dim3(kThreads)}, &schedule_kernel,
              hip::inout("counter", counter.view(), 1), hip::out("tickets", tickets.view(), kCount),
              hip::out("wave", wave.view(), 1));
  std::vector<int32_t> out = tickets.to_host(stream);
  out.push_back(wave.to_host(stream).front());
  return out;
}

}  // namespace greta
