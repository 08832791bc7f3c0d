#include "results/report.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "kernels/hip/error.hpp"

namespace greta::results {
namespace {

StoredCase a_case(const std::string& name, Outcome outcome, Json measured = Json::object()) {
  Record r;
  r.kind = "gate", r.kernel = "model", r.case_name = name, r.problem = "model=m.gguf tokens=12";
  r.repeat = "./greta gate --model m.gguf --b " + name;
  r.outcome = std::move(outcome), r.measured = std::move(measured);
  return {r, 0.5};
}

StoredRun a_run(std::vector<StoredCase> cases, std::optional<int64_t> planned) {
  return {.run_id = "9f3c",
          .invocation = {"gate", "--model", "m.gguf"},
          .environment = {"host", "cpu | two", "g++ 12", "abc", "unverified"},
          .planned = planned,
          .cases = std::move(cases)};
}

std::vector<std::string> places(std::string_view text) {
  std::vector<std::string> out;
  for (size_t at = 0; (at = text.find("{}", at)) != std::string_view::npos; at += 2) out.push_back("{}");
  return out;
}

/// What is wrong with a table of phrases; "" when nothing is.
std::string complaint(std::span<const Phrase> phrases) {
  std::set<std::string_view> names;
  for (const Phrase& p : phrases) {
    if (p.name.empty() || !names.insert(p.name).second) return fmt::format("'{}' stands twice", p.name);
    if (p.english.empty() || p.spanish.empty()) return fmt::format("'{}' is not in both languages", p.name);
    if (p.english == p.spanish) return fmt::format("'{}' is not translated", p.name);
    if (places(p.english) != places(p.spanish)) return fmt::format("'{}' takes other values in Spanish", p.name);
  }
  for (const char* verdict : {"PASS", "FAIL", "SKIP", "VACUOUS", "MISTRUSTED", "INCOMPLETE", "CONTRADICTION"})
    if (!names.contains(fmt::format("mean_{}", verdict))) return fmt::format("no meaning of {}", verdict);
  return "";
}

TEST(Report, EveryPhraseIsInBothLanguages) { EXPECT_EQ(complaint(report_phrases()), ""); }

TEST(Report, AMissingTranslationIsFound) {
  std::vector<Phrase> phrases(report_phrases().begin(), report_phrases().end());
  for (const auto& [broken, says] : {std::pair<Phrase, const char*>{{"new", "new", ""}, "not in both"},
                                     {{"new", "same", "same"}, "not translated"},
                                     {{"new", "{} of {}", "{}"}, "other values"},
                                     {{"title", "a", "b"}, "twice"}}) {
    phrases.push_back(broken);
    EXPECT_NE(complaint(phrases).find(says), std::string::npos) << says;
    phrases.pop_back();
  }
}

TEST(Report, ARedRunNamesVerdictPlaceAndRepeatLine) {
  const StoredRun run =
      a_run({a_case("decode", {Verdict::kFail, "a and b differ in bits"},
                    {{"max_abs_diff", 0.25}, {"first_fail", {{"position", 4}, {"layer", 3}, {"stage", "mlp_out"}}}}),
             a_case("prefill", {Verdict::kVacuous, "one program"}), a_case("chunk:5", {Verdict::kPass, ""})},
            4);
  const std::string en = close_out_report(run, Language::kEnglish, "r.jsonl");
  for (const char* text : {"# Close-out report", "2 of 4 cases are red; 1 did not finish", "**FAIL**",
                           "position 4, layer 3, stage mlp_out", "a and b differ in bits",
                           "./greta gate --model m.gguf --b decode", "**VACUOUS**", "cpu \\| two",
                           "1 planned cases never started", "max_abs_diff 0.25", "could not have failed", "`r.jsonl`"})
    EXPECT_NE(en.find(text), std::string::npos) << text << "\n" << en;
  const std::string es = close_out_report(run, Language::kSpanish);
  for (const char* text :
       {"# Informe de cierre", "2 de 4 casos están en rojo", "**FAIL**", "posición 4, capa 3, etapa mlp_out",
        "./greta gate --model m.gguf --b decode", "1 casos previstos no llegaron a empezar", "no podía fallar"})
    EXPECT_NE(es.find(text), std::string::npos) << text << "\n" << es;
  EXPECT_EQ(es.find("Verdict"), std::string::npos);
  EXPECT_EQ(es.find("{}"), std::string::npos);
}

TEST(Report, GreenUnfinishedAndEmptyRunsSaySo) {
  const auto head = [](const StoredRun& run, Language language) { return close_out_report(run, language); };
  const StoredRun green = a_run({a_case("decode", {Verdict::kPass, ""})}, 1);
  EXPECT_NE(head(green, Language::kEnglish).find("Result: green"), std::string::npos);
  EXPECT_NE(head(green, Language::kSpanish).find("Resultado: verde"), std::string::npos);
  const StoredRun cut = a_run({a_case("decode", {Verdict::kPass, ""})}, 2);
  EXPECT_NE(head(cut, Language::kEnglish).find("Result: unfinished"), std::string::npos);
  EXPECT_NE(head(a_run({}, {}), Language::kEnglish).find("No case was recorded"), std::string::npos);
  EXPECT_NE(head(a_run({}, {}), Language::kSpanish).find("ningún caso"), std::string::npos);
}

TEST(Report, OtherLanguagesAndMissingRecordsAreRefused) {
  EXPECT_THROW(language_from_name("fr"), Error);
  EXPECT_THROW(write_report("/nowhere.jsonl", "/tmp/x.md", Language::kEnglish, {}), Error);
}

}  // namespace
}  // namespace greta::results
