// What a fault leaves behind: its parts, the recorder's file, the waits of a plan, the log of copies.
#include "kernels/hip/progress.hpp"

#include <gtest/gtest.h>

#include <unistd.h>
#include <cstring>

#include <filesystem>
#include <fstream>

#include "kernels/hip/copy_log.hpp"
#include "kernels/hip/fault.hpp"
#include "kernels/hip/memory_phase.hpp"
#include "kernels/hip/planted_programs.hpp"

namespace greta::hip {
namespace {

class Progress : public testing::Test {
 protected:
  void SetUp() override { set_exec_config({}); }
  void TearDown() override {
    set_wait_plan({});
    reset_sticky_fault_for_tests();
    set_exec_config({});
  }
  /// The report of a planted program, and the launches of this process before it.
  static FaultReport report_of(const char* name, uint64_t* before) {
    const auto recent = recent_launches();
    *before = recent.empty() ? 0 : recent.back().sequence;
    for (const PlantedProgram& p : planted_programs())
      if (std::strcmp(p.name, name) == 0) {
        EXPECT_THROW(p.run(), Error);
      }
    EXPECT_TRUE(last_fault_report().has_value());
    return last_fault_report().value_or(FaultReport{});
  }
};

TEST_F(Progress, AnOverrunAmongManyLaunchesIsReportedInParts) {
  uint64_t before = 0;
  const FaultReport r = report_of("out-of-bounds", &before);
  EXPECT_EQ(r.launch, before + 137);
  EXPECT_EQ(r.kernel, "plant_shift");
  EXPECT_EQ(r.argument, "y");
  EXPECT_EQ(r.direction, "out");
  EXPECT_EQ(r.buffer, "planted.5");
  EXPECT_EQ(r.buffer_bytes, 4096u);
  EXPECT_EQ(r.offset, std::optional<int64_t>(4096));
  EXPECT_FALSE(r.refused);
  EXPECT_EQ(r.text, sticky_fault().value_or(""));
}

TEST_F(Progress, ALaunchRefusedForAReleasedBufferIsReportedInParts) {
  uint64_t before = 0;
  const FaultReport r = report_of("use-after-free", &before);
  EXPECT_TRUE(r.refused);
  EXPECT_EQ(r.kernel, "plant_scale");
  EXPECT_EQ(r.argument, "x");
  EXPECT_EQ(r.buffer, "planted.freed");
  EXPECT_TRUE(r.buffer_freed);
  EXPECT_FALSE(sticky_fault().has_value());
}

TEST_F(Progress, AWrongTypeIsReportedInParts) {
  uint64_t before = 0;
  const FaultReport r = report_of("wrong-dtype", &before);
  EXPECT_TRUE(r.refused);
  EXPECT_EQ(r.kernel, "plant_scale");
  EXPECT_EQ(r.argument, "x");
  EXPECT_EQ(r.buffer, "planted.ids");
}

TEST_F(Progress, AStalePointerIsReportedWithItsBuffer) {
  if (platform_name() != "host") GTEST_SKIP() << "a GPU would be lost to the process, or read another buffer";
  uint64_t before = 0;
  const FaultReport r = report_of("stale-pointer", &before);
  EXPECT_EQ(r.launch, before + 137);
  EXPECT_EQ(r.kernel, "plant_stale");
  EXPECT_EQ(r.argument, "");
  EXPECT_EQ(r.buffer, "planted.freed");
  EXPECT_TRUE(r.buffer_freed);
}

TEST_F(Progress, APlanWaitsWhereItSays) {
  set_wait_plan({.every = 3, .until = 5});
  for (uint64_t launch = 1; launch <= 12; ++launch)
    EXPECT_EQ(wait_planned_after(launch), launch <= 5 || launch % 3 == 0) << launch;
  set_wait_plan({});
  EXPECT_FALSE(wait_planned_after(3));
}

TEST_F(Progress, TheRecorderKnowsWhatBeganAndWhatFinished) {
  const auto path = (std::filesystem::temp_directory_path() / ("greta_flight_test_" + std::to_string(::getpid())));
  open_flight_recorder(path.string());
  uint64_t before = 0;
  report_of("out-of-bounds", &before);
  const Flight flight = read_flight(path.string());
  EXPECT_EQ(flight.begun, before + 137);
  EXPECT_EQ(flight.finished, before + 136);
  ASSERT_EQ(flight.launches.size(), 137u);
  EXPECT_TRUE(flight.launches[135].finished);
  EXPECT_FALSE(flight.launches[136].finished);
  EXPECT_NE(flight.launches[136].text.find("plant_shift"), std::string::npos);
  EXPECT_NE(flight.launches[136].text.find("out y = 'planted.5'"), std::string::npos);
  const std::string torn = path.string() + ".torn";
  std::filesystem::copy_file(path, torn);
  std::filesystem::resize_file(torn, 1000);
  EXPECT_THROW(read_flight(torn), Error);
  std::filesystem::remove(torn);
  std::filesystem::remove(path);
  EXPECT_THROW(read_flight(path.string()), Error);
  EXPECT_THROW(open_flight_recorder("/nowhere/flight"), Error);
  // The removed file stays mapped: later launches of this process write into it and nobody reads them.
}

TEST_F(Progress, AProbedDeviceAnswers) { EXPECT_NO_THROW(probe_device()); }

/// A buffer of 100 floats, uploaded, copied within the device and read back: 3 transfers.
std::vector<CopyRecord> three_copies(CopyPlant plant, uint64_t at) {
  Stream stream("copies");
  DeviceBuffer<float> a("copy.a", 100), b("copy.b", 100);
  std::vector<float> numbers(50);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i + 1);
  CopyLog log(true);
  log.step(7, "test");
  plant_copy(plant, at);
  a.upload(stream, numbers, 10);
  copy_on_device(stream, b.id(), 80, a.id(), 40, 200);
  b.download(stream, std::span<float>(numbers), 20);
  plant_copy(CopyPlant::kNone, 0);
  return log.rows();
}

TEST_F(Progress, EveryCopyIsLoggedAndRightOnesAreCalledRight) {
  const auto rows = three_copies(CopyPlant::kNone, 0);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].to, "copy.a");
  EXPECT_EQ(rows[0].from, "host");
  EXPECT_EQ(rows[0].to_offset, 40u);
  EXPECT_EQ(rows[0].bytes, 200u);
  EXPECT_EQ(rows[1].from, "copy.a");
  EXPECT_EQ(rows[1].to, "copy.b");
  EXPECT_EQ(rows[2].to, "host");
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(rows[i].id, i + 1);
    EXPECT_EQ(rows[i].problem, "") << describe(rows[i]);
    EXPECT_TRUE(rows[i].verified);
    EXPECT_EQ(rows[i].step, 7);
    EXPECT_EQ(rows[i].stream, "copies");
    EXPECT_GE(rows[i].seconds, i ? rows[i - 1].seconds : 0.0);
  }
}

TEST_F(Progress, ALostCopyIsSeenWhereTheBytesWereThereAlready) {
  Stream stream("copies");
  DeviceBuffer<float> a("copy.a", 100), b("copy.b", 100);
  const std::vector<float> numbers(100, 2.5f);
  for (DeviceBuffer<float>* buffer : {&a, &b}) buffer->upload(stream, numbers, 0);
  for (const CopyPlant plant : {CopyPlant::kShort, CopyPlant::kLost})
    for (uint64_t at = 1; at <= 2; ++at) {
      CopyLog log(true);
      plant_copy(plant, at);
      a.upload(stream, numbers, 0);
      copy_on_device(stream, b.id(), 0, a.id(), 0, 400);
      plant_copy(CopyPlant::kNone, 0);
      for (uint64_t i = 1; i <= 2; ++i)
        EXPECT_EQ(log.rows()[i - 1].problem.empty(), i != at) << describe(log.rows()[i - 1]);
    }
}

TEST_F(Progress, AWrongCopyIsSeenAndNoOtherIsBlamed) {
  for (const CopyPlant plant : {CopyPlant::kShort, CopyPlant::kShifted, CopyPlant::kLost})
    for (uint64_t at = 1; at <= 3; ++at) {
      const auto rows = three_copies(plant, at);
      ASSERT_EQ(rows.size(), 3u);
      for (uint64_t i = 1; i <= 3; ++i)
        EXPECT_EQ(rows[i - 1].problem.empty(), i != at)
            << static_cast<int>(plant) << " at " << at << ": " << describe(rows[i - 1]) << rows[i - 1].problem;
    }
  const auto rows = three_copies(CopyPlant::kShifted, 1);
  EXPECT_NE(rows[0].problem.find("neighbours after it"), std::string::npos) << rows[0].problem;
}

TEST_F(Progress, OneLogOfCopiesAtATime) {
  CopyLog log(false);
  EXPECT_THROW(CopyLog second(false), Error);
}

TEST_F(Progress, AMemoryPhaseHasItsOwnHighWater) {
  const size_t base = allocated_bytes();
  { DeviceBuffer<float> large("large", 10000); }
  begin_memory_phase();
  EXPECT_EQ(phase_high_water(), base);
  { DeviceBuffer<float> small("small", 100); }
  EXPECT_EQ(phase_high_water(), base + 400);
}

}  // namespace
}  // namespace greta::hip
