#include "results/bench_page.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "kernels/hip/error.hpp"

namespace greta::results {
namespace {

StoredCase bench_case(const char* rung, const char* row, double us, Outcome outcome = {Verdict::kPass, ""}) {
  Record r;
  r.kind = "bench", r.kernel = "prefill_attention", r.rung = rung, r.case_name = row;
  r.measured["median_us"] = us, r.measured["spread"] = 0.021, r.measured["tflop_per_s"] = 296.4;
  r.config["exp"] = "hw";
  r.outcome = std::move(outcome);
  return {r, 0.5};
}
StoredRun run_of(std::vector<StoredCase> cases) {
  return {.run_id = "9f3c",
          .invocation = {"bench", "--filter", "prefill|decode"},
          .environment = {"cuda", "H200", "nvcc", "abc", "verified"},
          .planned = {},
          .cases = std::move(cases)};
}

TEST(BenchPage, RowsCostAndTheLastMeasurement) {
  const std::vector<StoredRun> runs = {
      run_of({bench_case("v3", "8k", 900), bench_case("v4", "8k", 150), bench_case("v4_free", "8k", 100)}),
      run_of({bench_case("v4", "8k", 115)})};
  const std::string page = bench_page(runs);
  EXPECT_NE(page.find("| H200 | abc | `greta bench --filter 'prefill\\|decode'` |"), std::string::npos) << page;
  EXPECT_NE(page.find("## prefill_attention, exp2 hw"), std::string::npos) << page;
  EXPECT_NE(page.find("| 8k | v4 | 115 | 2.1 | | | 296 | | |"), std::string::npos) << page;
  EXPECT_EQ(page.find("| 8k | v4 | 150"), std::string::npos) << "measured again since";
  EXPECT_NE(page.find("| prefill_attention, exp2 hw | 8k | v4 115 | v4_free 100 | 15.0 % |"), std::string::npos)
      << page;
}

TEST(BenchPage, WhatIsNotGreenShowsItsVerdictAndCountsNowhere) {
  const std::vector<StoredRun> runs = {run_of({bench_case("v4", "8k", 10, {Verdict::kFail, "wrong answer"}),
                                               bench_case("v3", "8k", 200), bench_case("v4_free", "8k", 100)})};
  const std::string page = bench_page(runs);
  EXPECT_NE(page.find("| 8k | v4 | FAIL: wrong answer |"), std::string::npos) << page;
  EXPECT_NE(page.find("| v3 200 | v4_free 100 | 100.0 % |"), std::string::npos) << page;
}

TEST(BenchPage, OtherProgramsStandBesideOurFastestExactRung) {
  const std::vector<StoredRun> runs = {
      run_of({bench_case("v3", "8k", 900), bench_case("v4", "8k", 150), bench_case("v4_free", "8k", 100)})};
  Json peers = Json::parse(R"([
    {"kernel":"prefill_attention","case":"8k","figure":"tflop_per_s","value":323,"peer":"flash","source":"a table"},
    {"kernel":"prefill_attention","case":"8k","figure":"median_us","value":120,"peer":"flash","source":"a table"}])");
  const std::string page = bench_page(runs, peers);
  EXPECT_NE(page.find("| 8k | tflop_per_s | v4 296 | flash | 323 | 92 % |"), std::string::npos) << page;
  EXPECT_NE(page.find("| 8k | median_us | v4 150 | flash | 120 | 80 % |"), std::string::npos) << page;
  EXPECT_EQ(page.find("* flash: a table"), page.rfind("* flash: a table")) << "a source is named once";
  peers[0]["case"] = "9k";
  EXPECT_THROW(bench_page(runs, peers), Error) << "no row of ours";
}

TEST(BenchPage, AFigureOfOthersThatIsNoneSaysWhichAndWhy) {
  const std::vector<StoredRun> runs = {run_of({bench_case("v4", "8k", 150)})};
  const auto refusal = [&](const char* key, const Json& value) -> std::string {
    Json peers = Json::parse(R"([
      {"kernel":"prefill_attention","case":"8k","figure":"median_us","value":120,"peer":"flash","source":"a table"}])");
    if (value.is_null())
      peers[0].erase(key);
    else
      peers[0][key] = value;
    try {
      bench_page(runs, peers);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(refusal("peer", "flash"), "");
  for (const char* key : {"kernel", "case", "figure", "peer", "source", "value"})
    EXPECT_EQ(refusal(key, Json()).find(fmt::format("peers: figure 1: '{}' must be ", key)), 0u) << key;
  EXPECT_NE(refusal("value", 0).find("got 0"), std::string::npos);
  EXPECT_NE(refusal("value", "fast").find("\"fast\""), std::string::npos);
  EXPECT_NE(refusal("figure", "bananas").find("have no 'bananas'"), std::string::npos);
  EXPECT_THROW(bench_page(runs, Json::parse("[7]")), Error);
}

TEST(BenchPage, WithoutRecordsThereIsNoPage) {
  EXPECT_THROW(bench_page(std::vector<StoredRun>{run_of({})}), Error);
  StoredCase gate = bench_case("v4", "8k", 1);
  gate.record.kind = "gate";
  EXPECT_THROW(bench_page(std::vector<StoredRun>{run_of({gate})}), Error);
}

}  // namespace
}  // namespace greta::results
