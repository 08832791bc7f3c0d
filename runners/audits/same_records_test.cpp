// Cells against an earlier run's records: equal bits pass, and every way to differ or to be missing is found.
#include "runners/audits/same_records.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "kernels/hip/error.hpp"
#include "results/store.hpp"
#include "runners/audits/scratch_folder.hpp"

namespace greta::runners {
namespace {

using results::Record;
using results::Verdict;

Record cell(const std::string& name, const std::string& hash = "aa", double kl = 0.25) {
  Record r;
  r.kind = "gate", r.kernel = "model", r.case_name = name, r.outcome = {Verdict::kPass, ""};
  r.measured["max_abs_diff"] = 0.0, r.measured["reference"] = {{"kl", kl}};
  r.measured["peak_rss_kib"] = 1000;
  r.config["a"] = {{"logits_sha256", hash}}, r.config["b"] = {{"logits_sha256", hash}};
  return r;
}

results::Environment at(const std::string& platform) {
  return {platform, "a device", "a toolchain", "0123", "verified"};
}

class SameRecords : public testing::Test {
 protected:
  SameRecords() : scratch_("same_records"), file_(scratch_.file("earlier.jsonl")) {}
  void store(const std::vector<Record>& cells, const std::string& platform = "cuda") {
    results::Store store(file_, at(platform));
    store.plan(static_cast<int64_t>(cells.size()));
    for (const Record& c : cells) store.end(store.begin(c), c);
  }
  Record against(const std::vector<Record>& cells) {
    Record r;
    compare_with_earlier(cells, at("host"), file_, r);
    return r;
  }
  ScratchFolder scratch_;
  std::string file_;
};

TEST_F(SameRecords, EqualCellsPassWhateverTheProcessNeeded) {
  store({cell("one"), cell("two", "bb")});
  Record other = cell("two", "bb");
  other.measured["peak_rss_kib"] = 7;
  const Record r = against({cell("one"), other});
  EXPECT_EQ(r.outcome.verdict, Verdict::kPass) << r.outcome.reason;
  EXPECT_EQ(r.measured["cells"], 2);
}

TEST_F(SameRecords, EveryDifferenceIsNamed) {
  store({cell("one"), cell("two")});
  const auto reason = [&](const std::vector<Record>& cells) {
    const Record r = against(cells);
    EXPECT_EQ(r.outcome.verdict, Verdict::kFail);
    return r.outcome.reason;
  };
  EXPECT_NE(reason({cell("one"), cell("two", "bb")}).find("'two': a.logits_sha256 is \"bb\", was \"aa\""),
            std::string::npos);
  EXPECT_NE(reason({cell("one"), cell("two", "aa", 0.25 + 0x1p-54)}).find("'two': reference.kl is "),
            std::string::npos);
  EXPECT_NE(
      reason({cell("one"), cell("two", "aa", std::numeric_limits<double>::quiet_NaN())}).find("'two': reference.kl"),
      std::string::npos);
  EXPECT_NE(reason({cell("one")}).find("'two': only in"), std::string::npos);
  EXPECT_NE(reason({cell("one"), cell("two"), cell("three")}).find("'three': not in"), std::string::npos);
  EXPECT_NE(reason({}).find("no cell to compare"), std::string::npos);
  Record red = cell("two");
  red.outcome = {Verdict::kFail, "why"};
  EXPECT_NE(reason({cell("one"), red}).find("verdict is FAIL, was PASS"), std::string::npos);
  Record without = cell("two");
  without.config["b"].erase("logits_sha256");
  EXPECT_NE(reason({cell("one"), without}).find("'two': no b.logits_sha256"), std::string::npos);
}

TEST_F(SameRecords, ARunIsNoEvidenceForItself) {
  store({cell("one")}, "host");
  EXPECT_EQ(against({cell("one")}).outcome.verdict, Verdict::kVacuous);
}

TEST_F(SameRecords, AFileWithoutRunsIsRefused) { EXPECT_THROW(against({cell("one")}), Error); }

}  // namespace
}  // namespace greta::runners
