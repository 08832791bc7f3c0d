// .ci/device_health on made-up sysfs trees: a healthy MI300X, and one fault at a time.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "runners/child_process.hpp"

namespace greta::runners {
namespace {

namespace fs = std::filesystem;

class DeviceHealth : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("greta_device_health_test_" + std::to_string(::getpid()));
    write("dev/kfd", "");
    write("sys/class/kfd/kfd/topology/nodes/0/properties", "cpu_cores_count 96\ngfx_target_version 0\n");
    write("sys/class/kfd/kfd/topology/nodes/1/properties", "simd_count 1216\ngfx_target_version 90402\n");
    write(card("vendor"), "0x1002\n");
    write(card("ras/umc_err_count"), "ue: 0\nce: 3\n");
    write(card("ras/gfx_err_count"), "ue: 0\nce: 0\n");
    write(card("gpu_busy_percent"), "0\n");
    write(card("mem_info_vram_used"), "300000000\n");
    write(card("mem_info_vram_total"), "206141652992\n");
    write(card("hwmon/hwmon3/temp1_label"), "junction\n");
    write(card("hwmon/hwmon3/temp1_input"), "41000\n");
    write("sys/class/drm/card0-HDMI-A-1/device/vendor", "0x1002\n");
  }
  void TearDown() override { fs::remove_all(root_); }
  static std::string card(const std::string& file) { return "sys/class/drm/card0/device/" + file; }
  void write(const std::string& path, const std::string& text) const {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  ChildResult check(std::vector<std::string> arguments = {}) const {
    arguments.insert(arguments.begin(), GRETA_SOURCE_DIR "/.ci/device_health");
    return run_child({.argv = arguments,
                      .folder = {},
                      .environment = {{"GRETA_SYSFS_ROOT", root_.string()}},
                      .file_size_limit = {}});
  }
  /// The tree with one file changed is unhealthy, and the text says why.
  void expect_fault(const std::string& path, const std::string& content, const std::string& text) const {
    write(path, content);
    const ChildResult r = check();
    EXPECT_TRUE(r.exited_with(4)) << r.how_it_ended() << "\n" << r.out;
    EXPECT_NE(r.out.find(text), std::string::npos) << r.out;
  }
  fs::path root_;
};

TEST_F(DeviceHealth, HealthyCardIsHealthy) {
  const ChildResult r = check();
  EXPECT_TRUE(r.exited_with(0)) << r.how_it_ended() << "\n" << r.out << r.err;
  EXPECT_EQ(last_lines(r.out, 1), "healthy");
}

TEST_F(DeviceHealth, UncorrectableErrorIsAFault) {
  expect_fault(card("ras/umc_err_count"), "ue: 2\nce: 0\n", "2 uncorrectable");
  EXPECT_TRUE(check({"--after"}).exited_with(4));
}
TEST_F(DeviceHealth, HotCardIsAFault) { expect_fault(card("hwmon/hwmon3/temp1_input"), "93000\n", "junction: 93"); }
TEST_F(DeviceHealth, OccupiedCardIsAFaultBeforeARunOnly) {
  expect_fault(card("mem_info_vram_used"), "100000000000\n", "memory in use");
  EXPECT_TRUE(check({"--after"}).exited_with(0));
}
TEST_F(DeviceHealth, BusyCardIsAFault) { expect_fault(card("gpu_busy_percent"), "99\n", "busy: 99"); }
TEST_F(DeviceHealth, AnotherCardIsAFault) {
  expect_fault("sys/class/kfd/kfd/topology/nodes/1/properties", "gfx_target_version 110000\n", "no gfx942");
}
TEST_F(DeviceHealth, MissingDriverIsAFault) {
  fs::remove(root_ / "dev/kfd");
  EXPECT_TRUE(check().exited_with(4));
}
TEST_F(DeviceHealth, MissingErrorCountersAreAFault) {
  fs::remove_all(root_ / card("ras"));
  EXPECT_TRUE(check().exited_with(4));
}
TEST_F(DeviceHealth, UnknownFlagIsUsage) { EXPECT_TRUE(check({"--before"}).exited_with(2)); }

}  // namespace
}  // namespace greta::runners
