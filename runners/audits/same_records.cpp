#include "runners/audits/same_records.hpp"

#include <fmt/format.h>

#include <map>

#include "kernels/hip/error.hpp"
#include "results/store.hpp"

namespace greta::runners {
namespace {

using results::Json;
using results::Verdict;

std::string where(const results::Environment& e) { return fmt::format("{} {} {}", e.platform, e.device, e.commit); }

/// What belongs to the process that measured, not to what it computed.
bool is_of_the_process(const std::string& key) {
  return key == "ended" || key == "peak_rss_kib" || key == "attribution";
}

/// Of a value that may have members: each leaf under its path.
void flatten(const Json& value, const std::string& path, std::map<std::string, std::string>& to) {
  if (!value.is_object()) {
    to[path] = value.dump();
    return;
  }
  for (const auto& [key, member] : value.items())
    if (!path.empty() || !is_of_the_process(key)) flatten(member, path.empty() ? key : path + "." + key, to);
}

/// Everything of a cell that another platform owes.
std::map<std::string, std::string> owed(const results::Record& cell) {
  std::map<std::string, std::string> out;
  flatten(cell.measured, "", out);
  out["verdict"] = std::string(results::verdict_name(cell.outcome.verdict));
  for (const char* side : {"a", "b"}) {
    const Json& config = cell.config;
    if (config.contains(side) && config[side].contains("logits_sha256"))
      out[fmt::format("{}.logits_sha256", side)] = config[side]["logits_sha256"].dump();
  }
  return out;
}

std::string difference(const results::Record& here, const results::Record& earlier) {
  const auto mine = owed(here), theirs = owed(earlier);
  for (const char* hash : {"a.logits_sha256", "b.logits_sha256"})
    if (!mine.contains(hash)) return fmt::format("no {}", hash);
  for (const auto& [key, value] : mine) {
    const auto it = theirs.find(key);
    if (it == theirs.end()) return fmt::format("{} is {}, and the earlier record has none", key, value);
    if (it->second != value) return fmt::format("{} is {}, was {}", key, value, it->second);
  }
  for (const auto& [key, value] : theirs)
    if (!mine.contains(key)) return fmt::format("{} was {}, and is missing", key, value);
  return {};
}

}  // namespace

void compare_with_earlier(std::span<const results::Record> cells, const results::Environment& here,
                          const std::string& file, results::Record& r) {
  const results::StoredFile stored = results::read_records(file);
  if (stored.runs.empty()) throw_invalid(fmt::format("--against {}: no run in it", file));
  const results::StoredRun& run = stored.runs.back();
  std::map<std::string, const results::Record*> earlier;
  std::string there;
  for (const results::StoredCase& c : run.cases)
    if (c.record.kind == "gate") {
      earlier[c.record.case_name] = &c.record;
      there = where(run.environment);
    }
  std::vector<std::string> different;
  for (const results::Record& cell : cells) {
    const auto it = earlier.find(cell.case_name);
    if (it == earlier.end()) {
      different.push_back(fmt::format("'{}': not in {}", cell.case_name, file));
      continue;
    }
    if (const std::string what = difference(cell, *it->second); !what.empty())
      different.push_back(fmt::format("'{}': {}", cell.case_name, what));
    earlier.erase(it);
  }
  for (const auto& [name, record] : earlier) different.push_back(fmt::format("'{}': only in {}", name, file));
  r.measured["cells"] = cells.size(), r.measured["different"] = different, r.measured["earlier"] = there;
  if (!different.empty() || cells.empty())
    r.outcome = {Verdict::kFail, cells.empty() ? "no cell to compare" : fmt::format("{}", fmt::join(different, "; "))};
  else if (there == where(here))
    r.outcome = {Verdict::kVacuous, fmt::format("{} was made here too, by the same build ({})", file, there)};
  else
    r.outcome = {Verdict::kPass, ""};
}

}  // namespace greta::runners
