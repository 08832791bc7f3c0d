// The model's benchmark rows: green on a right engine, red when a decode step and a prompt disagree.
#include "runners/model_bench.hpp"

#include <gtest/gtest.h>

#include "bench/driver.hpp"

namespace greta::runners {
namespace {

struct Ran {
  int code;
  std::vector<results::Outcome> outcomes;
};
Ran run(model::Defect defect, const std::string& filter) {
  ModelBench bench;
  bench.shape = "tiny", bench.prompts = {5}, bench.cached = {0, 3};
  bench.engine.defect = defect;
  bench::RunOptions options;
  options.filter = filter, options.flags = {"--benchmark_min_time=0.001"};
  add_model_cases(options.cases, bench);
  results::Store store("", results::build_environment("test"));
  const int code = bench::run(options, store);
  return {code, store.outcomes()};
}

TEST(ModelBench, RightEngineIsGreen) {
  const Ran ran = run(model::Defect::kNone, "^model_(prefill|decode)/");
  EXPECT_EQ(ran.code, 0);
  EXPECT_GE(ran.outcomes.size(), 3u) << "a prompt, and a step behind 0 and 3 positions";
  for (const auto& outcome : ran.outcomes) EXPECT_EQ(outcome.verdict, results::Verdict::kPass) << outcome.reason;
}

TEST(ModelBench, AStepThatIsBlindToItsLastKeyIsRed) {
  const Ran ran = run(model::Defect::kLastKvIgnored, "^model_prefill/whole/5$");
  EXPECT_EQ(ran.code, 1);
  ASSERT_EQ(ran.outcomes.size(), 1u);
  EXPECT_EQ(ran.outcomes[0].verdict, results::Verdict::kFail);
  EXPECT_NE(ran.outcomes[0].reason.find("decode step"), std::string::npos) << ran.outcomes[0].reason;
}

TEST(ModelBench, AContextThatTheModelLacksIsRefused) {
  ModelBench bench;
  bench.model = GRETA_SOURCE_DIR "/model/samples/sample-llama-a.q4_k_m.gguf", bench.prompts = {1 << 20};
  std::vector<bench::BenchCase> cases;
  add_model_cases(cases, bench);
  try {
    cases.front().make({});
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("--prompts"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace greta::runners
