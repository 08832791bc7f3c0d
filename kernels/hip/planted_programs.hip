#include "kernels/hip/planted_programs.hpp"

#include <csignal>
#include <functional>

#include "kernels/hip/launch.hpp"
#include "kernels/hip/progress.hpp"

namespace greta::hip {
namespace {

constexpr int kThreads = 256;
constexpr int kCount = 1024;
constexpr int kLaunches = 200, kGuilty = 137;

__global__ void plant_fill_kernel(float* y, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] = 1.0f;
}

__global__ void plant_scale_kernel(const float* x, float* y, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] = 0.5f * x[i];
}

/// With `past` = 1 the last thread writes y[n].
__global__ void plant_shift_kernel(const float* x, float* y, int n, int past) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i + past] = x[i];
}

struct StalePointer {
  const float* pointer;
};
__global__ void plant_stale_kernel(StalePointer stale, float* y) {
  const int i = static_cast<int>(threadIdx.x);
  y[i] = stale.pointer[i];
}

/// Rows to gather are data: rows that nobody wrote yet are poison.
__global__ void plant_rows_kernel(int* rows, int n) {
  const int i = static_cast<int>(threadIdx.x);
  if (i < n) rows[i] = n - 1 - i;
}
__global__ void plant_gather_kernel(const float* table, const int* rows, float* y, int n) {
  const int i = static_cast<int>(threadIdx.x);
  if (i < n) y[i] = table[rows[i]];
}

__global__ void plant_spin_kernel(int* flag) {
  volatile int* const watched = flag;
  while (watched[0] != 1) {
  }
}

/// 200 launches on a chain of buffers; `nth` replaces launch number kGuilty.
void chain(const std::function<void(Stream&, std::vector<DeviceBuffer<float>>&)>& nth) {
  Stream stream("planted");
  std::vector<DeviceBuffer<float>> buffers;
  for (int i = 0; i < 8; ++i) buffers.emplace_back(concat("planted.", i), kCount);
  launch(stream, {"plant_fill", kCount / kThreads, kThreads}, &plant_fill_kernel, out("y", buffers[0].view(), kCount),
         kCount);
  for (int i = 2; i <= kLaunches; ++i) {
    if (i == kGuilty) {
      nth(stream, buffers);
      continue;
    }
    auto &x = buffers[static_cast<size_t>(i % 8)], &y = buffers[static_cast<size_t>((i + 1) % 8)];
    launch(stream, {"plant_scale", kCount / kThreads, kThreads}, &plant_scale_kernel, in("x", x.view(), kCount),
           out("y", y.view(), kCount), kCount);
  }
  stream.synchronize();
}

void out_of_bounds() {
  chain([](Stream& stream, auto& buffers) {
    launch(stream, {"plant_shift", kCount / kThreads, kThreads}, &plant_shift_kernel,
           in("x", buffers[2].view(), kCount), out("y", buffers[5].view(), kCount), kCount, 1);
  });
}

void use_after_free() {
  chain([](Stream& stream, auto& buffers) {
    DeviceView<const float> stale;
    {
      DeviceBuffer<float> freed("planted.freed", kCount);
      stale = freed.cview();
    }
    launch(stream, {"plant_scale", kCount / kThreads, kThreads}, &plant_scale_kernel, in("x", stale, kCount),
           out("y", buffers[3].view(), kCount), kCount);
  });
}

void stale_pointer() {
  chain([](Stream& stream, auto& buffers) {
    StalePointer stale{};
    {
      DeviceBuffer<float> freed("planted.freed", kCount);
      stale.pointer = freed.view().data();
    }
    launch(stream, {"plant_stale", 1, kThreads}, &plant_stale_kernel, stale, out("y", buffers[3].view(), kCount));
  });
}

void wrong_dtype() {
  chain([](Stream& stream, auto& buffers) {
    DeviceBuffer<int32_t> ids("planted.ids", kCount);
    const DeviceView<const float> wrong(reinterpret_cast<const float*>(ids.view().data()), kCount, ids.id());
    launch(stream, {"plant_scale", kCount / kThreads, kThreads}, &plant_scale_kernel, in("x", wrong, kCount),
           out("y", buffers[3].view(), kCount), kCount);
  });
}

/// A stream that may run behind, as on a GPU: on host, where nothing is ever in flight, its launches wait here until
/// somebody waits for them, which is one of the orders that two streams without a wait between them allow.
class LateStream {
 public:
  explicit LateStream(const char* name) : stream_(name) {}
  void enqueue(uint64_t number, std::function<void(Stream&)> work) {
    if (platform_name() != "host" || wait_planned_after(number)) return work(stream_);
    late_.push_back(std::move(work));
  }
  void synchronize() {
    for (const auto& work : late_) work(stream_);
    late_.clear();
    stream_.synchronize();
  }

 private:
  Stream stream_;
  std::vector<std::function<void(Stream&)>> late_;
};

/// Rows are written on one stream and used on another, and nothing makes the second wait for the first.
void missing_sync() {
  Stream main("planted");
  LateStream side("planted.side");
  DeviceBuffer<float> table("planted.table", kCount), y("planted.y", kCount);
  DeviceBuffer<int32_t> rows("planted.rows", kThreads);
  uint64_t number = 0;
  const auto fill = [&](int times) {
    for (int i = 0; i < times; ++i, ++number)
      launch(main, {"plant_fill", kCount / kThreads, kThreads}, &plant_fill_kernel, out("y", table.view(), kCount),
             kCount);
  };
  fill(100);
  ++number;
  side.enqueue(number, [&](Stream& stream) {
    launch(stream, {"plant_rows", 1, kThreads}, &plant_rows_kernel, out("rows", rows.view(), kThreads), kThreads);
  });
  fill(36);
  launch(main, {"plant_gather", 1, kThreads}, &plant_gather_kernel, in("table", table.view(), kCount),
         in("rows", rows.view(), kThreads), out("y", y.view(), kThreads), kThreads);
  side.synchronize();
  main.synchronize();
}

void hang() {
  chain([](Stream& stream, auto&) {
    DeviceBuffer<int32_t> flag("planted.flag", 1);
    launch(stream, {"plant_spin", 1, 1}, &plant_spin_kernel, inout("flag", flag.view(), 1));
    stream.synchronize();
  });
}

void crash() {
  chain([](Stream&, auto&) { std::raise(SIGABRT); });
}

void killed() {
  chain([](Stream&, auto&) { std::raise(SIGKILL); });
}

void clean() {
  chain([](Stream& stream, auto& buffers) {
    launch(stream, {"plant_shift", kCount / kThreads, kThreads}, &plant_shift_kernel,
           in("x", buffers[2].view(), kCount), out("y", buffers[5].view(), kCount), kCount, 0);
  });
}

}  // namespace

const std::vector<PlantedProgram>& planted_programs() {
  static const std::vector<PlantedProgram> programs = {
      {"none", "200 sound launches", clean, false},
      {"out-of-bounds", "launch #137 of 200 writes one element past its buffer", out_of_bounds, false},
      {"use-after-free", "launch #137 of 200 is given a view of a released buffer", use_after_free, false},
      {"stale-pointer", "launch #137 of 200 reads a released buffer through a pointer in a struct", stale_pointer,
       false},
      {"wrong-dtype", "launch #137 of 200 is given token ids as floats", wrong_dtype, false},
      {"missing-sync", "launch #138 gathers by rows that launch #101 on another stream may not have written yet",
       missing_sync, false},
      {"hang", "launch #137 waits for a flag that nobody sets", hang, true},
      {"crash", "the program aborts between launches #136 and #137", crash, false},
      {"killed", "the program is killed between launches #136 and #137", killed, false},
  };
  return programs;
}

void probe_device() {
  Stream stream("probe");
  DeviceBuffer<float> x("probe.x", kCount), y("probe.y", kCount);
  std::vector<float> numbers(kCount);
  for (int i = 0; i < kCount; ++i) numbers[static_cast<size_t>(i)] = static_cast<float>(i);
  x.upload(stream, numbers);
  launch(stream, {"probe", kCount / kThreads, kThreads}, &plant_scale_kernel, in("x", x.view(), kCount),
         out("y", y.view(), kCount), kCount);
  const std::vector<float> back = y.to_host(stream);
  for (int i = 0; i < kCount; ++i)
    if (back[static_cast<size_t>(i)] != 0.5f * static_cast<float>(i))
      throw Error(ErrorKind::kDeviceFault,
                  concat("device probe: element ", i, " is ", back[static_cast<size_t>(i)], ", wanted ", 0.5f * i));
  check_guards(stream);
}

}  // namespace greta::hip
