// The judgement of complexity on made-up times: no clock decides here.
#include "runners/audits/complexity.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "kernels/hip/error.hpp"

namespace greta::runners {
namespace {

using results::Verdict;

const std::vector<double> kLengths = {128, 256, 512, 1024, 2048, 4096};

std::vector<double> times(double exponent, double noise = 0, uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  std::vector<double> out;
  for (const double n : kLengths) {
    const double u = static_cast<double>(random() >> 11) * 0x1p-53 - 0.5;
    out.push_back(1e-6 * std::pow(n, exponent) * (1 + noise * u));
  }
  return out;
}

Verdict judged(const std::vector<double>& seconds, double expected = 1.1, double peak = 0) {
  std::vector<double> flops;
  for (const double n : kLengths) flops.push_back(1e6 * n);
  return judge_complexity(fit_power(kLengths, seconds), kLengths, seconds, flops,
                          {.expected = expected, .peak_flops = peak})
      .outcome.verdict;
}

TEST(Complexity, FindsTheExponentAndAnIntervalThatHoldsIt) {
  const PowerFit exact = fit_power(kLengths, times(1.5));
  EXPECT_NEAR(exact.exponent, 1.5, 1e-9);
  EXPECT_NEAR(exact.high - exact.low, 0, 1e-6);
  EXPECT_NEAR(exact.r2, 1, 1e-9);
  int held = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    const PowerFit fit = fit_power(kLengths, times(1.2, 0.3, seed));
    held += fit.low <= 1.2 && 1.2 <= fit.high;
  }
  EXPECT_GE(held, 180) << "a 95 % interval holds the truth in about 190 of 200 draws";
}

TEST(Complexity, LinearWorkInLinearTimePasses) {
  EXPECT_EQ(judged(times(1.1, 0.1)), Verdict::kPass);
  EXPECT_EQ(judged(times(1.0)), Verdict::kPass);
}

TEST(Complexity, QuadraticTimeForLinearWorkFails) {
  EXPECT_EQ(judged(times(2.0, 0.05)), Verdict::kFail);
  EXPECT_EQ(judged(times(2.0, 0.05), 2.0), Verdict::kPass) << "where the work is quadratic, so may be the time";
}

TEST(Complexity, AStepOfItsOwnAtTheEndFails) {
  std::vector<double> t = times(1.0);
  t.back() *= 3.5;
  EXPECT_EQ(judged(t, 1.3), Verdict::kFail);
}

TEST(Complexity, GarbageDecidesNothing) {
  const std::vector<double> garbage = {3e-4, 1e-2, 2e-4, 5e-3, 1e-4, 9e-3};
  EXPECT_EQ(judged(garbage), Verdict::kMistrusted);
  const std::vector<double> three = {1e-4, 2e-4, 4e-4}, lengths = {1, 2, 4};
  EXPECT_EQ(judge_complexity(fit_power(lengths, three), lengths, three, lengths, {}).outcome.verdict,
            Verdict::kMistrusted);
  EXPECT_THROW(fit_power(lengths, std::vector<double>{1, 2}), Error);
  EXPECT_THROW(fit_power(lengths, std::vector<double>{1, 2, 0}), Error);
  EXPECT_THROW(fit_power(lengths, std::vector<double>{1, 2, std::nan("")}), Error);
  EXPECT_THROW(fit_power(std::vector<double>{4, 4, 4}, three), Error);
}

TEST(Complexity, FasterThanTheDeviceIsAContradiction) {
  // 1e6 FLOP a token, 1e-6 s a token: 1e12 FLOP/s.
  EXPECT_EQ(judged(times(1.0), 1.1, 1e11), Verdict::kContradiction);
  EXPECT_EQ(judged(times(1.0), 1.1, 1e13), Verdict::kPass);
}

TEST(Complexity, WorkOfAPassCountsWeightsAndCausalPairs) {
  model::LlamaConfig c;
  c.n_layers = 1, c.dim = 2, c.ffn_dim = 3, c.n_heads = 1, c.n_kv_heads = 1, c.head_dim = 2, c.vocab_size = 5;
  // A token: q 4, k 4, v 4, o 4, gate, up and down 18: 34 multiply-adds. Pairs of 3 tokens: 6, each q.k and p.v of 2.
  EXPECT_EQ(prefill_flops(c, 3), 2.0 * (3 * 34 + 2 * 5 + 6 * 2 * 2));
}

}  // namespace
}  // namespace greta::runners
