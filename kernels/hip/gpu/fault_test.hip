// Planted faults on a device: each must be found, and named by kernel, argument, buffer and offset, or by the launches
// it can come from. The fatal ones run in a process of their own.
#include <gtest/gtest.h>

#include <cstdio>
#include <vector>

#include "kernels/hip/fault.hpp"
#include "kernels/hip/gpu/api.hpp"
#include "kernels/hip/launch.hpp"

namespace greta::hip {
namespace {

/// Forgets the fault that a test planted, also the one that the release of its damaged buffer finds.
class GpuFault : public testing::Test {
 protected:
  void SetUp() override { set_exec_config({}); }
  void TearDown() override {
    reset_sticky_fault_for_tests();
    set_exec_config({});
  }
};

/// The message of the Error that f throws; a failure if it throws none or another kind.
template <class F>
std::string error_of(ErrorKind kind, F&& f) {
  try {
    f();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

#define EXPECT_SAYS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST_F(GpuFault, NoDeviceIsSaidWithWhatWasLookedFor) {
  int count = 0;
  const bool there = hipGetDeviceCount(&count) == hipSuccess && count > 0;
  (void)hipGetLastError();
  if (there) {
    EXPECT_EQ(device_info().platform, platform_name());
    EXPECT_GT(device_info().compute_units, 0);
    EXPECT_GT(device_info().memory_bytes, size_t{1} << 30);
    EXPECT_GT(device_info().last_level_cache_bytes, size_t{1} << 20);
    EXPECT_FALSE(device_info().driver.empty());
    return;
  }
  const std::string text = error_of(ErrorKind::kNoDevice, [] { device_info(); });
  EXPECT_SAYS(text, "device for platform ");
  EXPECT_SAYS(text, "/dev/");
  EXPECT_SAYS(text, "--platform host");
  EXPECT_EQ(error_of(ErrorKind::kNoDevice, [] { Stream stream; }), text);
  EXPECT_EQ(error_of(ErrorKind::kNoDevice, [] { DeviceBuffer<float> buffer("b", 10); }), text);
  EXPECT_EQ(Error(ErrorKind::kNoDevice, text).exit_code(), 4);
}

template <class T>
__global__ void poke_kernel(T* x, int64_t element, int value) {
  if (threadIdx.x == 3) x[element] = static_cast<T>(value);
}

template <class T>
void poke(Stream& stream, DeviceBuffer<T>& buffer, int64_t element) {
  launch(stream, {"poke", dim3(1), dim3(64)}, &poke_kernel<T>, inout("x", buffer.view(), buffer.count()), element, 77);
}

TEST_F(GpuFault, AWriteIntoAGuardZoneIsNamedRightAfterItsLaunch) {
  Stream stream;
  for (int64_t element : {int64_t{-1}, int64_t{-16384}, int64_t{1001}, int64_t{1001 + 16383}}) {
    {
      DeviceBuffer<int> buffer("victim", 1001);
      poke(stream, buffer, 0);
      poke(stream, buffer, 1000);
      const std::string text = error_of(ErrorKind::kDeviceFault, [&] { poke(stream, buffer, element); });
      EXPECT_SAYS(text, "kernel poke");
      EXPECT_SAYS(text, "argument 'x'");
      EXPECT_SAYS(text, concat("offset ", 4 * element, " of 'victim' (4004 bytes i32)"));
      EXPECT_SAYS(text, "fault_test.hip:");
      EXPECT_SAYS(error_of(ErrorKind::kDeviceFault, [&] { poke(stream, buffer, 0); }), "refused");
    }
    reset_sticky_fault_for_tests();  // after the release, which would find the damage again
  }
}

TEST_F(GpuFault, GuardsBeginAtTheFirstByteAfterAnOddSize) {
  Stream stream;
  for (int64_t byte : {1001, 1002, 1003, 1004, 1023, 1024}) {
    {
      DeviceBuffer<int8_t> buffer("odd", 1001);
      poke(stream, buffer, 1000);
      const std::string text = error_of(ErrorKind::kDeviceFault, [&] { poke(stream, buffer, byte); });
      EXPECT_SAYS(text, concat("offset ", byte, " of 'odd'"));
      EXPECT_SAYS(text, "found 0x4d");
    }
    reset_sticky_fault_for_tests();
  }
}

TEST_F(GpuFault, UncheckedLaunchesLeaveTheDamageToCheckGuardsAndToRelease) {
  ExecConfig config;
  config.checked = false;
  set_exec_config(config);
  Stream stream;
  {
    std::vector<DeviceBuffer<int>> others;  // more zones than one launch of the check takes
    for (int i = 0; i < 100; ++i) others.emplace_back(concat("other", i), 10);
    DeviceBuffer<int> buffer("victim", 10);
    poke(stream, buffer, 12);
    const std::string text = error_of(ErrorKind::kDeviceFault, [&] { check_guards(stream); });
    EXPECT_SAYS(text, "offset 48 of 'victim'");
    EXPECT_SAYS(text, "recent launches");
    reset_sticky_fault_for_tests();
  }
  ASSERT_TRUE(sticky_fault().has_value());
  EXPECT_SAYS(*sticky_fault(), "found when the buffer was released");
}

TEST_F(GpuFault, MoreMemoryThanThereIsNamesTheBufferAndWhatIsFree) {
  Stream stream;
  const std::string text =
      error_of(ErrorKind::kOutOfMemory, [] { DeviceBuffer<float> buffer("kv_cache.k", size_t{1} << 40); });
  EXPECT_SAYS(text, "'kv_cache.k'");
  EXPECT_SAYS(text, "4398046511104 bytes");
  EXPECT_SAYS(text, "free of");
  DeviceBuffer<int> small("small", 10);
  poke(stream, small, 3);
  EXPECT_EQ(small.to_host(stream)[3], 77);
}

__global__ void GRETA_LAUNCH_BOUNDS(64, 1) bounded_kernel(int* x) { x[threadIdx.x] = 1; }

TEST_F(GpuFault, ALaunchTheDeviceRefusesIsTheCallersErrorAndNotSticky) {
  Stream stream;
  DeviceBuffer<int> buffer("x", 256);
  const std::string text = error_of(ErrorKind::kInvalidArgument, [&] {
    launch(stream, {"bounded", dim3(2), dim3(256)}, &bounded_kernel, out("x", buffer.view(), 256));
  });
  EXPECT_SAYS(text, "fault_test.hip:");
  EXPECT_SAYS(text, "launching bounded grid (2,1,1) block (256,1,1) lds 0; LDS limit ");
  launch(stream, {"bounded", dim3(1), dim3(64)}, &bounded_kernel, out("x", buffer.view(), 256));
  EXPECT_EQ(buffer.to_host(stream)[63], 1);
}

TEST_F(GpuFault, AnErrorThatWasThereBeforeALaunchIsNotItsOwn) {
  Stream stream;
  DeviceBuffer<int> buffer("x", 10);
  void* never = nullptr;
  EXPECT_NE(hipMalloc(&never, size_t{1} << 60), hipSuccess);
  EXPECT_SAYS(error_of(ErrorKind::kDeviceFault, [&] { poke(stream, buffer, 1); }), "earlier work");
}

__global__ void wild_kernel(int64_t address, int value) { *reinterpret_cast<int*>(address) = value; }

/// In a child process: a good launch, one that writes where nothing is mapped, another good one, then a wait.
[[noreturn]] void fault_later() {
  try {
    ExecConfig config;
    config.checked = false;
    set_exec_config(config);
    Stream stream("victims");
    DeviceBuffer<int> buffer("x", 10);
    stream.synchronize();
    poke(stream, buffer, 1);
    launch(stream, {"wild", dim3(1), dim3(64)}, &wild_kernel, int64_t{16}, 1);
    try {
      stream.synchronize();
    } catch (const Error& first) {
      std::fprintf(stderr, "first: %s\n", first.what());
      poke(stream, buffer, 1);
    }
  } catch (const Error& error) {
    std::fprintf(stderr, "then: %s\n", error.what());
    std::_Exit(error.exit_code());
  }
  std::_Exit(0);
}

TEST_F(GpuFault, AFaultFoundByAWaitIsLabelledWithTheLaunchesItCanComeFrom) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
#if defined(GRETA_CUDA)
  EXPECT_EXIT(fault_later(), testing::ExitedWithCode(1),
              "first: cudaErrorIllegalAddress .*waiting for stream 'victims'; asynchronous: originates in launches "
              "#1..#2:(.|\n)*#1 poke(.|\n)*#2 wild(.|\n)*then: refused");
#else
  EXPECT_EXIT(fault_later(), testing::KilledBySignal(SIGABRT), "");  // HIP ends the process at a memory fault
#endif
}

}  // namespace
}  // namespace greta::hip
