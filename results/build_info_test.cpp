#include "results/build_info.hpp"

#include <gtest/gtest.h>

#include <regex>

namespace greta::results {
namespace {

TEST(BuildInfo, EveryFieldIsFilled) {
  const BuildInfo& b = build_info();
  EXPECT_FALSE(b.compiler.empty());
  EXPECT_FALSE(b.flags.empty());
  EXPECT_FALSE(b.build_type.empty());
  EXPECT_EQ(b.platform, GRETA_PLATFORM_NAME);
  EXPECT_FALSE(b.preset.empty());
  EXPECT_TRUE(std::regex_match(b.commit, std::regex("unknown|[0-9a-f]{12}(\\+dirty)?"))) << b.commit;
}

TEST(BuildInfo, FlagsAreThoseThatKeepBits) {
  EXPECT_NE(build_info().flags.find("-ffp-contract=off"), std::string::npos) << build_info().flags;
  EXPECT_EQ(build_info().flags.find("-ffast-math"), std::string::npos);
  EXPECT_EQ(build_info().flags.find('$'), std::string::npos) << "a CMake expression was left: " << build_info().flags;
}

TEST(BuildInfo, LinesAreLines) {
  EXPECT_EQ(toolchain().find('\n'), std::string::npos);
  EXPECT_EQ(build_line().find('\n'), std::string::npos);
  EXPECT_EQ(build_line().find("greta "), 0u);
}

}  // namespace
}  // namespace greta::results
