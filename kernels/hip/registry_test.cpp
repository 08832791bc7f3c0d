#include <gtest/gtest.h>

#include "kernels/hip/runtime.hpp"

namespace greta::hip {
namespace {

TEST(Registry, FreedBuffersDoNotShadowLiveOnes) {
  // More buffers than are kept from reuse: some of the addresses around a live buffer once belonged to freed ones.
  for (int i = 0; i < 3000; ++i) DeviceBuffer<float> gone("gone", 1 + static_cast<size_t>(i % 7) * 1000);
  std::vector<DeviceBuffer<float>> live;
  for (int i = 0; i < 50; ++i) live.emplace_back("live", 1024);
  for (DeviceBuffer<float>& buffer : live) {
    const auto start = reinterpret_cast<uintptr_t>(buffer.view().data());
    for (const int64_t offset : {int64_t{-4}, int64_t{0}, int64_t{4095}, int64_t{4096}}) {
      const AddressReport report = describe_address(start + static_cast<uintptr_t>(offset));
      EXPECT_EQ(report.allocation.id, buffer.id()) << report.text;
      EXPECT_EQ(report.offset, offset) << report.text;
    }
  }
}

TEST(Registry, AFreedBufferIsNamedWhileNobodyHasItsAddresses) {
  uintptr_t address = 0;
  {
    DeviceBuffer<float> buffer("short_lived", 1024);
    address = reinterpret_cast<uintptr_t>(buffer.view().data());
  }
  if (platform_name() != "host") GTEST_SKIP() << "a driver may hand out the same addresses at once";
  const AddressReport report = describe_address(address + 8);
  EXPECT_EQ(report.allocation.name, "short_lived");
  EXPECT_TRUE(report.allocation.freed);
  EXPECT_TRUE(report.inside);
}

}  // namespace
}  // namespace greta::hip
