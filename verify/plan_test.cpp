#include "verify/plan.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "kernels/hip/error.hpp"
#include "verify/tiers.hpp"

namespace greta::verify {
namespace {

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
    return error.what();
  }
  return "no error";
}

TEST(Plan, EveryTitleIsUniqueAndReadsBackAsItself) {
  std::set<std::string> seen;
  for (const PlannedCase& planned : plan(operators(), {.filter = {}, .tier = "full", .seed = 7, .rungs = {}}))
    for (const std::string& tier : planned.tiers) {
      const std::string words = title(planned, tier);
      EXPECT_TRUE(seen.insert(words).second) << words;
      const PlannedCase again = parse_repeat(operators(), words, 1);
      EXPECT_EQ(title(again, tier), words);
      EXPECT_EQ(again.row.problem, planned.row.problem) << words;
      EXPECT_EQ(again.tiers, std::vector<std::string>{tier}) << words;
      EXPECT_EQ(again.seed, planned.seed);
      // As a free line, too.
      const std::string line = fmt::format("{}/{} tier={} {} seed={}", planned.op->name(), planned.rung.name, tier,
                                           planned.row.problem, planned.seed);
      EXPECT_EQ(parse_repeat(operators(), line, 1).row.problem, planned.row.problem);
    }
  EXPECT_GT(seen.size(), 100u);
}

TEST(Plan, RowsExplainThemselves) {
  for (const Operator* op : operators())
    for (const Case& row : op->cases()) {
      EXPECT_GT(row.why.size(), 10u) << op->name() << " " << row.name;
      EXPECT_EQ(op->normalise(row.problem), row.problem);
    }
}

TEST(Plan, FilterTierAndRungNarrow) {
  const auto count = [](const PlanOptions& options) {
    size_t n = 0;
    for (const PlannedCase& p : plan(operators(), options)) n += p.tiers.size();
    return n;
  };
  const size_t quick = count({}), full = count({.filter = {}, .tier = "full", .seed = 1, .rungs = {}});
  EXPECT_GT(full, quick);
  EXPECT_GT(quick, count({.filter = "rms_norm", .tier = "quick", .seed = 1, .rungs = {}}) - 1);
  for (const PlannedCase& p :
       plan(operators(), {.filter = "rms_norm/v1 odd_width .*y=f16", .tier = "E1,I:wave", .seed = 1, .rungs = {}})) {
    EXPECT_EQ(p.op->name(), "rms_norm");
    EXPECT_EQ(p.row.name, "odd_width");
    EXPECT_EQ(p.tiers, (std::vector<std::string>{"E1", "I:wave"}));
  }
  EXPECT_EQ(count({.filter = "nothing is called this", .tier = "quick", .seed = 1, .rungs = {}}), 0u);
}

TEST(Plan, RepeatWithFieldsOfItsOwn) {
  const PlannedCase p = parse_repeat(operators(), "rms_norm/v1 odd_width tier=E1 y=bf16 n_rows=5", 9);
  EXPECT_EQ(p.row.problem, "n_rows=5 width=257 eps=1e-05 y=bf16");
  EXPECT_EQ(p.seed, 9u);
  const PlannedCase free = parse_repeat(operators(), "rms_norm/v1 n_rows=2 width=8", 9);
  EXPECT_EQ(free.row.problem, "n_rows=2 width=8 eps=1e-05 y=f16");
  EXPECT_GT(free.tiers.size(), 5u) << "no tier given: all";
}

TEST(Plan, WhatItDoesNotKnowIsRefusedByName) {
  const auto repeat = [](const char* words) { return message_of([&] { parse_repeat(operators(), words, 1); }); };
  EXPECT_NE(repeat("").find("wanted e.g."), std::string::npos);
  EXPECT_NE(repeat("rms_norm odd_width").find("OPERATOR/RUNG"), std::string::npos);
  EXPECT_NE(repeat("rms_nrm/v1 odd_width").find("no operator 'rms_nrm'"), std::string::npos);
  EXPECT_NE(repeat("rms_norm/v99 odd_width").find("rungs: v1"), std::string::npos);
  EXPECT_NE(repeat("rms_norm/v1 odd_wdth").find("no case 'odd_wdth'"), std::string::npos);
  EXPECT_NE(repeat("rms_norm/v1 odd_width wdth=3").find("unknown field 'wdth'"), std::string::npos);
  EXPECT_NE(repeat("rms_norm/v1 odd_width width=x").find("want an integer"), std::string::npos);
  EXPECT_NE(repeat("rms_norm/v1 odd_width tier=E9").find("--tier 'E9'"), std::string::npos);
  EXPECT_NE(repeat("rms_norm/v1 odd_width seed=-1").find("seed '-1'"), std::string::npos);
  EXPECT_NE(repeat("rms_norm/v1 one_value tier=I:row_alone").find("does not apply"), std::string::npos);
  const auto planned = [](PlanOptions options) { return message_of([&] { plan(operators(), options); }); };
  EXPECT_NE(planned({.filter = "(", .tier = "quick", .seed = 1, .rungs = {}}).find("--filter '('"), std::string::npos);
  EXPECT_NE(planned({.filter = "", .tier = "slow", .seed = 1, .rungs = {}}).find("--tier 'slow'"), std::string::npos);
  EXPECT_NE(planned({.filter = "", .tier = "quick", .seed = 1, .rungs = {{"rms_norm", "v7"}}}).find("no rung 'v7'"),
            std::string::npos);
}

TEST(Plan, TierWanted) {
  EXPECT_TRUE(tier_wanted("", "E1"));
  EXPECT_TRUE(tier_wanted("E0,I", "I:wave"));
  EXPECT_TRUE(tier_wanted("I:wave", "I:wave"));
  EXPECT_FALSE(tier_wanted("I:wave", "I:order"));
  EXPECT_FALSE(tier_wanted("E0,B", "E1"));
}

}  // namespace
}  // namespace greta::verify
