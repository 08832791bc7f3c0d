// The flag probe: exact on this build and device, and every digit of its signature changes when the arithmetic does.
// The wrong arithmetics are done here on the host, each in place of the right one.
#include "kernels/hip/flag_probe.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>

namespace greta::hip {
namespace {

using Operation = ProbeItem::Operation;

uint32_t bits(float f) {
  uint32_t u;
  std::memcpy(&u, &f, 4);
  return u;
}

uint32_t right(const ProbeItem& item) {
  volatile float product = item.a * item.b;
  switch (item.operation) {
    case Operation::kMultiplyAdd:
      return bits(product + item.c);
    case Operation::kFma:
      return bits(std::fma(item.a, item.b, item.c));
    case Operation::kMultiply:
      return bits(product);
    case Operation::kDivide:
      return bits(item.a / item.b);
    case Operation::kSqrt:
      return bits(std::sqrt(item.a));
    case Operation::kReciprocalSqrt:
      return bits(1.0f / std::sqrt(item.a));
    case Operation::kToHalf:
      return half_from_float(item.a).bits;
    case Operation::kToBfloat16:
      return bf16_from_float(item.a).bits;
  }
  return 0;
}

using Rule = std::function<uint32_t(const ProbeItem&)>;

/// The signature of a device that is right but for one operation.
FlagProbe with(Operation operation, const Rule& rule) {
  std::vector<uint32_t> results;
  for (const ProbeItem& item : flag_probe_items())
    results.push_back(item.operation == operation ? rule(item) : right(item));
  return decode_flag_probe(results);
}

TEST(FlagProbe, ThisBuildOnThisDeviceIsExact) {
  Stream stream;
  const FlagProbe probe = run_flag_probe(stream);
  EXPECT_TRUE(probe.exact()) << probe.text;
  EXPECT_EQ(probe.signature, 0x11111111u);
}

TEST(FlagProbe, TheTextSaysWhatEachDigitMeans) {
  EXPECT_EQ(
      with(Operation::kFma, right).text,
      "0x11111111: a*b+c rounded twice, fmaf rounded once, subnormal results kept, subnormal inputs read, division "
      "exact, square root exact, f16 to nearest even, bf16 to nearest even");
}

TEST(FlagProbe, EveryWrongArithmeticChangesItsDigitAndNoOther) {
  const auto fused = [](const ProbeItem& i) { return bits(std::fma(i.a, i.b, i.c)); };
  const auto separate = [](const ProbeItem& i) {
    volatile float product = i.a * i.b;
    return bits(product + i.c);
  };
  const auto flushed_result = [](const ProbeItem& i) {
    const float r = i.a * i.b;
    return std::fabs(r) < 0x1p-126f ? 0u : bits(r);
  };
  const auto flushed_input = [](const ProbeItem& i) { return std::fabs(i.a) < 0x1p-126f ? 0u : bits(i.a * i.b); };
  const auto reciprocal = [](const ProbeItem& i) { return bits(i.a * (1.0f / i.b)); };
  const auto two_ulp_division = [](const ProbeItem& i) { return bits(i.a / i.b) ^ 1u; };
  const auto root_by_reciprocal = [](const ProbeItem& i) { return bits(i.a * (1.0f / std::sqrt(i.a))); };
  const auto one_ulp_root = [](const ProbeItem& i) {  // errs by at most 0.6 ulp, as an approximate instruction may
    const double root = std::sqrt(static_cast<double>(i.a));
    return bits(static_cast<float>(root * (1 + 0x1p-27)));
  };
  const auto rsqrt = [](const ProbeItem& i) {
    return bits(static_cast<float>(1.0 / std::sqrt(static_cast<double>(i.a))));
  };
  const auto half_toward_zero = [](const ProbeItem& i) -> uint32_t {
    const uint16_t nearest = half_from_float(i.a).bits;
    return half_to_float({nearest}) > i.a ? nearest - 1u : nearest;
  };
  const auto half_ties_away = [](const ProbeItem& i) -> uint32_t {
    return half_from_float(i.a * (1 + 0x1p-20f)).bits;  // just above a tie
  };
  const auto half_flushed = [](const ProbeItem& i) -> uint32_t {
    return i.a < 0x1p-14f ? 0u : half_from_float(i.a).bits;
  };
  const auto bf16_toward_zero = [](const ProbeItem& i) -> uint32_t { return bits(i.a) >> 16; };
  const auto bf16_ties_away = [](const ProbeItem& i) -> uint32_t { return (bits(i.a) + 0x8000u) >> 16; };
  const auto nonsense = [](const ProbeItem&) { return 0x7fc00000u; };

  const struct {
    Operation operation;
    Rule rule;
    uint32_t want;
    const char* says;
  } kWrong[] = {
      {Operation::kMultiplyAdd, fused, 0x11111112, "a*b+c FUSED"},
      {Operation::kMultiplyAdd, nonsense, 0x1111111f, "a*b+c rounded twice: UNKNOWN BEHAVIOUR"},
      {Operation::kFma, separate, 0x11111121, "fmaf ROUNDED TWICE"},
      {Operation::kMultiply, flushed_result, 0x11111211, "subnormal results FLUSHED"},
      {Operation::kMultiply, flushed_input, 0x11112111, "subnormal inputs TAKEN AS ZERO"},
      {Operation::kDivide, reciprocal, 0x11121111, "division BY RECIPROCAL"},
      {Operation::kDivide, two_ulp_division, 0x11131111, "division APPROXIMATE"},
      {Operation::kSqrt, root_by_reciprocal, 0x11211111, "square root APPROXIMATE"},
      {Operation::kSqrt, one_ulp_root, 0x11211111, "square root APPROXIMATE"},
      {Operation::kReciprocalSqrt, rsqrt, 0x11311111, "1/sqrtf APPROXIMATE"},
      {Operation::kToHalf, half_toward_zero, 0x12111111, "f16 TOWARD ZERO"},
      {Operation::kToHalf, half_ties_away, 0x13111111, "f16 TIES AWAY"},
      {Operation::kToHalf, half_flushed, 0x14111111, "f16 subnormals FLUSHED"},
      {Operation::kToBfloat16, bf16_toward_zero, 0x21111111, "bf16 TOWARD ZERO"},
      {Operation::kToBfloat16, bf16_ties_away, 0x31111111, "bf16 TIES AWAY"},
      {Operation::kToBfloat16, nonsense, 0xf1111111, "bf16 to nearest even: UNKNOWN BEHAVIOUR"},
  };
  for (const auto& wrong : kWrong) {
    const FlagProbe probe = with(wrong.operation, wrong.rule);
    EXPECT_EQ(probe.signature, wrong.want) << wrong.says << " gave " << probe.text;
    EXPECT_NE(probe.text.find(wrong.says), std::string::npos) << probe.text;
    EXPECT_FALSE(probe.exact());
  }
}

TEST(FlagProbe, UnwrittenOrMissingResultsAreNotExact) {
  const size_t n = flag_probe_items().size();
  EXPECT_FALSE(decode_flag_probe(std::vector<uint32_t>(n, 0u)).exact());
  EXPECT_FALSE(decode_flag_probe(std::vector<uint32_t>(n, 0xa5a5a5a5u)).exact());
  EXPECT_THROW(decode_flag_probe(std::vector<uint32_t>(n - 1, 0u)), Error);
}

}  // namespace
}  // namespace greta::hip
