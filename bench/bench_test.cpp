// The bench must be able to go red: wrong answers, answers nobody computed, times that cannot be.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "bench/catalogue.hpp"
#include "bench/driver.hpp"
#include "bench/prelude.hpp"
#include "bench/roofline.hpp"
#include "bench/rotation.hpp"
#include "bench/timing.hpp"
#include "kernels/quant_matmul/gemm_variants.hpp"

namespace greta::bench {
namespace {

template <class F>
std::string refusal(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInvalidArgument);
    return error.what();
  }
  return "accepted";
}
bool has(const std::string& text, const char* word) { return text.find(word) != std::string::npos; }

TEST(Timing, SummaryByHand) {
  const Summary s = summarise({5, 1, 2, 4, 3});
  EXPECT_EQ(s.median, 3);
  EXPECT_EQ(s.mean, 3);
  EXPECT_EQ(s.min, 1);
  EXPECT_DOUBLE_EQ(s.p10, 1.4);
  EXPECT_DOUBLE_EQ(s.p90, 4.6);
  EXPECT_DOUBLE_EQ(s.spread, 3.2 / 3);
  EXPECT_EQ(summarise({7}).median, 7);
  EXPECT_EQ(summarise({7}).spread, 0);
}

TEST(Timing, ClocksThatStandStillAreRefused) {
  for (const double bad : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()})
    EXPECT_TRUE(has(refusal([&] { summarise({1.0, bad}); }), "clock"));
  EXPECT_TRUE(has(refusal([] { summarise({}); }), "no samples"));
}

TEST(Roofline, JudgementByHand) {
  Ceilings c = Ceilings::fixed(100, 120, 2);  // GB/s, GB/s, TFLOP/s
  // 60 MB in 1 ms: 60 GB/s; 1 GFLOP in 1 ms: 1 TFLOP/s.
  const Judgement j = judge(1e-3, 60e6, 1e9, Compute::kF32, true, c);
  EXPECT_DOUBLE_EQ(j.gb_per_s, 60);
  EXPECT_DOUBLE_EQ(j.copy_pct, 60);
  EXPECT_DOUBLE_EQ(j.tflop_per_s, 1);
  EXPECT_DOUBLE_EQ(j.flop_pct, 50);
  EXPECT_DOUBLE_EQ(j.floor_us, 500);  // 60 MB at 120 GB/s; 1 GFLOP at 2 TFLOP/s
  EXPECT_EQ(j.too_fast, "");
}

TEST(Roofline, FasterThanPhysicsIsRed) {
  Ceilings c = Ceilings::fixed(100, 120, 2);
  EXPECT_EQ(judge(1e-3, 125e6, 0, Compute::kF32, true, c).too_fast, "") << "within the slack";
  EXPECT_TRUE(has(judge(1e-3, 127e6, 0, Compute::kF32, true, c).too_fast, "GB/s"));
  EXPECT_EQ(judge(1e-3, 127e6, 0, Compute::kF32, false, c).too_fast, "") << "a cache may be faster than memory";
  EXPECT_TRUE(has(judge(1e-3, 1e6, 2.2e9, Compute::kI8, false, c).too_fast, "TFLOP/s"));
  for (const double bad : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()})
    EXPECT_NE(judge(bad, 1e6, 1e6, Compute::kF32, true, c).too_fast, "") << bad;
}

TEST(Roofline, CeilingsAreMeasured) {
  Ceilings c;
  EXPECT_GT(c.copy(), 0.01);
  EXPECT_GT(c.read(), 0.01);
  EXPECT_GT(c.compute(Compute::kF32), 1e-5);
  EXPECT_GT(c.compute(Compute::kI8), 1e-5);
  EXPECT_GT(c.compute(Compute::kI8Matrix), 1e-6);
  EXPECT_GE(c.bytes(), c.copy());
  const double before = c.copy();
  c.measure_again();
  EXPECT_GE(c.copy(), before);
  EXPECT_TRUE(c.as_json().contains("copy_gb_per_s"));
}

TEST(Rotation, SlotsRowsAndSamples) {
  EXPECT_GE(slots_for(1e12), 2);
  EXPECT_LE(slots_for(1), 4096);
  const double bytes = 1e6;
  EXPECT_TRUE(is_cold(bytes * static_cast<double>(slots_for(bytes))));
  EXPECT_FALSE(is_cold(1));
  const auto rows = sampled_rows(1000, 4, 1);
  EXPECT_EQ(rows.front(), 0);
  EXPECT_EQ(rows.back(), 999);
  EXPECT_EQ(sampled_rows(1, 4, 1), std::vector<int64_t>{0});
  EXPECT_EQ(sampled_slots(std::vector<int64_t>{0, 2, 1, 1, 0}, 2), (std::vector<int64_t>{1, 3}));
  EXPECT_EQ(sampled_slots(std::vector<int64_t>{1}, 3), (std::vector<int64_t>{0}));

  hip::Stream stream;
  verify::Tensor t("t", DType::kQ6K, {{"b", 3}});  // 210 bytes a block: slots are padded to 256
  for (size_t i = 0; i < t.bytes.size(); ++i) t.bytes[i] = static_cast<uint8_t>(i);
  const RotatedTensor rotated(stream, t, 5);
  for (int64_t slot = 0; slot < 5; ++slot) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(rotated.view(slot).data()) % 16, 0u);
    EXPECT_EQ(rotated.download(stream, slot, t).bytes, t.bytes) << slot;
  }
  EXPECT_TRUE(has(refusal([&] { rotated.download(stream, 0, t, 1); }), "download"));
}

/// Launches a copy and claims anything about its bytes and its answer.
class FakeWorkload final : public Workload, public WithPrelude {
 public:
  explicit FakeWorkload(std::string answer, double prelude = 0)
      : answer_(std::move(answer)), prelude_(prelude), from_("from", 4096), to_("to", 4096) {}
  int64_t slots() const override { return 2; }
  double footprint() const override { return 1e12; }
  void launch(hip::Stream& stream, int64_t) override { ceiling_copy(stream, from_.cview(), to_.view()); }
  std::string check(hip::Stream&, std::span<const int64_t> launches) override {
    return launches[0] + launches[1] > 0 ? answer_ : "nothing was launched";
  }
  double prelude(hip::Stream&) override { return prelude_; }

 private:
  std::string answer_;
  double prelude_;
  hip::DeviceBuffer<float> from_, to_;
};

BenchCase fake(const char* row, double bytes, std::string answer) {
  BenchCase c;
  c.op = "fake", c.rung = "v1", c.row = row, c.problem = "n=1", c.bytes = bytes, c.first_rung = true;
  c.make = [answer](const Options&) { return std::make_unique<FakeWorkload>(answer); };
  return c;
}

struct Ran {
  int code;
  std::vector<results::Outcome> outcomes;
};
Ran run_cases(std::vector<BenchCase> cases, const std::string& filter = "") {
  results::Store store("", results::build_environment("test"));
  RunOptions options;
  options.cases = std::move(cases), options.filter = filter;
  options.flags = {"--benchmark_min_time=0.001"};
  const int code = run(options, store);
  return {code, store.outcomes()};
}

TEST(Driver, GreenAndRedRows) {
  EXPECT_EQ(run_cases({fake("right", 1, "")}).code, 0);
  const Ran wrong = run_cases({fake("right", 1, ""), fake("wrong", 1, "row 3 is off")});
  EXPECT_EQ(wrong.code, 1);
  ASSERT_EQ(wrong.outcomes.size(), 2u);
  EXPECT_EQ(wrong.outcomes[0].verdict, results::Verdict::kPass);
  EXPECT_EQ(wrong.outcomes[1].verdict, results::Verdict::kFail);
  EXPECT_TRUE(has(wrong.outcomes[1].reason, "row 3 is off"));
  const Ran fast = run_cases({fake("lazy", 1e15, "")});
  EXPECT_EQ(fast.code, 1);
  EXPECT_EQ(fast.outcomes[0].verdict, results::Verdict::kMistrusted);
}

TEST(Driver, WhatRunsBeforeTheLaunchStandsBesideItsTime) {
  for (const double seconds : {0.0, 2.5e-6}) {
    BenchCase c = fake("row", 1, "");
    c.make = [seconds](const Options&) { return std::make_unique<FakeWorkload>("", seconds); };
    testing::internal::CaptureStdout();
    EXPECT_EQ(run_cases({c}).code, 0);
    const std::string shown = testing::internal::GetCapturedStdout();
    EXPECT_EQ(has(shown, "prelude_us"), seconds > 0) << shown;
    EXPECT_TRUE(seconds == 0 || has(shown, "2.5")) << shown;
  }
}

TEST(Driver, AQuantisedMatmulSaysWhatItsQuantiserTakes) {
  for (const BenchCase& c : filtered(all_cases(), "^quant_matmul/gemv_(q4_k|float)_v1/.*/1$")) {
    const auto workload = c.make({});
    hip::Stream stream;
    EXPECT_EQ(dynamic_cast<WithPrelude&>(*workload).prelude(stream) > 0, !has(c.rung, "float")) << c.name();
    if (hip::platform_name() != "host") break;
  }
}

TEST(Driver, FiltersAndFlags) {
  const std::vector<BenchCase> cases = {fake("a", 1, ""), fake("b", 1, "wrong")};
  EXPECT_EQ(run_cases(cases, "/a$").code, 0) << "only the right one ran";
  EXPECT_TRUE(has(refusal([&] { run_cases(cases, "nothing"); }), "no benchmark matches"));
  EXPECT_TRUE(has(refusal([&] { run_cases(cases, "("); }), "regular expression"));
  for (const char* bad : {"--benchmark_format=xml", "--benchmark_out=/nonexistent/file", "--benchmark_filter=(",
                          "--benchmark_repetitions=0", "--benchmark_time_unit=h"})
    EXPECT_NE(refusal([&] { check_flags({bad}); }), "accepted") << bad;
  check_flags({"--benchmark_format=json", "--benchmark_filter=-x", "--benchmark_repetitions=3"});
}

TEST(Driver, FaultsEndTheRunWithTheirError) {
  BenchCase broken = fake("broken", 1, "");
  broken.make = [](const Options&) -> std::unique_ptr<Workload> { throw_invalid("no such rung"); };
  EXPECT_EQ(refusal([&] { run_cases({broken, fake("next", 1, "")}); }), "no such rung");
}

// Rungs that go wrong, through the checks of a real workload.
const RmsNormProblem kProblem{.n_rows = 6, .width = 64};
int launches_done = 0;

void right(hip::Stream& s, const RmsNormProblem& p, const RmsNormArgs& a) { rms_norm(s, rms_norm_ladder()[0], p, a); }
void last_row_missing(hip::Stream& s, const RmsNormProblem& p, const RmsNormArgs& a) {
  RmsNormProblem fewer = p;
  fewer.n_rows -= 1;
  right(s, fewer, a);
}
void other_eps(hip::Stream& s, const RmsNormProblem& p, const RmsNormArgs& a) {
  RmsNormProblem other = p;
  other.eps = 0.5f;
  right(s, other, a);
}
void only_once(hip::Stream& s, const RmsNormProblem& p, const RmsNormArgs& a) {
  if (launches_done++ == 0) right(s, p, a);
}
void nothing(hip::Stream&, const RmsNormProblem&, const RmsNormArgs&) {}

/// What the workload's own check says after a launch on each of the slots.
std::string checked_after(Workload& workload, std::initializer_list<int64_t> slots) {
  hip::Stream stream;
  std::vector<int64_t> launches(static_cast<size_t>(workload.slots()), 0);
  for (const int64_t slot : slots) workload.launch(stream, slot), ++launches[static_cast<size_t>(slot)];
  return workload.check(stream, launches);
}

std::string check_of(RmsNormLaunch launch) {
  launches_done = 0;
  const RmsNormRung rung{"v0", launch, [](const RmsNormProblem&) { return std::string(); }, "rms_norm_f32", ""};
  const auto workload = make_rms_norm_workload(rung, kProblem, {});
  return checked_after(*workload, {0, 1});
}

TEST(Workloads, WrongRungsAreCaught) {
  EXPECT_EQ(check_of(right), "");
  EXPECT_NE(check_of(last_row_missing), "");
  EXPECT_NE(check_of(other_eps), "");
  EXPECT_NE(check_of(only_once), "") << "a kernel that keeps the answer of its first launch";
  EXPECT_NE(check_of(nothing), "");
}

// Matmuls outside the ladder, whose checks are their own.
using MatmulArgs = QuantMatmulArgs;
const QuantMatmulProblem kFreeProblem{.m = 40, .n_out = 70, .n_in = 1024, .y = DType::kF32};

void free_right(hip::Stream& s, const QuantMatmulProblem& p, const MatmulArgs& a) { gemm_v2_free(s, p, a, 3); }
void free_last_row_missing(hip::Stream& s, const QuantMatmulProblem& p, const MatmulArgs& a) {
  QuantMatmulProblem fewer = p;
  fewer.m -= 1;
  free_right(s, fewer, a);
}
/// Two rows of Y from X's row 0: of 40 rows the check samples only the first, the last and one more.
void free_rows_of_another(hip::Stream& s, const QuantMatmulProblem& p, const MatmulArgs& a) {
  free_right(s, p, a);
  QuantMatmulProblem one = p;
  one.m = 1;
  for (const size_t row : {5, 6}) {
    const auto outputs = static_cast<size_t>(p.n_out);
    free_right(s, one, {a.weights, a.x, a.y.slice(row * outputs, outputs)});
  }
}
void free_half_of_the_rows(hip::Stream& s, const QuantMatmulProblem& p, const MatmulArgs& a) {
  QuantMatmulProblem half = p;
  half.m = p.m / 2;
  free_right(s, half, a);
}

std::string check_of(QuantMatmulLaunch launch) {
  const QuantMatmulRung rung{"v0", launch, [](const QuantMatmulProblem&) { return std::string(); }, "q4_k_i8_free", ""};
  const auto workload = make_quant_matmul_workload(rung, kFreeProblem, {});
  return checked_after(*workload, {0, 1, 1});
}

TEST(Workloads, SumsInAnyOrderAreHeldToTheBoundAndToTheExactKernel) {
  EXPECT_EQ(check_of(free_right), "");
  EXPECT_TRUE(has(check_of(free_last_row_missing), "row 39"));
  EXPECT_TRUE(has(check_of(free_half_of_the_rows), "row"));
  EXPECT_TRUE(has(check_of(free_rows_of_another), "where the exact kernel has"));
}

void group_right(hip::Stream& s, const QuantMatmulGroupProblem& p, const QuantMatmulGroupArgs& a) {
  quant_matmul_group(s, find_rung("quant_matmul_group", quant_matmul_group_ladder(), "gemm_q4_k_v2"), p, a);
}
void group_outputs_exchanged(hip::Stream& s, const QuantMatmulGroupProblem& p, const QuantMatmulGroupArgs& a) {
  QuantMatmulGroupArgs other = a;
  std::swap(other.y[1], other.y[2]);
  group_right(s, p, other);
}
std::string check_of(QuantMatmulGroupLaunch launch) {
  const QuantMatmulGroupRung rung{"v0", launch, [](const QuantMatmulGroupProblem&) { return std::string(); }, "q4_k_i8",
                                  ""};
  const auto workload =
      make_quant_matmul_group_workload(rung, {.m = 9, .n_out = 40, .n_out_1 = 20, .n_out_2 = 20, .n_in = 512}, {});
  return checked_after(*workload, {0, 1});
}

TEST(Workloads, APartOfAGroupInAnothersPlaceIsCaught) {
  EXPECT_EQ(check_of(group_right), "");
  EXPECT_TRUE(has(check_of(group_outputs_exchanged), "part 1"));
}

TEST(Catalogue, VariantsOutsideTheLadderStandBesideTheirRung) {
  std::set<std::string> ladder, beside;
  for (const QuantMatmulRung& rung : quant_matmul_ladder()) ladder.insert(rung.name);
  for (const BenchCase& c : all_cases())
    if (c.op == "quant_matmul" && !ladder.contains(c.rung)) {
      EXPECT_TRUE(c.rung.starts_with("gemm_v2_") || c.rung.starts_with("gemm_v3_") || c.rung == "gemm_v4_free")
          << c.name();
      EXPECT_FALSE(c.first_rung) << c.name();
      beside.insert(c.rung);
    }
  EXPECT_EQ(beside,
            (std::set<std::string>{"gemm_v2_free", "gemm_v2_free2", "gemm_v2_free4", "gemm_v2_free8", "gemm_v2_narrow",
                                   "gemm_v2_tall", "gemm_v3_free", "gemm_v3_wide", "gemm_v4_free"}));
}

TEST(Catalogue, NamesAreUniqueAndEveryRowHasAFirstRung) {
  const auto cases = all_cases();
  EXPECT_GT(cases.size(), 20u);
  std::set<std::string> names, firsts;
  for (const BenchCase& c : cases) {
    EXPECT_TRUE(names.insert(c.name()).second) << c.name();
    EXPECT_GT(c.bytes, 0) << c.name();
    if (c.first_rung) {
      EXPECT_TRUE(firsts.insert(c.row_key()).second) << c.name();
    }
  }
  for (const BenchCase& c : cases) EXPECT_TRUE(firsts.contains(c.row_key())) << c.name();
}

}  // namespace
}  // namespace greta::bench
