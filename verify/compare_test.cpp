// The comparator, before anything is compared with it: each planted error must turn each comparison red, be located,
// and be told apart where it can be.
#include "verify/compare.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "kernels/hip/error.hpp"
#include "reference/random.hpp"

namespace greta::verify {
namespace {

using results::Verdict;

constexpr int64_t kTokens = 6, kHeads = 4, kDim = 8;
constexpr float kPoisonF16 = 45056.0f;

Tensor blank(DType type) { return Tensor("O", type, {{"t", kTokens}, {"h", kHeads}, {"d", kDim}}); }

/// Random wanted values, an oracle around them, and a poisoned background.
struct Planted {
  Tensor want, got;
  reference::Bounded oracle;
  Surroundings around;

  explicit Planted(DType type) : want(blank(type)), got(blank(type)), around{blank(type), true, {}} {
    reference::Random random(3);
    for (int64_t i = 0; i < want.count(); ++i) {
      // Unlike its neighbours in every dimension, also in bf16: a moved element always shows.
      const double exact = (random.below(2) ? 0.05 : -0.05) * (static_cast<double>(i) + 20 + 0.01 * random.uniform());
      want.set(i, reference::round_once(type, exact));
      oracle.value.push_back(exact);
      oracle.bound.push_back(1.01 * reference::unit_roundoff(type) * std::abs(exact));
      around.before.set(i, kPoisonF16);
    }
    got = want;
  }
  Comparison bits() const { return compare_bits(got, want, around); }
  Comparison bound() const { return compare_bound(got, oracle, around, true); }
};

int64_t at(int64_t t, int64_t h, int64_t d) { return (t * kHeads + h) * kDim + d; }
void copy(Tensor& to, int64_t i, const Tensor& from, int64_t j) {
  const auto size = static_cast<size_t>(to.element_bytes());
  std::memcpy(to.bytes.data() + static_cast<size_t>(i) * size, from.bytes.data() + static_cast<size_t>(j) * size, size);
}

struct PlantedError {
  const char* name;
  std::function<void(Planted&)> plant;
  int64_t outside;     ///< how many elements are wrong then
  const char* detail;  ///< what the report must say
};

const PlantedError kErrors[] = {
    {"NaN", [](Planted& p) { p.got.set(at(2, 1, 3), std::nanf("")); }, 1, "O[t=2,h=1,d=3]"},
    {"NaN everywhere",
     [](Planted& p) {
       for (int64_t i = 0; i < p.got.count(); ++i) p.got.set(i, std::nanf(""));
     },
     kTokens* kHeads* kDim, "192 NaN"},
    {"Inf", [](Planted& p) { p.got.set(at(5, 3, 7), std::numeric_limits<float>::infinity()); }, 1, "O[t=5,h=3,d=7]"},
    {"-Inf", [](Planted& p) { p.got.set(0, -std::numeric_limits<float>::infinity()); }, 1, "O[t=0,h=0,d=0]"},
    {"one element", [](Planted& p) { p.got.set(at(3, 2, 1), static_cast<float>(p.got.number(at(3, 2, 1))) * 1.1f); }, 1,
     "O[t=3,h=2,d=1]"},
    {"zeros",
     [](Planted& p) {
       for (int64_t i = 0; i < p.got.count(); ++i) p.got.set(i, 0.0f);
     },
     kTokens* kHeads* kDim, "outside: 192 of 192"},
    {"sign", [](Planted& p) { p.got.set(at(1, 0, 0), -static_cast<float>(p.got.number(at(1, 0, 0)))); }, 1,
     "O[t=1,h=0,d=0]"},
    {"swapped heads",
     [](Planted& p) {
       for (int64_t t = 0; t < kTokens; ++t)
         for (int64_t d = 0; d < kDim; ++d) {
           copy(p.got, at(t, 1, d), p.want, at(t, 2, d));
           copy(p.got, at(t, 2, d), p.want, at(t, 1, d));
         }
     },
     kTokens * 2 * kDim, "h in 1..2 (2 of 4)"},
    {"unwritten tail",
     [](Planted& p) {
       for (int64_t i = at(5, 3, 0); i < p.got.count(); ++i) copy(p.got, i, p.around.before, i);
     },
     kDim, "never written"},
    {"shifted position",
     [](Planted& p) {
       for (int64_t t = 1; t < kTokens; ++t)
         for (int64_t i = 0; i < kHeads * kDim; ++i) copy(p.got, at(t, 0, 0) + i, p.want, at(t - 1, 0, 0) + i);
     },
     (kTokens - 1) * kHeads* kDim, "t in 1..5 (5 of 6)"},
};

TEST(Compare, GoodAnswersPass) {
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    const Planted p(type);
    EXPECT_EQ(p.bits().outcome.verdict, Verdict::kPass);
    EXPECT_EQ(p.bits().detail, "");
    EXPECT_EQ(p.bits().ulps[0], kTokens * kHeads * kDim);
    const Comparison bound = p.bound();
    EXPECT_EQ(bound.outcome.verdict, Verdict::kPass) << bound.outcome.reason << bound.detail;
    EXPECT_GT(bound.worst_ratio, 0.5);
    EXPECT_LE(bound.worst_ratio, 1.0);
  }
}

TEST(Compare, EveryPlantedErrorIsRedAndLocated) {
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16})
    for (const PlantedError& error : kErrors) {
      Planted p(type);
      error.plant(p);
      for (const Comparison& c : {p.bits(), p.bound()}) {
        EXPECT_EQ(c.outcome.verdict, Verdict::kFail) << error.name;
        EXPECT_EQ(c.outside, error.outside) << error.name << "\n" << c.detail;
        EXPECT_NE(c.detail.find(error.detail), std::string::npos) << error.name << "\n" << c.detail;
      }
    }
}

TEST(Compare, NanNeverPassesABound) {
  Planted p(DType::kF32);
  for (double& b : p.oracle.bound) b = std::numeric_limits<double>::infinity();
  EXPECT_EQ(p.bound().outcome.verdict, Verdict::kFail) << "an infinite bound promises nothing";
  Planted q(DType::kF32);
  q.oracle.value[5] = std::nan("");
  EXPECT_EQ(q.bound().outside, 1) << "a NaN in the oracle";
  q.got.set(5, std::nanf(""));
  EXPECT_EQ(q.bound().outside, 1) << "even where the oracle is NaN too";
  EXPECT_TRUE(std::isinf(q.bound().worst_ratio));
  Planted r(DType::kF32);
  r.oracle.bound[5] = std::nan("");
  EXPECT_EQ(r.bound().outside, 1) << "a NaN bound";
}

TEST(Compare, WantedNanTakesAnyNan) {
  Planted p(DType::kF16);
  p.want.set(7, std::nanf(""));
  const uint16_t payload = 0xfe05;
  std::memcpy(p.got.bytes.data() + 14, &payload, 2);
  EXPECT_EQ(p.bits().outcome.verdict, Verdict::kPass);
  p.got.set(7, 1.0f);
  EXPECT_EQ(p.bits().outside, 1);
}

TEST(Compare, ZerosOfBothSignsAreEqual) {
  Planted p(DType::kF16);
  p.want.set(3, 0.0f), p.got.set(3, -0.0f);
  EXPECT_EQ(p.bits().outcome.verdict, Verdict::kPass);
}

TEST(Compare, OneUlpIsRedInBitsAndInTheHistogram) {
  Planted p(DType::kF32);
  uint32_t bits = p.got.bits(100) + 1;
  std::memcpy(p.got.bytes.data() + 400, &bits, 4);
  const Comparison c = p.bits();
  EXPECT_EQ(c.outside, 1);
  EXPECT_EQ(c.ulps[1], 1);
  EXPECT_EQ(c.worst, 100);
  EXPECT_NE(c.detail.find("1 ulp"), std::string::npos) << c.detail;
}

TEST(Compare, HistogramBuckets) {
  const char* names[] = {"0", "1", "2", "3-4", "5-8", "9-16"};
  for (int b = 0; b < 6; ++b) EXPECT_EQ(ulp_bucket_name(b), names[b]);
  EXPECT_EQ(ulp_bucket_name(kUlpBuckets - 2), "16385+");
  Planted p(DType::kF32);
  const uint32_t steps[] = {2, 3, 4, 5, 8, 9, 16384, 16385, 1u << 20};
  for (uint32_t i = 0; i < 9; ++i) {
    const uint32_t bits = p.got.bits(i) + steps[i];
    std::memcpy(p.got.bytes.data() + i * 4, &bits, 4);
  }
  const Comparison c = p.bits();
  EXPECT_EQ(c.ulps[2], 1);
  EXPECT_EQ(c.ulps[3], 2);
  EXPECT_EQ(c.ulps[4], 2);
  EXPECT_EQ(c.ulps[5], 1);
  EXPECT_EQ(c.ulps[kUlpBuckets - 3], 1);
  EXPECT_EQ(c.ulps[kUlpBuckets - 2], 2);
}

TEST(Compare, UntouchedElementsMustStay) {
  Planted p(DType::kF16);
  p.around.written.assign(static_cast<size_t>(p.got.count()), 1);
  for (int64_t i = at(5, 0, 0); i < p.got.count(); ++i) {
    p.around.written[static_cast<size_t>(i)] = 0;
    copy(p.got, i, p.around.before, i);
  }
  EXPECT_EQ(p.bits().outcome.verdict, Verdict::kPass);
  EXPECT_EQ(p.bits().elements, 5 * kHeads * kDim);
  EXPECT_EQ(p.bound().outcome.verdict, Verdict::kPass);
  p.got.set(at(5, 1, 1), 0.0f);
  for (const Comparison& c : {p.bits(), p.bound()}) {
    EXPECT_EQ(c.touched, 1);
    EXPECT_EQ(c.outcome.verdict, Verdict::kFail);
    EXPECT_NE(c.detail.find("must stay"), std::string::npos) << c.detail;
  }
}

TEST(Compare, PoisonIsNamed) {
  Planted p(DType::kBF16);
  copy(p.got, 9, p.around.before, 9);
  EXPECT_NE(p.bits().outcome.reason.find("output element never written"), std::string::npos);
  EXPECT_NE(p.bound().outcome.reason.find("output element never written"), std::string::npos);
  // In a tensor that is changed in place, what was there before is no poison.
  p.around.poisoned = false;
  EXPECT_EQ(p.bits().unwritten, 0);
}

TEST(Compare, ConstantAnswersAreMistrusted) {
  Planted p(DType::kF32);
  for (int64_t i = 0; i < p.got.count(); ++i) {
    p.want.set(i, 0.0f), p.got.set(i, 0.0f);
    p.oracle.value[static_cast<size_t>(i)] = 0, p.oracle.bound[static_cast<size_t>(i)] = 1;
  }
  EXPECT_EQ(p.bits().outcome.verdict, Verdict::kMistrusted);
  EXPECT_EQ(p.bound().outcome.verdict, Verdict::kMistrusted);
}

TEST(Compare, TooGoodIsMistrusted) {
  Planted p(DType::kF32);
  for (double& b : p.oracle.bound) b *= 2e5;
  EXPECT_EQ(p.bound().outcome.verdict, Verdict::kMistrusted);
  EXPECT_NE(p.bound().outcome.reason.find("too good"), std::string::npos);
  EXPECT_EQ(compare_bound(p.got, p.oracle, p.around, false).outcome.verdict, Verdict::kPass)
      << "where no rounding is expected, exact answers are the rule";
}

TEST(Compare, ShapesMustAgree) {
  Planted p(DType::kF32);
  p.oracle.value.pop_back();
  EXPECT_THROW(p.bound(), Error);
  Planted q(DType::kF32);
  q.want = blank(DType::kF16);
  EXPECT_THROW(q.bits(), Error);
}

TEST(Compare, IntegersCompareExactly) {
  Tensor want("index", DType::kI32, {{"row", 3}});
  for (int i = 0; i < 3; ++i) want.set(i, static_cast<float>(i * 7));
  Tensor got = want;
  const Surroundings around{Tensor("index", DType::kI32, {{"row", 3}}), false, {}};
  EXPECT_EQ(compare_bits(got, want, around).outcome.verdict, Verdict::kPass);
  got.set(2, 15.0f);
  const Comparison c = compare_bits(got, want, around);
  EXPECT_NE(c.detail.find("index[row=2]: want 14, got 15"), std::string::npos) << c.detail;
}

}  // namespace
}  // namespace greta::verify
