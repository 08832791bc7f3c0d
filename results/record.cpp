#include "results/record.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/hip/error.hpp"
#include "results/build_info.hpp"

namespace greta::results {
namespace {

constexpr std::array<std::string_view, 7> kVerdictNames = {"PASS",       "FAIL",       "SKIP",         "VACUOUS",
                                                           "MISTRUSTED", "INCOMPLETE", "CONTRADICTION"};

// In the order of a line. "run", "id", "time" and "seconds" are the store's; "invocation" and "cases" stand in its
// lines about a run.
constexpr std::string_view kFixedKeys[] = {
    "schema",     "event",        "run",     "id",     "time",   "seconds",    "kind",     "kernel", "rung",
    "arithmetic", "case",         "problem", "seed",   "repeat", "tier",       "platform", "device", "toolchain",
    "commit",     "matrix_model", "verdict", "reason", "config", "invocation", "cases",
};

Json common_line(const Record& r, const Environment& e, std::string_view event) {
  if (!r.measured.is_object() || !r.config.is_object())
    throw_invalid(fmt::format("record '{}': measured and config must be JSON objects", r.case_name));
  return Json{{"schema", kSchemaVersion}, {"event", event},
              {"kind", r.kind},           {"kernel", r.kernel},
              {"rung", r.rung},           {"arithmetic", r.arithmetic},
              {"case", r.case_name},      {"problem", r.problem},
              {"seed", r.seed},           {"repeat", r.repeat},
              {"tier", r.tier},           {"platform", e.platform},
              {"device", e.device},       {"toolchain", e.toolchain},
              {"commit", e.commit},       {"matrix_model", e.matrix_model}};
}

const Json& member(const Json& line, const char* key) {
  const auto it = line.find(key);
  if (it == line.end()) throw_invalid(fmt::format("record line has no '{}'", key));
  return *it;
}

std::string text_member(const Json& line, const char* key) {
  const Json& value = member(line, key);
  if (!value.is_string()) throw_invalid(fmt::format("record line: '{}' must be a string, got {}", key, to_line(value)));
  return value.get<std::string>();
}

}  // namespace

std::string_view verdict_name(Verdict verdict) { return kVerdictNames.at(static_cast<size_t>(verdict)); }

Verdict verdict_from_name(std::string_view name) {
  const auto it = std::find(kVerdictNames.begin(), kVerdictNames.end(), name);
  if (it == kVerdictNames.end())
    throw_invalid(fmt::format("'{}' is no verdict; there are {}", name, fmt::join(kVerdictNames, ", ")));
  return static_cast<Verdict>(it - kVerdictNames.begin());
}

Tally tally(std::span<const Outcome> outcomes) {
  Tally t;
  for (const Outcome& o : outcomes) {
    switch (o.verdict) {
      case Verdict::kPass:
        ++t.passed;
        break;
      case Verdict::kSkip:
        ++(o.reason.empty() ? t.failed : t.skipped);
        break;
      case Verdict::kVacuous:
        ++t.vacuous;
        break;
      case Verdict::kMistrusted:
        ++t.mistrusted;
        break;
      case Verdict::kContradiction:
        ++t.contradictory;
        break;
      case Verdict::kIncomplete:
        ++t.incomplete;
        break;
      default:  // kFail, and whatever is no verdict at all
        ++t.failed;
    }
  }
  return t;
}

int exit_code(const Tally& t) {
  if (t.red() > 0) return 1;
  return t.incomplete > 0 || t.passed + t.skipped == 0 ? 5 : 0;
}

int exit_code(std::span<const Outcome> outcomes) { return exit_code(tally(outcomes)); }

std::string summary_line(const Tally& t) {
  std::string line = fmt::format("{} passed, {} failed, {} skipped", t.passed, t.red(), t.skipped);
  std::string kinds;
  for (const auto& [count, word] : {std::pair{t.vacuous, "vacuous"}, std::pair{t.mistrusted, "mistrusted"},
                                    std::pair{t.contradictory, "contradictory"}})
    if (count) kinds += fmt::format("{}{} {}", kinds.empty() ? "" : ", ", count, word);
  if (!kinds.empty()) line += fmt::format(" ({})", kinds);
  if (t.incomplete) line += fmt::format(", {} incomplete", t.incomplete);
  return line;
}

Environment build_environment(std::string device) {
  Environment environment;
  environment.platform = build_info().platform;
  environment.device = std::move(device);
  environment.toolchain = toolchain();
  environment.commit = build_info().commit;
  return environment;
}

std::span<const std::string_view> fixed_keys() { return kFixedKeys; }

Json start_line(const Record& record, const Environment& environment) {
  return common_line(record, environment, "start");
}

Json end_line(const Record& record, const Environment& environment) {
  Json line = common_line(record, environment, "end");
  if (record.outcome.verdict != Verdict::kPass && record.outcome.reason.empty())
    throw_invalid(
        fmt::format("record '{}': verdict {} needs a reason", record.case_name, verdict_name(record.outcome.verdict)));
  line["verdict"] = verdict_name(record.outcome.verdict);
  line["reason"] = record.outcome.reason;
  for (const auto& [key, value] : record.measured.items()) {
    if (std::find(std::begin(kFixedKeys), std::end(kFixedKeys), key) != std::end(kFixedKeys))
      throw_invalid(fmt::format("record '{}': measured value '{}' has the name of a fixed key", record.case_name, key));
    line[key] = value;
  }
  line["config"] = record.config;
  return line;
}

Record record_from_line(const Json& line) {
  if (!line.is_object()) throw_invalid("record line is not a JSON object: " + to_line(line));
  if (const Json& schema = member(line, "schema"); schema != kSchemaVersion)
    throw_invalid(fmt::format("record line: schema {} is not {}", to_line(schema), kSchemaVersion));
  Record r;
  r.kind = text_member(line, "kind");
  r.kernel = text_member(line, "kernel");
  r.rung = text_member(line, "rung");
  r.arithmetic = text_member(line, "arithmetic");
  r.case_name = text_member(line, "case");
  r.problem = text_member(line, "problem");
  const Json& seed = member(line, "seed");
  if (!seed.is_number_unsigned()) throw_invalid("record line: 'seed' must be a whole number, got " + to_line(seed));
  r.seed = seed.get<uint64_t>();
  r.repeat = text_member(line, "repeat");
  r.tier = text_member(line, "tier");
  if (text_member(line, "event") != "end") return r;

  r.outcome.verdict = verdict_from_name(text_member(line, "verdict"));
  r.outcome.reason = text_member(line, "reason");
  r.config = member(line, "config");
  for (const auto& [key, value] : line.items())
    if (std::find(std::begin(kFixedKeys), std::end(kFixedKeys), key) == std::end(kFixedKeys)) r.measured[key] = value;
  return r;
}

Json with_finite_numbers(const Json& value) {
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (std::isnan(number)) return "NaN";
    if (std::isinf(number)) return number > 0 ? "Infinity" : "-Infinity";
    return value;
  }
  if (value.is_object()) {
    Json copy = Json::object();
    for (const auto& [key, inner] : value.items()) copy[key] = with_finite_numbers(inner);
    return copy;
  }
  if (value.is_array()) {
    Json copy = Json::array();
    for (const Json& inner : value) copy.push_back(with_finite_numbers(inner));
    return copy;
  }
  return value;
}

std::string to_line(const Json& object) {
  return with_finite_numbers(object).dump(-1, ' ', false, Json::error_handler_t::replace);
}

double number_from(const Json& value) {
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) {
    const std::string text = value.get<std::string>();
    if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
    if (text == "Infinity") return std::numeric_limits<double>::infinity();
    if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
  }
  throw_invalid("a number was expected in a record, got " + to_line(value));
}

}  // namespace greta::results
