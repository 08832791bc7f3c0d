// The judgement of a generation's times, on made-up figures: no clock decides here.
#include "runners/audits/decode_time.hpp"

#include <gtest/gtest.h>

namespace greta::runners {
namespace {

using results::Verdict;

constexpr DecodeTimes kTimes{.load = 1, .engine = 0.1, .prefill = 2, .steps = 3, .readback = 0.5, .wall = 7};
constexpr DecodeCounts kCounts{.prompt_given = 12,
                               .prompt_cached = 12,
                               .prompt_launched = 12,
                               .steps_wanted = 4,
                               .steps_cached = 4,
                               .steps_launched = 4};

TEST(DecodeTime, PartsAndTheRestAreTheWhole) {
  EXPECT_NEAR(kTimes.overhead(), 0.4, 1e-12);
  EXPECT_EQ(judge_decode(kTimes, kCounts).outcome.verdict, Verdict::kPass);
}

TEST(DecodeTime, AnotherPromptOrOtherStepsFail) {
  const auto judged = [](auto change) {
    DecodeCounts counts = kCounts;
    change(counts);
    return judge_decode(kTimes, counts).outcome.verdict;
  };
  EXPECT_EQ(judged([](DecodeCounts& c) { c.prompt_cached = 1; }), Verdict::kFail);
  EXPECT_EQ(judged([](DecodeCounts& c) { c.prompt_launched = 1; }), Verdict::kFail);
  EXPECT_EQ(judged([](DecodeCounts& c) { c.steps_cached = 3; }), Verdict::kFail);
  EXPECT_EQ(judged([](DecodeCounts& c) { c.steps_launched = 0; }), Verdict::kFail);
  EXPECT_EQ(judged([](DecodeCounts& c) { c.wrong_choices = 1; }), Verdict::kFail);
}

TEST(DecodeTime, PartsBeyondTheWholeAndClocksThatStandStillAreContradictions) {
  DecodeTimes times = kTimes;
  times.wall = 6;
  EXPECT_EQ(judge_decode(times, kCounts).outcome.verdict, Verdict::kContradiction);
  times = kTimes, times.prefill = 0;
  EXPECT_EQ(judge_decode(times, kCounts).outcome.verdict, Verdict::kContradiction);
}

}  // namespace
}  // namespace greta::runners
