// Inputs of the flag probe and what its results mean. The right answers are computed here by plain C++ with contraction
// off (a .cpp file of a build whose flags forbid fast math).
#include "kernels/hip/flag_probe.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstring>

namespace greta::hip {
namespace {

using Operation = ProbeItem::Operation;

uint32_t bits(float f) {
  uint32_t u;
  std::memcpy(&u, &f, 4);
  return u;
}

/// x lies within 1/64 of a float's last place of the middle between two floats: an approximation errs on about every
/// second such value, correct rounding on none.
bool hard_to_round(double x) {
  const double ulp = std::ldexp(1.0, std::ilogb(x) - 23);
  const double position = x / ulp;
  return std::fabs(position - std::floor(position) - 0.5) < 1.0 / 64;
}

/// Floats in [1, 4), the same on every machine.
class Sequence {
 public:
  float next() {
    state_ = state_ * 1664525u + 1013904223u;
    return 1.0f + static_cast<float>(state_ >> 9) * (3.0f / 8388608.0f);
  }

 private:
  uint32_t state_ = 2024;
};

std::vector<ProbeItem> make_items() {
  constexpr float kNone = 0.0f;
  const float x =
      1.0f + 0x1p-12f;  // x*x = 1 + 2^-11 + 2^-24 exactly; the last term is lost when the product is rounded
  const float minus_rounded_square = -(1.0f + 0x1p-11f);
  std::vector<ProbeItem> items = {
      {Probe::kContraction, Operation::kMultiplyAdd, x, x, minus_rounded_square},
      {Probe::kFma, Operation::kFma, x, x, minus_rounded_square},
      {Probe::kSubnormalResults, Operation::kMultiply, 0x1p-126f, 0.5f, kNone},
      {Probe::kSubnormalInputs, Operation::kMultiply, 0x1p-149f, 0x1p40f, kNone},
  };
  Sequence s;
  for (int n = 0; n < 32;) {
    const float a = s.next(), b = s.next();
    if (!hard_to_round(static_cast<double>(a) / static_cast<double>(b)) || a / b == a * (1.0f / b)) continue;
    items.push_back({Probe::kDivision, Operation::kDivide, a, b, kNone});
    ++n;
  }
  for (int n = 0; n < 32;) {
    const float a = s.next();
    if (!hard_to_round(std::sqrt(static_cast<double>(a)))) continue;
    items.push_back({Probe::kSquareRoot, Operation::kSqrt, a, kNone, kNone});
    ++n;
  }
  for (int n = 0; n < 32;) {
    const float a = s.next();
    if (1.0f / std::sqrt(a) == static_cast<float>(1.0 / std::sqrt(static_cast<double>(a)))) continue;
    items.push_back({Probe::kSquareRoot, Operation::kReciprocalSqrt, a, kNone, kNone});
    ++n;
  }
  // Above a tie, a tie below an even and below an odd number, and the smallest subnormal half.
  for (float v : {1.0f + 0x1p-11f + 0x1p-20f, 1.0f + 0x1p-11f, 1.0f + 0x1p-10f + 0x1p-11f, 0x1p-24f})
    items.push_back({Probe::kToHalf, Operation::kToHalf, v, kNone, kNone});
  for (float v : {1.0f + 0x1p-8f + 0x1p-20f, 1.0f + 0x1p-8f, 1.0f + 0x1p-7f + 0x1p-8f})
    items.push_back({Probe::kToBfloat16, Operation::kToBfloat16, v, kNone, kNone});
  return items;
}

/// The right result of an item.
uint32_t exact(const ProbeItem& item) {
  volatile float product = item.a * item.b;  // volatile: rounded whatever this file's flags are
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

constexpr uint32_t kUnknown = 0xf;

using Results = std::span<const uint32_t>;
using Items = std::span<const ProbeItem>;

bool equals(Results got, std::initializer_list<uint32_t> want) {
  return std::equal(got.begin(), got.end(), want.begin(), want.end());
}
bool all_exact(Items items, Results got) {
  for (size_t i = 0; i < items.size(); ++i)
    if (got[i] != exact(items[i])) return false;
  return true;
}

uint32_t digit(Probe probe, Items items, Results got) {
  switch (probe) {
    case Probe::kContraction:
      return equals(got, {bits(0.0f)}) ? 1 : equals(got, {bits(0x1p-24f)}) ? 2 : kUnknown;
    case Probe::kFma:
      return equals(got, {bits(0x1p-24f)}) ? 1 : equals(got, {bits(0.0f)}) ? 2 : kUnknown;
    case Probe::kSubnormalResults:
    case Probe::kSubnormalInputs:
      return all_exact(items, got) ? 1 : equals(got, {0}) ? 2 : kUnknown;
    case Probe::kDivision: {
      if (all_exact(items, got)) return 1;
      for (size_t i = 0; i < items.size(); ++i)
        if (got[i] != bits(items[i].a * (1.0f / items[i].b))) return 3;
      return 2;
    }
    case Probe::kSquareRoot:
      if (all_exact(items, got)) return 1;
      return all_exact(items.first(items.size() / 2), got.first(items.size() / 2)) ? 3 : 2;
    case Probe::kToHalf:
      if (equals(got, {0x3c01, 0x3c00, 0x3c02, 0x0001})) return 1;
      if (equals(got, {0x3c00, 0x3c00, 0x3c01, 0x0001})) return 2;
      if (equals(got, {0x3c01, 0x3c01, 0x3c02, 0x0001})) return 3;
      return equals(got, {0x3c01, 0x3c00, 0x3c02, 0x0000}) ? 4 : kUnknown;
    case Probe::kToBfloat16:
      if (equals(got, {0x3f81, 0x3f80, 0x3f82})) return 1;
      if (equals(got, {0x3f80, 0x3f80, 0x3f81})) return 2;
      return equals(got, {0x3f81, 0x3f81, 0x3f82}) ? 3 : kUnknown;
  }
  return kUnknown;
}

std::string clause(Probe probe, uint32_t digit) {
  static const std::array<std::vector<const char*>, kProbes> kClauses = {{
      {"a*b+c rounded twice", "a*b+c FUSED"},
      {"fmaf rounded once", "fmaf ROUNDED TWICE"},
      {"subnormal results kept", "subnormal results FLUSHED"},
      {"subnormal inputs read", "subnormal inputs TAKEN AS ZERO"},
      {"division exact", "division BY RECIPROCAL", "division APPROXIMATE"},
      {"square root exact", "square root APPROXIMATE", "1/sqrtf APPROXIMATE"},
      {"f16 to nearest even", "f16 TOWARD ZERO", "f16 TIES AWAY", "f16 subnormals FLUSHED"},
      {"bf16 to nearest even", "bf16 TOWARD ZERO", "bf16 TIES AWAY"},
  }};
  const auto& known = kClauses[static_cast<size_t>(probe)];
  if (digit >= 1 && digit <= known.size()) return known[digit - 1];
  return fmt::format("{}: UNKNOWN BEHAVIOUR", known[0]);
}

}  // namespace

const std::vector<ProbeItem>& flag_probe_items() {
  static const std::vector<ProbeItem> items = make_items();
  return items;
}

FlagProbe decode_flag_probe(std::span<const uint32_t> results) {
  const auto& items = flag_probe_items();
  if (results.size() != items.size())
    throw_invalid(fmt::format("flag probe: {} results, {} wanted", results.size(), items.size()));
  FlagProbe probe;
  std::string clauses;
  for (size_t first = 0; first < items.size();) {  // items of one probe are neighbours
    size_t end = first;
    while (end < items.size() && items[end].probe == items[first].probe) ++end;
    const uint32_t d =
        digit(items[first].probe, std::span(items).subspan(first, end - first), results.subspan(first, end - first));
    probe.signature |= d << 4 * static_cast<uint32_t>(items[first].probe);
    clauses += (clauses.empty() ? "" : ", ") + clause(items[first].probe, d);
    first = end;
  }
  probe.text = fmt::format("0x{:08x}: {}", probe.signature, clauses);
  return probe;
}

}  // namespace greta::hip
