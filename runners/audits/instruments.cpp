#include "runners/audits/instruments.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "kernels/hip/error.hpp"

namespace greta::runners {
namespace {

using results::Outcome;
using results::Verdict;
using Kind = SideSpec::Kind;

constexpr int64_t kVocab = 300, kRows = 5;

/// Logits whose differences cannot cancel by chance.
std::vector<float> some_logits() {
  std::vector<float> out;
  for (int64_t i = 0; i < kRows * kVocab; ++i)
    out.push_back(static_cast<float>(std::sin(0.37 * static_cast<double>(i)) * 5 + 0.01 * static_cast<double>(i % 17)));
  return out;
}

struct Pair {
  const char* name;
  void (*change)(std::vector<float>& a, std::vector<float>& b);
  enum class Wanted { kEqual, kDiffers, kNan, kRefused } wanted;
  int64_t first_bad;  ///< position, counted from 0
};

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();
using Rows = std::vector<float>;
using Wanted = Pair::Wanted;

constexpr Pair kPairs[] = {
    {"the same logits", [](Rows&, Rows&) {}, Wanted::kEqual, -1},
    {"+0 and -0", [](Rows& a, Rows& b) { a[7] = 0.0f, b[7] = -0.0f; }, Wanted::kEqual, -1},
    {"NaN on side a", [](Rows& a, Rows&) { a[2 * kVocab + 9] = kNan; }, Wanted::kNan, 2},
    {"NaN on side b", [](Rows&, Rows& b) { b[2 * kVocab + 9] = kNan; }, Wanted::kNan, 2},
    {"NaN at one place of both", [](Rows& a, Rows& b) { a[kVocab + 3] = b[kVocab + 3] = kNan; }, Wanted::kNan, 1},
    {"infinity on both", [](Rows& a, Rows& b) { a[5] = b[5] = kInf; }, Wanted::kNan, 0},
    {"last id of the last position", [](Rows& a, Rows&) { a.back() += 0.5f; }, Wanted::kDiffers, kRows - 1},
    {"one unit in the last place", [](Rows& a, Rows&) { a[3 * kVocab + 1] = std::nextafter(a[3 * kVocab + 1], 99.0f); },
     Wanted::kDiffers, 3},
    {"one sign", [](Rows& a, Rows&) { a[kVocab + 20] = -a[kVocab + 20]; }, Wanted::kDiffers, 1},
    {"ids in another order, the sums equal",
     [](Rows& a, Rows&) { std::reverse(a.begin() + 2 * kVocab, a.begin() + 3 * kVocab); }, Wanted::kDiffers, 2},
    {"two positions exchanged",
     [](Rows& a, Rows&) { std::swap_ranges(a.begin() + kVocab, a.begin() + 2 * kVocab, a.begin() + 3 * kVocab); },
     Wanted::kDiffers, 1},
    {"shifted by one position", [](Rows& a, Rows&) { std::rotate(a.begin(), a.begin() + kVocab, a.end()); },
     Wanted::kDiffers, 0},
    {"all zeros against logits", [](Rows& a, Rows&) { std::fill(a.begin(), a.end(), 0.0f); }, Wanted::kDiffers, 0},
    {"a position missing on one side", [](Rows& a, Rows&) { a.resize(a.size() - kVocab); }, Wanted::kRefused, -1},
    {"a value missing on both", [](Rows& a, Rows& b) { a.pop_back(), b.pop_back(); }, Wanted::kRefused, -1},
    {"nothing on both sides", [](Rows& a, Rows& b) { a.clear(), b.clear(); }, Wanted::kRefused, -1},
};

Outcome judge(const Pair& pair, const Comparator& compare) {
  Rows a = some_logits(), b = a;
  pair.change(a, b);
  const auto complain = [&](const std::string& what) { return Outcome{Verdict::kFail, what}; };
  LogitsDiff diff;
  try {
    diff = compare(a, b, kVocab, 0);
  } catch (const Error&) {
    return pair.wanted == Wanted::kRefused ? Outcome{Verdict::kPass, ""}
                                           : complain("it refused logits it must compare");
  }
  if (pair.wanted == Wanted::kRefused) return complain("it compared what is not there");
  if (pair.wanted == Wanted::kEqual)
    return diff.bits_equal() && diff.max_abs_diff() == 0 && diff.first_unequal() == std::nullopt
               ? Outcome{Verdict::kPass, ""}
               : complain("it sees a difference where there is none");
  if (diff.bits_equal()) return complain("it sees no difference");
  if (!(diff.max_abs_diff() > 0)) return complain(fmt::format("max |diff| is {}", diff.max_abs_diff()));
  if (pair.wanted == Wanted::kNan && (!diff.has_nan() || std::isfinite(diff.max_abs_diff())))
    return complain("a NaN or infinity passes for a number");
  if (diff.first_unequal().value_or(-1) != pair.first_bad)
    return complain(
        fmt::format("first difference at position {}, it is at {}", diff.first_unequal().value_or(-1), pair.first_bad));
  return {Verdict::kPass, ""};
}

struct KnownGate {
  const char* name;
  SideSpec a, b;
  bool kv_aligned;
  model::Defect defect;
  DefectSide side;
  Verdict verdict;
};

constexpr SideSpec kPrefill{Kind::kPrefill, 0}, kDecode{Kind::kDecode, 0}, kReference{Kind::kReference, 0};
constexpr auto kNoDefect = model::Defect::kNone;

constexpr KnownGate kGates[] = {
    {"sound", kPrefill, kDecode, false, kNoDefect, DefectSide::kB, Verdict::kPass},
    {"sound, kv-aligned", kPrefill, kDecode, true, kNoDefect, DefectSide::kB, Verdict::kPass},
    {"sound, against the reference", kPrefill, kReference, false, kNoDefect, DefectSide::kB, Verdict::kPass},
    {"a path against itself", kPrefill, kPrefill, false, kNoDefect, DefectSide::kB, Verdict::kVacuous},
    {"a defect on side a", kPrefill, kDecode, false, model::Defect::kScaleOmitted, DefectSide::kA, Verdict::kFail},
    {"a defect on side b", kPrefill, kDecode, false, model::Defect::kScaleOmitted, DefectSide::kB, Verdict::kFail},
    {"the same defect on both", kPrefill, kDecode, false, model::Defect::kScaleOmitted, DefectSide::kBoth,
     Verdict::kFail},
    {"the last KV row ignored", kPrefill, kDecode, false, model::Defect::kLastKvIgnored, DefectSide::kB,
     Verdict::kFail},
    {"NaN in the logits", kPrefill, kDecode, false, model::Defect::kUploadTruncated, DefectSide::kBoth, Verdict::kFail},
    {"a flag that is ignored", kPrefill, kDecode, true, model::Defect::kKvAlignedIgnored, DefectSide::kB,
     Verdict::kVacuous},
};

LogitsDiff with(const LogitsDiff& from, const std::function<void(PositionDiff&)>& change) {
  LogitsDiff out = from;
  for (PositionDiff& p : out.positions) change(p);
  return out;
}

void forget(PositionDiff& p) {
  const PositionDiff equal;
  p = equal;
}

GateResult with_outcome(GateResult result, Outcome outcome) {
  result.outcome = std::move(outcome);
  return result;
}

const std::vector<BrokenInstrument>& instruments() {
  using Span = std::span<const float>;
  static const std::vector<BrokenInstrument> all = {
      {"comparator-nan-passes",
       "NaN > bound is false, so a NaN is within every bound",
       [](Span a, Span b, int64_t v, int64_t p) {
         return with(compare_logits(a, b, v, p), [](PositionDiff& d) {
           if (d.nan) forget(d);
         });
       },
       {}},
      {"comparator-sum-of-absolutes",
       "the difference of the sums of absolute values stands for the mean difference",
       [](Span a, Span b, int64_t v, int64_t p) {
         LogitsDiff diff = compare_logits(a, b, v, p);
         for (size_t i = 0; i < diff.positions.size(); ++i) {
           double sum = 0;
           for (size_t c = 0; c < static_cast<size_t>(v); ++c) {
             const size_t at = i * static_cast<size_t>(v) + c;
             sum += std::fabs(static_cast<double>(a[at])) - std::fabs(static_cast<double>(b[at]));
           }
           if (std::fabs(sum) < 1e-6) forget(diff.positions[i]);
         }
         return diff;
       },
       {}},
      {"comparator-first-256",
       "the first 256 ids stand for the vocabulary",
       [](Span a, Span b, int64_t v, int64_t p) {
         LogitsDiff diff = compare_logits(a, b, v, p);
         for (size_t i = 0; i < diff.positions.size(); ++i) {
           const size_t at = i * static_cast<size_t>(v);
           if (std::equal(a.begin() + static_cast<ptrdiff_t>(at), a.begin() + static_cast<ptrdiff_t>(at) + 256,
                          b.begin() + static_cast<ptrdiff_t>(at)))
             forget(diff.positions[i]);
         }
         return diff;
       },
       {}},
      {"comparator-skips-unequal-lengths",
       "what one side lacks is left out of the comparison",
       [](Span a, Span b, int64_t v, int64_t p) {
         const size_t n = std::min(a.size(), b.size()) / static_cast<size_t>(v) * static_cast<size_t>(v);
         return compare_logits(a.first(n), b.first(n), v, p);
       },
       {}},
      {"comparator-synthesises",
       "where there are no logits, some are made up and agree",
       [](Span a, Span b, int64_t v, int64_t p) {
         const std::vector<float> made(static_cast<size_t>(v), 1.0f);
         return a.empty() && b.empty() ? compare_logits(made, made, v, p) : compare_logits(a, b, v, p);
       },
       {}},
      {"comparator-six-digits",
       "logits went through text of six digits",
       [](Span a, Span b, int64_t v, int64_t p) {
         std::vector<float> rounded[2];
         for (const auto& [from, to] : {std::pair{a, &rounded[0]}, std::pair{b, &rounded[1]}})
           for (const float x : from) to->push_back(std::strtof(fmt::format("{:.6g}", x).c_str(), nullptr));
         return compare_logits(rounded[0], rounded[1], v, p);
       },
       {}},
      {"comparator-top1-only",
       "logits are the same when their greatest stands at the same place",
       [](Span a, Span b, int64_t v, int64_t p) {
         return with(compare_logits(a, b, v, p), [](PositionDiff& d) {
           if (d.top1_equal) forget(d);
         });
       },
       {}},
      {"comparator-last-position-ignored",
       "the loop ends one position early",
       [](Span a, Span b, int64_t v, int64_t p) {
         LogitsDiff diff = compare_logits(a, b, v, p);
         forget(diff.positions.back());
         return diff;
       },
       {}},
      {"comparator-always-differs",
       "whatever it is given, it sees a difference",
       [](Span a, Span b, int64_t v, int64_t p) {
         std::vector<float> other(b.begin(), b.end());
         if (!other.empty()) other.front() += 1.0f;
         return compare_logits(a, other, v, p);
       },
       {}},
      {"gate-always-fails",
       "the verdict is a constant, and red",
       {},
       [](const GateRequest& r) {
         return with_outcome(run_equivalence_gate(r), {Verdict::kFail, "a constant"});
       }},
      {"gate-always-passes",
       "the verdict is a constant",
       {},
       [](const GateRequest& r) {
         return with_outcome(run_equivalence_gate(r), {Verdict::kPass, ""});
       }},
      {"gate-without-reference",
       "two paths that agree are right: a mistake common to both passes",
       {},
       [](const GateRequest& r) {
         GateResult result = run_equivalence_gate(r);
         if (result.outcome.verdict == Verdict::kFail && result.between && result.between->bits_equal())
           result.outcome = {Verdict::kPass, ""};
         return result;
       }},
      {"gate-compares-a-with-a",
       "side b is never run: the logits of a are compared with themselves",
       {},
       [](const GateRequest& r) {
         GateRequest same = r;
         same.b = r.a.kind == Kind::kReference ? kPrefill : r.a;
         same.defect = model::Defect::kNone;
         GateResult result = run_equivalence_gate(same);
         return with_outcome(std::move(result), {Verdict::kPass, ""});
       }},
      {"gate-not-vacuous",
       "agreement is enough, no matter what was launched or read",
       {},
       [](const GateRequest& r) {
         GateResult result = run_equivalence_gate(r);
         if (result.outcome.verdict == Verdict::kVacuous) result.outcome = {Verdict::kPass, ""};
         return result;
       }},
      {"gate-loose-bound",
       "the bound is so wide that every difference is the formats' own",
       {},
       [](const GateRequest& r) {
         GateResult result = run_equivalence_gate(r);
         const bool bits = result.between && !result.between->bits_equal();
         if (result.outcome.verdict == Verdict::kFail && !bits) result.outcome = {Verdict::kPass, ""};
         return result;
       }},
  };
  return all;
}

}  // namespace

int64_t comparator_cases() { return static_cast<int64_t>(std::size(kPairs)); }

void check_comparator(const Comparator& compare, const CaseSink& cases) {
  for (const Pair& pair : kPairs)
    cases(fmt::format("comparator: {}", pair.name),
          [&](results::Record& record) { record.outcome = judge(pair, compare); });
}

int64_t gate_check_cases() { return static_cast<int64_t>(std::size(kGates)); }

void check_gate(const EquivalenceGate& gate, const model::GgufFile& file, std::span<const int32_t> ids,
                const CaseSink& cases) {
  for (const KnownGate& known : kGates)
    cases(fmt::format("gate: {}", known.name), [&](results::Record& record) {
      GateRequest request;
      request.file = &file;
      request.ids.assign(ids.begin(), ids.end());
      request.a = known.a, request.b = known.b, request.kv_aligned = known.kv_aligned;
      request.defect = known.defect, request.defect_side = known.side;
      const GateResult result = gate(request);
      record.measured["verdict_wanted"] = results::verdict_name(known.verdict);
      record.measured["verdict_given"] = results::verdict_name(result.outcome.verdict);
      record.outcome =
          result.outcome.verdict == known.verdict
              ? Outcome{Verdict::kPass, ""}
              : Outcome{Verdict::kFail,
                        fmt::format("the gate says {}, the truth is {}{}{}",
                                    results::verdict_name(result.outcome.verdict), results::verdict_name(known.verdict),
                                    result.outcome.reason.empty() ? "" : ": ", result.outcome.reason)};
    });
}

std::span<const BrokenInstrument> broken_instruments() { return instruments(); }

const BrokenInstrument& broken_instrument_from_name(std::string_view name) {
  std::string known;
  for (const BrokenInstrument& b : broken_instruments()) {
    if (b.name == name) return b;
    known += (known.empty() ? "" : ", ") + std::string(b.name);
  }
  throw_invalid(fmt::format("--plant {}: broken instruments are {}", name, known));
}

}  // namespace greta::runners
