#include "kernels/hip/planted_faults.hpp"

#include "kernels/hip/fault.hpp"
#include "kernels/hip/launch.hpp"

namespace greta::hip {
namespace {

constexpr int kThreads = 256;
constexpr int kCount = 1024;  // floats: one page, so that both ends lie against unmapped memory on host

// Each kernel stands below the number of the line that its report must name.

constexpr int kWritePastEndLine = __LINE__ + 3;
__global__ void write_past_end(float* y) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  y[i + 1] = 1.0f;
}

constexpr int kReadBeforeStartLine = __LINE__ + 3;
__global__ void read_before_start(const float* x, float* y) {
  const int i = static_cast<int>(threadIdx.x);
  y[i] = x[i - 1];
}

constexpr int kLdsOverrunLine = __LINE__ + 5;
__global__ void lds_overrun(float* y) {
  GRETA_LDS(float, tile, [kThreads]);
  float* const at = tile;  // without the extent, which the sanitizer of host-asan would check first
  const int i = static_cast<int>(threadIdx.x);
  at[i + 1] = 1.0f;
  __syncthreads();
  y[i] = tile[i];
}

constexpr int kDynamicLdsOverrunLine = __LINE__ + 4;
__global__ void dynamic_lds_overrun(float* y) {
  GRETA_DYNAMIC_LDS(float, tile);
  const int i = static_cast<int>(threadIdx.x);
  tile[i * 2] = 1.0f;
  __syncthreads();
  y[i] = tile[i];
}

constexpr int kExitWhileOthersWaitLine = __LINE__ + 3;
__global__ void exit_while_others_wait(float* y) {
  const int i = static_cast<int>(threadIdx.x);
  if (i >= 100) __syncthreads();
  y[i] = 1.0f;
}

constexpr int kEarlyExitLine = __LINE__ + 4;
__global__ void early_exit(float* y, int n) {
  const int i = static_cast<int>(threadIdx.x);
  if (i >= n) return;
  __syncthreads();
  y[i] = 1.0f;
  __syncthreads();
}

constexpr int kTwoBarriersLine = __LINE__ + 4;
__global__ void two_barriers(float* y) {
  const int i = static_cast<int>(threadIdx.x);
  if (i % 2) {
    __syncthreads();
    y[i] = 1.0f;
  } else {
    __syncthreads();
    y[i] = 2.0f;
  }
}

constexpr int kHalfWaveLine = __LINE__ + 4;
__global__ void half_wave_collective(float* y) {
  const int i = static_cast<int>(threadIdx.x);
  float v = 1.0f;
  if (lane_id() < wave_size() / 2) v = wave_sum(v);
  __syncthreads();
  y[i] = v;
}

constexpr int kLdsRaceLine = __LINE__ + 7;
__global__ void lds_race(float* y) {
  GRETA_LDS(float, tile, [kThreads]);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = 0.0f;
  __syncthreads();
  tile[i] = static_cast<float>(i);  // no barrier between this and the next line
  y[i] = tile[(i + 1) % kThreads];
}

constexpr int kReductionRaceLine = __LINE__ + 7;
__global__ void reduction_without_barriers(const float* x, float* y) {
  GRETA_LDS(float, partial, [kThreads]);
  const int i = static_cast<int>(threadIdx.x);
  partial[i] = x[i];
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2)
    if (i < half) partial[i] += partial[i + half];
  if (i == 0) y[0] = partial[0];
}

constexpr int kBlockRaceLine = __LINE__ + 3;
__global__ void race_between_blocks(float* y) {
  const int i = static_cast<int>(threadIdx.x);
  y[i] = static_cast<float>(blockIdx.x);
}

constexpr int kGlobalRaceLine = __LINE__ + 4;
__global__ void race_in_global_memory(float* y) {
  const int i = static_cast<int>(threadIdx.x);
  y[i] = 1.0f;
  y[i] += y[(i + 1) % kThreads];
}

constexpr int kUninitialisedLine = __LINE__ + 6;
__global__ void uninitialised_lds(float* y) {
  GRETA_LDS(float, tile, [kThreads]);
  const int i = static_cast<int>(threadIdx.x);
  if (i < kThreads - 1) tile[i] = 1.0f;
  __syncthreads();
  y[i] = tile[i];
}

constexpr int kWriteToInputLine = __LINE__ + 3;
__global__ void write_to_input(const float* x, float* y) {
  const int i = static_cast<int>(threadIdx.x);
  const_cast<float*>(x)[i] = 1.0f;
  y[i] = 2.0f;
}

struct StalePointer {
  const float* pointer;
};
constexpr int kStaleLine = __LINE__ + 3;
__global__ void use_stale_pointer(StalePointer stale, float* y) {
  const int i = static_cast<int>(threadIdx.x);
  y[i] = stale.pointer[i];
}

__global__ void write_into_slack(float* y) {
  if (threadIdx.x == 0) y[3] = 1.0f;
}

__global__ void fill(float* y, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] = 1.0f;
}

// One buffer, one launch: what most plants need.
void run_on(Stream& stream, const char* kernel_name, void (*kernel)(float*), unsigned blocks, size_t lds = 0) {
  DeviceBuffer<float> y("planted.y", kCount);
  launch(stream, {kernel_name, blocks, kThreads, lds}, kernel, out("y", y.view(), kCount));
  stream.synchronize();
}

template <int kLine>
std::string line() {
  return concat("planted_faults.hip:", kLine);
}

}  // namespace

const std::vector<PlantedFault>& planted_faults() {
  using F = PlantedFault::FoundBy;
  constexpr auto kFault = ErrorKind::kDeviceFault;
  constexpr auto kArgument = ErrorKind::kInvalidArgument;
  static const std::vector<PlantedFault> faults = {
      {"write_past_end",
       "the last thread writes one element too far",
       F::kHost,
       kFault,
       [](Stream& s) { run_on(s, "write_past_end", &write_past_end, kCount / kThreads); },
       {"illegal write", "kernel write_past_end block (3,0,0) thread (255,0,0)", "offset 4096 of 'planted.y'",
        "argument 'y'", line<kWritePastEndLine>()}},
      {"read_before_start",
       "thread 0 reads element -1",
       F::kHost,
       kFault,
       [](Stream& s) {
         DeviceBuffer<float> x("planted.x", kCount), y("planted.y", kCount);
         launch(s, {"read_before_start", 1, kThreads}, &read_before_start, in("x", x.view(), kCount),
                out("y", y.view(), kCount));
         s.synchronize();
       },
       {"illegal read", "kernel read_before_start block (0,0,0) thread (0,0,0)", "offset -4 of 'planted.x'",
        "argument 'x'", line<kReadBeforeStartLine>()}},
      {"lds_overrun",
       "a static LDS array is written one element too far",
       F::kHost,
       kFault,
       [](Stream& s) { run_on(s, "lds_overrun", &lds_overrun, 1); },
       {"illegal write", "kernel lds_overrun", "thread (255,0,0)", "offset 1024 of LDS array 'tile' (1024 bytes",
        line<kLdsOverrunLine>()}},
      {"dynamic_lds_overrun",
       "dynamic LDS is written past the bytes asked for",
       F::kHost,
       kFault,
       [](Stream& s) { run_on(s, "dynamic_lds_overrun", &dynamic_lds_overrun, 1, kThreads * sizeof(float)); },
       {"illegal write", "kernel dynamic_lds_overrun", "thread (128,0,0)",
        "offset 1024 of LDS array 'dynamic LDS' (1024 bytes", line<kDynamicLdsOverrunLine>()}},
      {"exit_while_others_wait",
       "a barrier that 100 threads pass by",
       F::kHost,
       kFault,
       [](Stream& s) { run_on(s, "exit_while_others_wait", &exit_while_others_wait, 1); },
       {"kernel exit_while_others_wait block (0,0,0)", "barrier divergence", "156 threads wait in __syncthreads at",
        "(first: thread (100,0,0))", "100 threads have left the kernel (first: thread (0,0,0))",
        line<kExitWhileOthersWaitLine>()}},
      {"early_exit",
       "surplus threads return before a barrier",
       F::kHost,
       kFault,
       [](Stream& s) {
         DeviceBuffer<float> y("planted.y", kCount);
         launch(s, {"early_exit", 1, kThreads}, &early_exit, out("y", y.view(), kCount), 255);
         s.synchronize();
       },
       {"kernel early_exit block (0,0,0)", "barrier divergence", "255 threads wait in __syncthreads",
        "1 thread has left the kernel (first: thread (255,0,0))", line<kEarlyExitLine>()}},
      {"two_barriers",
       "odd and even threads wait at different barriers",
       F::kHost,
       kFault,
       [](Stream& s) { run_on(s, "two_barriers", &two_barriers, 1); },
       {"kernel two_barriers block (0,0,0)", "barrier divergence", line<kTwoBarriersLine>(),
        line<kTwoBarriersLine + 3>()}},
      {"half_wave_collective",
       "half the lanes of a wave enter wave_sum",
       F::kHost,
       kFault,
       [](Stream& s) { run_on(s, "half_wave_collective", &half_wave_collective, 1); },
       {"kernel half_wave_collective block (0,0,0)", "barrier divergence", "128 threads wait in wave_sum",
        "128 threads wait in __syncthreads", line<kHalfWaveLine>(), line<kHalfWaveLine + 1>()}},
      {"lds_race",
       "LDS is read by a neighbour without a barrier",
       F::kHostRaces,
       kFault,
       [](Stream& s) { run_on(s, "lds_race", &lds_race, 1); },
       {"race in kernel lds_race block (0,0,0)", "LDS array 'tile'", "thread (0,0,0)", "thread (1,0,0)",
        line<kLdsRaceLine - 1>(), line<kLdsRaceLine>()}},
      {"reduction_without_barriers",
       "a tree reduction in LDS without barriers",
       F::kHostRaces,
       kFault,
       [](Stream& s) {
         DeviceBuffer<float> x("planted.x", kCount), y("planted.y", kCount);
         launch(s, {"reduction_without_barriers", 1, kThreads}, &reduction_without_barriers, in("x", x.view(), kCount),
                out("y", y.view(), kCount));
         s.synchronize();
       },
       {"race in kernel reduction_without_barriers", "LDS array 'partial'", line<kReductionRaceLine>()}},
      {"race_between_blocks",
       "every workgroup writes the same elements",
       F::kHostRaces,
       kFault,
       [](Stream& s) { run_on(s, "race_between_blocks", &race_between_blocks, 2); },
       {"race in kernel race_between_blocks", "'planted.y'", "argument 'y'", "block (0,0,0)", "block (1,0,0)",
        line<kBlockRaceLine>()}},
      {"race_in_global_memory",
       "threads of a workgroup read what a neighbour writes",
       F::kHostRaces,
       kFault,
       [](Stream& s) {
         DeviceBuffer<float> y("planted.y", kCount);
         launch(s, {"race_in_global_memory", 1, kThreads}, &race_in_global_memory, inout("y", y.view(), kCount));
         s.synchronize();
       },
       {"race in kernel race_in_global_memory", "'planted.y'", "argument 'y'", line<kGlobalRaceLine>()}},
      {"uninitialised_lds",
       "the last element of an LDS array is read but never written",
       F::kHostRaces,
       kFault,
       [](Stream& s) { run_on(s, "uninitialised_lds", &uninitialised_lds, 1); },
       {"uninitialised", "kernel uninitialised_lds block (0,0,0) thread (255,0,0)", "offset 1020 of LDS array 'tile'",
        line<kUninitialisedLine>()}},
      {"write_to_input",
       "an argument declared in() is written",
       F::kHostRaces,
       kFault,
       [](Stream& s) {
         DeviceBuffer<float> x("planted.x", kCount), y("planted.y", kCount);
         launch(s, {"write_to_input", 1, kThreads}, &write_to_input, in("x", x.view(), kCount),
                out("y", y.view(), kCount));
         s.synchronize();
       },
       {"kernel write_to_input", "'planted.x'", "argument 'x' (in)", line<kWriteToInputLine>()}},
      {"use_after_free",
       "a pointer outlives its buffer",
       F::kHost,
       kFault,
       [](Stream& s) {
         DeviceBuffer<float> y("planted.y", kCount);
         StalePointer stale{};
         {
           DeviceBuffer<float> x("planted.freed", kCount);
           stale.pointer = x.view().data();
         }
         launch(s, {"use_stale_pointer", 1, kThreads}, &use_stale_pointer, stale, out("y", y.view(), kCount));
         s.synchronize();
       },
       {"illegal read", "kernel use_stale_pointer", "'planted.freed'", "freed", line<kStaleLine>()}},
      {"write_into_slack",
       "a write into the bytes between a buffer and its guard",
       F::kAnyPlatform,
       kFault,
       [](Stream& s) {
         DeviceBuffer<float> y("planted.y", 3);
         launch(s, {"write_into_slack", 1, kThreads}, &write_into_slack, out("y", y.view(), 3));
         s.synchronize();
       },
       {"write_into_slack", "'planted.y'", "argument 'y'"}},
      {"freed_argument",
       "a view of a released buffer is launched",
       F::kAnyPlatform,
       kArgument,
       [](Stream& s) {
         DeviceView<float> view;
         {
           DeviceBuffer<float> y("planted.freed", kCount);
           view = y.view();
         }
         launch(s, {"fill", 4, kThreads}, &fill, out("y", view, kCount), kCount);
       },
       {"fill", "argument 'y'", "'planted.freed'", "was freed"}},
      {"wrong_dtype",
       "an int buffer is launched as float",
       F::kAnyPlatform,
       kArgument,
       [](Stream& s) {
         DeviceBuffer<int32_t> y("planted.y", kCount);
         const DeviceView<float> wrong(reinterpret_cast<float*>(y.view().data()), kCount, y.id());
         launch(s, {"fill", 4, kThreads}, &fill, out("y", wrong, kCount), kCount);
       },
       {"fill", "argument 'y'", "must be f32", "'planted.y'", "i32"}},
      {"too_short_buffer",
       "a buffer holds fewer elements than the problem touches",
       F::kAnyPlatform,
       kArgument,
       [](Stream& s) {
         DeviceBuffer<float> y("planted.y", kCount - 1);
         launch(s, {"fill", 4, kThreads}, &fill, out("y", y.view(), kCount), kCount);
       },
       {"fill", "argument 'y'", "has 1023 elements", "touches 1024", "'planted.y'"}},
      {"overlapping_arguments",
       "input and output share memory",
       F::kAnyPlatform,
       kArgument,
       [](Stream& s) {
         DeviceBuffer<float> y("planted.y", kCount);
         launch(s, {"read_before_start", 1, kThreads}, &read_before_start, in("x", y.view().slice(1, 512), 512),
                out("y", y.view(), kCount));
       },
       {"argument 'y' (out) overlaps argument 'x' (in)", "'planted.y'"}},
      {"too_large_workgroup",
       "2048 threads in a workgroup",
       F::kAnyPlatform,
       kArgument,
       [](Stream& s) {
         DeviceBuffer<float> y("planted.y", kCount);
         launch(s, {"fill", 1, 2048}, &fill, out("y", y.view(), kCount), kCount);
       },
       {"fill", "2048 threads"}},
      {"too_large_grid",
       "a grid of 2^31 workgroups",
       F::kAnyPlatform,
       kArgument,
       [](Stream& s) {
         DeviceBuffer<float> y("planted.y", kCount);
         launch(s, {"fill", 0x80000000u, 64}, &fill, out("y", y.view(), kCount), kCount);
       },
       {"fill", "grid (2147483648,1,1)"}},
      {"too_much_lds",
       "a megabyte of dynamic LDS",
       F::kAnyPlatform,
       kArgument,
       [](Stream& s) { run_on(s, "dynamic_lds_overrun", &dynamic_lds_overrun, 1, 1 << 20); },
       {"dynamic_lds_overrun", "1048576 bytes of dynamic LDS"}},
  };
  return faults;
}

std::string reason_to_skip(const PlantedFault& fault) {
  switch (fault.found_by) {
    case PlantedFault::FoundBy::kAnyPlatform:
      return "";
    case PlantedFault::FoundBy::kHost:
      return platform_name() == "host" ? "" : "found by the host platform; a GPU would be lost to the process";
    case PlantedFault::FoundBy::kHostRaces:
      return has_race_checker() ? "" : "found by the shadow memory of the host-races build";
  }
  return "";
}

std::string check_planted_fault(const PlantedFault& fault, Stream& stream) {
  std::string problem = "not found";
  try {
    fault.run(stream);
  } catch (const Error& error) {
    const std::string_view message = error.what();
    problem.clear();
    if (error.kind() != fault.kind) problem = "the error has another kind";
    for (const std::string& part : fault.must_name)
      if (message.find(part) == std::string_view::npos)
        problem += concat(problem.empty() ? "" : "; ", "does not name ", part);
    if (!problem.empty()) problem += concat("; the report was: ", message);
  }
  reset_sticky_fault_for_tests();
  return problem;
}

}  // namespace greta::hip
