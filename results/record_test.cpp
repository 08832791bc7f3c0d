#include "results/record.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/hip/error.hpp"

namespace greta::results {
namespace {

Record sample() {
  Record r;
  r.kind = "verify";
  r.kernel = "rms_norm";
  r.rung = "v1";
  r.arithmetic = "rms_norm f32";
  r.case_name = "one_row";
  r.problem = "n_rows=1 width=64 dtype=f16";
  r.seed = std::numeric_limits<uint64_t>::max();
  r.repeat = "./greta verify --repeat 'rms_norm/v1 one_row seed=18446744073709551615'";
  r.tier = "E1";
  r.measured["max_abs_diff"] = 0.0;
  r.config["wave"] = 64;
  r.outcome = {Verdict::kPass, ""};
  return r;
}

Environment here() { return {"host", "some CPU", "GNU 12", "0123456789ab", "unverified"}; }

TEST(Record, SurvivesTheTripThroughALine) {
  Record r = sample();
  r.measured["ratio"] = 0.1;
  r.measured["reference"] = {{"max_abs_diff", 1e-7}};
  r.outcome = {Verdict::kFail, "O[t=17] \"want\" -0.28 got -0.31\nsecond line"};
  const std::string text = to_line(end_line(r, here()));
  EXPECT_EQ(text.find('\n'), std::string::npos);
  const Record back = record_from_line(Json::parse(text));
  EXPECT_EQ(back.kind, r.kind);
  EXPECT_EQ(back.kernel, r.kernel);
  EXPECT_EQ(back.rung, r.rung);
  EXPECT_EQ(back.arithmetic, r.arithmetic);
  EXPECT_EQ(back.case_name, r.case_name);
  EXPECT_EQ(back.problem, r.problem);
  EXPECT_EQ(back.seed, r.seed);
  EXPECT_EQ(back.repeat, r.repeat);
  EXPECT_EQ(back.tier, r.tier);
  EXPECT_EQ(back.measured, r.measured);
  EXPECT_EQ(back.config, r.config);
  EXPECT_EQ(back.outcome.verdict, Verdict::kFail);
  EXPECT_EQ(back.outcome.reason, r.outcome.reason);
}

TEST(Record, MeasuredValuesStandBesideTheFixedKeys) {
  const Json line = end_line(sample(), here());
  EXPECT_EQ(line.at("max_abs_diff"), 0.0);
  EXPECT_EQ(line.at("verdict"), "PASS");
  EXPECT_EQ(line.at("config").at("wave"), 64);
  EXPECT_EQ(line.at("commit"), "0123456789ab");
}

TEST(Record, MeasuredValueMayNotTakeAFixedName) {
  for (const std::string_view key : fixed_keys()) {
    Record r = sample();
    r.measured[std::string(key)] = 1;
    EXPECT_THROW(end_line(r, here()), Error) << key;
  }
}

TEST(Record, FixedKeysAreExactlyThoseOfALine) {
  const Json line = end_line(sample(), here());
  for (const auto& [key, value] : line.items()) {
    if (key == "max_abs_diff") continue;
    EXPECT_NE(std::find(fixed_keys().begin(), fixed_keys().end(), key), fixed_keys().end()) << key;
  }
}

TEST(Record, NumbersThatJsonCannotHoldAreNamed) {
  Record r = sample();
  r.measured = {{"a", std::nan("")},
                {"b", std::numeric_limits<double>::infinity()},
                {"c", {1.5, -std::numeric_limits<double>::infinity()}},
                {"d", {{"deep", std::numeric_limits<float>::quiet_NaN()}}},
                {"e", -0.0}};
  const std::string text = to_line(end_line(r, here()));
  EXPECT_EQ(text.find("null"), std::string::npos) << text;
  const Json line = Json::parse(text);
  EXPECT_TRUE(std::isnan(number_from(line.at("a"))));
  EXPECT_EQ(number_from(line.at("b")), std::numeric_limits<double>::infinity());
  EXPECT_EQ(number_from(line.at("c").at(1)), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(line.at("d").at("deep"), "NaN");
  EXPECT_TRUE(std::signbit(number_from(line.at("e"))));
}

TEST(Record, DoublesAndFloatsKeepTheirBits) {
  for (const double value : {0.1, 1.0 / 3, 4.9e-324, 1.7976931348623157e308, static_cast<double>(0.1f)})
    EXPECT_EQ(number_from(Json::parse(to_line(Json{{"x", value}})).at("x")), value);
}

TEST(Record, ANumberThatIsMissingIsNoNumber) {
  EXPECT_THROW(number_from(Json()), Error);
  EXPECT_THROW(number_from(Json("nan")), Error);
  EXPECT_THROW(number_from(Json(true)), Error);
}

TEST(Record, BytesThatAreNotTextDoNotStopALine) {
  Record r = sample();
  r.case_name = "token \xff\xfe";
  EXPECT_TRUE(Json::parse(to_line(end_line(r, here()))).is_object());
}

TEST(Record, EveryVerdictButPassNeedsAReason) {
  for (const Verdict v : {Verdict::kFail, Verdict::kSkip, Verdict::kVacuous, Verdict::kMistrusted, Verdict::kIncomplete,
                          Verdict::kContradiction}) {
    Record r = sample();
    r.outcome = {v, ""};
    EXPECT_THROW(end_line(r, here()), Error) << verdict_name(v);
    r.outcome.reason = "because";
    EXPECT_NO_THROW(end_line(r, here()));
  }
}

TEST(Record, LinesThatAreNotOursAreRefused) {
  Json line = end_line(sample(), here());
  EXPECT_NO_THROW(record_from_line(line));
  for (const char* key : {"schema", "kind", "case", "seed", "verdict", "reason", "config"}) {
    Json without = line;
    without.erase(key);
    EXPECT_THROW(record_from_line(without), std::exception) << key;
  }
  Json other = line;
  other["schema"] = kSchemaVersion + 1;
  EXPECT_THROW(record_from_line(other), Error);
  other = line;
  other["verdict"] = "OK";
  EXPECT_THROW(record_from_line(other), Error);
  other = line;
  other["seed"] = -1;
  EXPECT_THROW(record_from_line(other), Error);
}

TEST(Verdict, NamesGoBothWays) {
  for (const char* name : {"PASS", "FAIL", "SKIP", "VACUOUS", "MISTRUSTED", "INCOMPLETE", "CONTRADICTION"})
    EXPECT_EQ(verdict_name(verdict_from_name(name)), name);
  EXPECT_THROW(verdict_from_name("pass"), Error);
}

TEST(Tally, OnlyPassAndReasonedSkipAreGreen) {
  using V = Verdict;
  const auto code = [](std::vector<Outcome> outcomes) { return exit_code(outcomes); };
  EXPECT_EQ(code({{V::kPass, ""}}), 0);
  EXPECT_EQ(code({{V::kPass, ""}, {V::kSkip, "no nvcc"}}), 0);
  EXPECT_EQ(code({{V::kSkip, ""}}), 1) << "a silent skip";
  EXPECT_EQ(code({{V::kPass, ""}, {V::kFail, "x"}}), 1);
  EXPECT_EQ(code({{V::kPass, ""}, {V::kVacuous, "x"}}), 1);
  EXPECT_EQ(code({{V::kPass, ""}, {V::kMistrusted, "x"}}), 1);
  EXPECT_EQ(code({{V::kPass, ""}, {V::kIncomplete, "x"}}), 5);
  EXPECT_EQ(code({{V::kFail, "x"}, {V::kIncomplete, "x"}}), 1) << "red goes before incomplete";
  EXPECT_EQ(code({{static_cast<V>(99), ""}}), 1) << "no verdict at all";
  EXPECT_EQ(code({}), 5) << "an empty run has shown nothing";
}

TEST(Tally, SummaryNamesWhatIsRed) {
  EXPECT_EQ(summary_line({.passed = 12, .failed = 0, .skipped = 3}), "12 passed, 0 failed, 3 skipped");
  EXPECT_EQ(summary_line({.passed = 2, .failed = 1, .vacuous = 1, .mistrusted = 1, .incomplete = 1}),
            "2 passed, 3 failed, 0 skipped (1 vacuous, 1 mistrusted), 1 incomplete");
  EXPECT_EQ(summary_line({.passed = 2, .contradictory = 1}), "2 passed, 1 failed, 0 skipped (1 contradictory)");
  EXPECT_EQ(exit_code(Tally{.passed = 2, .contradictory = 1}), 1);
}

}  // namespace
}  // namespace greta::results
