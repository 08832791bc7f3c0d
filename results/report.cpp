#include "results/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>

#include "kernels/hip/error.hpp"

namespace greta::results {
namespace {

class Speaker {
 public:
  explicit Speaker(Language language) : language_(language) {}
  template <class... Values>
  std::string operator()(std::string_view name, const Values&... values) const {
    for (const Phrase& p : report_phrases())
      if (p.name == name)
        return fmt::format(fmt::runtime(language_ == Language::kSpanish ? p.spanish : p.english), values...);
    throw_invalid(fmt::format("report: no phrase '{}'", name));
  }

 private:
  Language language_;
};

std::string text_of(const Json& value) { return value.is_string() ? value.get<std::string>() : to_line(value); }

/// Inside a table: no bars, no line breaks.
std::string cell(std::string text, size_t limit = 160) {
  for (char& c : text)
    if (c == '\n') c = ' ';
  for (size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, "\\");
  if (text.size() > limit) {
    size_t end = limit - 3;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // not within a character
    text = text.substr(0, end) + "...";
  }
  return text;
}

bool is_red(const Outcome& o) { return tally(std::span(&o, 1)).red() > 0; }

/// The measured numbers that tell most: plain values, the first few, short.
std::string measured_line(const Record& r) {
  std::string out;
  int shown = 0;
  for (const auto& [key, value] : r.measured.items()) {
    if (value.is_object() || value.is_array() || shown == 4) continue;
    const std::string text = value.is_number_float() ? fmt::format("{:.6g}", value.get<double>()) : text_of(value);
    if (text.size() > 40) continue;
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", key, text);
    ++shown;
  }
  return out;
}

std::string subject_of(const Record& r) {
  return r.rung.empty() ? fmt::format("{} {}", r.kind, r.kernel) : fmt::format("{} {} {}", r.kind, r.kernel, r.rung);
}

class Report {
 public:
  Report(const StoredRun& run, Language language, std::string_view source)
      : run_(run), language_(language), say_(language), source_(source) {}

  std::string text() {
    head();
    what_ran();
    red();
    unfinished();
    all_cases();
    meanings();
    return std::move(out_);
  }

 private:
  template <class... Values>
  void line(fmt::format_string<Values...> format, Values&&... values) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Values>(values)...);
    out_ += '\n';
  }

  std::string command() const { return fmt::format("./greta {}", fmt::join(run_.invocation, " ")); }

  void head() {
    const std::vector<Outcome> outcomes = run_.outcomes();
    const Tally t = tally(outcomes);
    const auto total = static_cast<int64_t>(outcomes.size());
    line("{}\n", say_("title", run_.invocation.empty() ? "greta" : cell(command(), 90)));
    if (run_.cases.empty())
      line("{}\n", say_("result_empty"));
    else if (t.red())
      line("{}\n", say_("result_red", t.red(), total, t.incomplete));
    else if (t.incomplete)
      line("{}\n", say_("result_unfinished", t.incomplete, total));
    else
      line("{}\n", say_("result_green", total));
  }

  void what_ran() {
    double seconds = 0;
    int64_t ended = 0;
    for (const StoredCase& c : run_.cases)
      seconds += c.seconds, ended += c.record.outcome.verdict != Verdict::kIncomplete;
    const Environment& e = run_.environment;
    line("{}\n", say_("what_ran"));
    line("| {} | {} |\n| --- | --- |", say_("field"), say_("value"));
    line("| {} | `{}` |", say_("command"), cell(command(), 1000));
    line("| {} | {} |", say_("platform"), cell(e.platform));
    line("| {} | {} |", say_("device"), cell(e.device));
    line("| {} | {} |", say_("toolchain"), cell(e.toolchain));
    line("| {} | {} |", say_("commit"), cell(e.commit));
    line("| {} | {} |", say_("matrix_model"), cell(e.matrix_model));
    line("| {} | {} |", say_("run"), cell(run_.run_id));
    if (!source_.empty()) line("| {} | `{}` |", say_("records"), cell(std::string(source_)));
    line("| {} | {} |", say_("planned"), run_.planned ? std::to_string(*run_.planned) : say_("unplanned"));
    line("| {} | {} |", say_("ended"), ended);
    line("| {} | {:.2f} s |\n", say_("time"), seconds);
  }

  void one_case(const StoredCase& c) {
    const Record& r = c.record;
    line("### {}: {}\n", cell(subject_of(r)), cell(r.case_name));
    line("- {}: **{}**", say_("verdict"), verdict_name(r.outcome.verdict));
    const std::string place = place_of(r, language_);
    line("- {}: {}", say_("place"), place.empty() ? say_("place_unknown") : place);
    line("- {}: {}", say_("reason"), cell(r.outcome.reason, 1200));
    if (!r.problem.empty()) line("- {}: `{}`", say_("problem"), cell(r.problem, 400));
    line("- {}:\n\n```\n{}\n```\n", say_("repeat"), r.repeat.empty() ? command() : r.repeat);
  }

  void red() {
    line("{}\n", say_("red_cases"));
    bool any = false;
    for (const StoredCase& c : run_.cases)
      if (is_red(c.record.outcome)) any = true, one_case(c);
    if (!any) line("{}\n", say_("nothing_red"));
  }

  void unfinished() {
    const auto missing = run_.planned.value_or(0) - static_cast<int64_t>(run_.cases.size());
    const bool any = std::any_of(run_.cases.begin(), run_.cases.end(),
                                 [](const StoredCase& c) { return c.record.outcome.verdict == Verdict::kIncomplete; });
    if (!any && missing <= 0) return;
    line("{}\n", say_("unfinished_cases"));
    for (const StoredCase& c : run_.cases)
      if (c.record.outcome.verdict == Verdict::kIncomplete) one_case(c);
    if (missing > 0) line("{}\n", say_("missing_cases", missing));
  }

  void all_cases() {
    if (run_.cases.empty()) return;
    line("{}\n", say_("all_cases"));
    line("| {} | {} | {} | {} | {} |\n| --- | --- | --- | --- | ---: |", say_("case"), say_("subject"), say_("verdict"),
         say_("measured"), say_("seconds"));
    for (const StoredCase& c : run_.cases)
      line("| {} | {} | {} | {} | {:.2f} |", cell(c.record.case_name), cell(subject_of(c.record)),
           verdict_name(c.record.outcome.verdict), cell(measured_line(c.record)), c.seconds);
    line("");
  }

  void meanings() {
    std::set<Verdict> seen;
    for (const Outcome& o : run_.outcomes()) seen.insert(o.verdict);
    line("{}\n", say_("meaning"));
    for (const Verdict v : seen) line("- {}: {}", verdict_name(v), say_(fmt::format("mean_{}", verdict_name(v))));
  }

  const StoredRun& run_;
  Language language_;
  Speaker say_;
  std::string_view source_;
  std::string out_;
};

}  // namespace

Language language_from_name(std::string_view name) {
  if (name == "en") return Language::kEnglish;
  if (name == "es") return Language::kSpanish;
  throw_invalid(fmt::format("--lang {}: wanted en or es", name));
}

std::string place_of(const Record& r, Language language) {
  // Names under which writers of records say where.
  static constexpr std::pair<const char*, const char*> kNames[] = {
      {"position", "position"}, {"first_bad_position", "position"},
      {"layer", "layer"},       {"stage", "stage"},
      {"head", "head"},         {"row", "row"},
      {"tensor", "tensor"},     {"element", "element"},
      {"wrong_side", "side"},   {"kernel_named", "kernel"},
      {"argument", "argument"}, {"buffer", "buffer"},
      {"offset", "offset"},
  };
  const Speaker say(language);
  const Json* from = &r.measured;
  for (const char* nested : {"first_fail", "place"})
    if (const auto it = r.measured.find(nested); it != r.measured.end() && it->is_object()) from = &*it;
  std::string out;
  std::set<std::string_view> said;
  for (const auto& [key, phrase] : kNames) {
    const auto it = from->find(key);
    if (it == from->end() || it->is_null() || it->is_object() || it->is_array() || !said.insert(phrase).second)
      continue;
    const bool outside = phrase == std::string_view("layer") && it->is_number_integer() && it->get<int64_t>() < 0;
    out += (out.empty() ? "" : ", ") + (outside ? say("outside_layers") : say(phrase, text_of(*it)));
  }
  return out;
}

std::string close_out_report(const StoredRun& run, Language language, std::string_view source) {
  return Report(run, language, source).text();
}

void write_report(const std::string& records, const std::string& report, Language language,
                  const std::vector<std::string>& invocation, bool keep_source) {
  const StoredFile file = read_records(records);
  const auto run = std::find_if(file.runs.rbegin(), file.runs.rend(),
                                [&](const StoredRun& r) { return r.invocation == invocation; });
  if (run == file.runs.rend())
    throw_invalid(fmt::format("--report {}: '{}' holds no run of this command: nothing was recorded to report on",
                              report, records));
  const std::string text = close_out_report(*run, language, keep_source ? records : "");
  std::ofstream out(report);
  if (!out) throw_invalid(fmt::format("--report {}: cannot be opened for writing: {}", report, std::strerror(errno)));
  out << text << std::flush;
  if (!out) throw Error(ErrorKind::kIo, fmt::format("--report {}: could not be written", report));
}

}  // namespace greta::results
