// Every planted fault is found and named, or skipped for a stated reason.
#include "kernels/hip/planted_faults.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace greta::hip {
namespace {

class PlantedFaults : public ::testing::TestWithParam<PlantedFault> {};

TEST_P(PlantedFaults, IsFoundAndNamed) {
  if (const std::string reason = reason_to_skip(GetParam()); !reason.empty()) GTEST_SKIP() << reason;
  Stream stream("planted");
  EXPECT_EQ(check_planted_fault(GetParam(), stream), "");
}

INSTANTIATE_TEST_SUITE_P(All, PlantedFaults, ::testing::ValuesIn(planted_faults()),
                         [](const auto& fault) { return std::string(fault.param.name); });

}  // namespace
}  // namespace greta::hip
