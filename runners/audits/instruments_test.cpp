// The check of the checkers: green on our instruments, red on every broken one.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "kernels/hip/error.hpp"
#include "runners/audits/instruments.hpp"

namespace greta::runners {
namespace {

using results::Record;
using results::Verdict;

const std::vector<int32_t> kIds = {4088, 1303, 552, 305, 1172, 284};

const model::GgufFile& sample() {
  static const model::GgufFile file =
      model::GgufFile::open(GRETA_SOURCE_DIR "/model/samples/sample-llama-a.q4_k_m.gguf");
  return file;
}

/// Names of the red cases; after the first one the rest are left out when `first_only`.
std::vector<std::string> red(const BrokenInstrument& instrument, bool first_only = true) {
  std::vector<std::string> out;
  const CaseSink sink = [&](const std::string& name, const std::function<void(Record&)>& measure) {
    if (first_only && !out.empty()) return;
    Record record;
    measure(record);
    if (record.outcome.verdict != Verdict::kPass) out.push_back(name + ": " + record.outcome.reason);
  };
  if (instrument.compare) check_comparator(instrument.compare, sink);
  if (instrument.gate) check_gate(instrument.gate, sample(), kIds, sink);
  return out;
}

TEST(Instruments, OursAreGreen) {
  EXPECT_EQ(red({"", "", compare_logits, {}}, false), std::vector<std::string>{});
  EXPECT_EQ(red({"", "", {}, run_equivalence_gate}, false), std::vector<std::string>{});
}

TEST(Instruments, EveryBrokenOneIsFound) {
  EXPECT_GE(broken_instruments().size(), 13u);
  for (const BrokenInstrument& b : broken_instruments()) {
    EXPECT_NE(!b.compare, !b.gate) << b.name << " must be one of the two";
    EXPECT_FALSE(red(b).empty()) << b.name;
  }
}

TEST(Instruments, WhatIsWrongIsSaid) {
  const auto first = [](const char* name) { return red(broken_instrument_from_name(name)).at(0); };
  const auto all = [](const char* name) {
    return fmt::format("{}", fmt::join(red(broken_instrument_from_name(name), false), "; "));
  };
  EXPECT_NE(first("comparator-nan-passes").find("NaN on side a"), std::string::npos);
  EXPECT_NE(all("comparator-sum-of-absolutes").find("sums equal"), std::string::npos)
      << all("comparator-sum-of-absolutes");
  EXPECT_NE(first("comparator-last-position-ignored").find("last id of the last position"), std::string::npos);
  EXPECT_NE(first("comparator-skips-unequal-lengths").find("a position missing"), std::string::npos);
  EXPECT_NE(first("gate-without-reference").find("the same defect on both"), std::string::npos);
  EXPECT_NE(first("gate-not-vacuous").find("a path against itself"), std::string::npos);
  EXPECT_THROW(broken_instrument_from_name("hammer"), Error);
}

}  // namespace
}  // namespace greta::runners
