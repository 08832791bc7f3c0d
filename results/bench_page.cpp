#include "results/bench_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <vector>

#include "kernels/hip/error.hpp"

namespace greta::results {
namespace {

struct Row {
  const Record* record;
  std::string exp;

  std::string name() const { return fmt::format("{}/{}/{}/{}", record->kernel, record->rung, record->case_name, exp); }
  bool free() const { return record->rung.find("_free") != std::string::npos; }
  bool measured() const { return record->outcome.verdict == Verdict::kPass; }
  double number(const char* key) const {
    const auto it = record->measured.find(key);
    return it == record->measured.end() ? 0 : number_from(*it);
  }
};

std::string exp_of(const Record& record) {
  const auto exp = record.config.find("exp");
  return exp != record.config.end() && exp->is_string() ? exp->get<std::string>() : "";
}

/// Three significant digits.
std::string figure(double value) { return value >= 100 ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value); }

std::string cell(double value) { return value == 0 ? " |" : fmt::format(" {} |", figure(value)); }

std::string line_of(const Row& row) {
  const Record& r = *row.record;
  std::string line = fmt::format("| {} | {} |", r.case_name, r.rung);
  if (!row.measured())
    return line + fmt::format(" {}: {} | | | | | | |\n", verdict_name(r.outcome.verdict), r.outcome.reason);
  line += cell(row.number("median_us")) + cell(100 * row.number("spread"));
  for (const char* key : {"gb_per_s", "copy_pct", "tflop_per_s", "flop_pct", "tokens_per_s"})
    line += cell(row.number(key));
  return line + "\n";
}

/// Rows of one operator and one exp2, in order of their first measurement.
using Group = std::vector<Row>;

std::string tables(const std::vector<std::pair<std::string, Group>>& groups) {
  std::string page;
  for (const auto& [title, rows] : groups) {
    page += fmt::format(
        "\n## {}\n\n| row | rung | us | spread % | GB/s | % of copy | TFLOP/s | % of ceiling | tokens/s |\n", title);
    page += "|---|---|---|---|---|---|---|---|---|\n";
    for (const Row& row : rows) page += line_of(row);
  }
  return page;
}

std::string cost_of_exactness(const std::vector<std::pair<std::string, Group>>& groups) {
  std::string page;
  for (const auto& [title, rows] : groups) {
    std::vector<std::string> cases;
    std::map<std::string, std::pair<const Row*, const Row*>> fastest;  // exact, free
    for (const Row& row : rows) {
      if (!row.measured()) continue;
      if (fastest.emplace(row.record->case_name, std::pair(nullptr, nullptr)).second)
        cases.push_back(row.record->case_name);
      auto& [exact, free] = fastest[row.record->case_name];
      const Row*& best = row.free() ? free : exact;
      if (!best || row.number("median_us") < best->number("median_us")) best = &row;
    }
    for (const std::string& name : cases) {
      const auto [exact, free] = fastest[name];
      if (!exact || !free) continue;
      const double e = exact->number("median_us"), f = free->number("median_us");
      page += fmt::format("| {} | {} | {} {} | {} {} | {:.1f} % |\n", title, name, exact->record->rung, figure(e),
                          free->record->rung, figure(f), 100 * (e / f - 1));
    }
  }
  if (page.empty()) return page;
  return "\n## Cost of exactness\n\nThe fastest rung of one defined order against the fastest variant without, us.\n\n"
         "| operator | row | exact | free | cost |\n|---|---|---|---|---|\n" +
         page;
}

struct Peer {
  std::string kernel, name, figure, of, source;
  double value;
};
Peer peer_of(const Json& entry, size_t number) {
  const auto refuse = [&](const char* key, const char* wanted) {
    throw_invalid(fmt::format("peers: figure {}: '{}' must be {}, got {}", number, key, wanted,
                              entry.contains(key) ? entry[key].dump() : "none"));
  };
  if (!entry.is_object())
    throw_invalid(
        fmt::format("peers: figure {} must be an object with kernel, case, figure, peer, source and value, "
                    "got {}",
                    number, entry.dump()));
  const auto text = [&](const char* key) {
    if (!entry.contains(key) || !entry[key].is_string()) refuse(key, "a text");
    return entry[key].get<std::string>();
  };
  Peer peer = {text("kernel"), text("case"), text("figure"), text("peer"), text("source"), 0.0};
  if (entry.contains("value") && entry["value"].is_number()) peer.value = entry["value"].get<double>();
  if (!(peer.value > 0)) refuse("value", "a number above 0");
  return peer;
}

std::string beside_peers(const std::vector<std::pair<std::string, Group>>& groups, const Json& peers) {
  std::string page, sources;
  size_t number = 0;
  for (const Json& entry : peers) {
    const auto [kernel, name, figure_name, of, source, theirs] = peer_of(entry, ++number);
    const Row* ours = nullptr;
    for (const auto& [title, rows] : groups)
      for (const Row& row : rows)
        if (row.measured() && !row.free() && row.record->kernel == kernel && row.record->case_name == name &&
            (!ours || row.number("median_us") < ours->number("median_us")))
          ours = &row;
    if (!ours)
      throw_invalid(fmt::format("{} has a figure for {}/{}, of which there is no green record", of, kernel, name));
    const double mine = ours->number(figure_name.c_str());
    if (!(mine > 0))
      throw_invalid(
          fmt::format("peers: figure {}: the records of {}/{} have no '{}'", number, kernel, name, figure_name));
    const double share = figure_name == "median_us" ? theirs / mine : mine / theirs;
    page += fmt::format("| {} | {} | {} | {} {} | {} | {} | {:.0f} % |\n", kernel, name, figure_name,
                        ours->record->rung, figure(mine), of, figure(theirs), 100 * share);
    const std::string line = fmt::format("* {}: {}\n", of, source);
    if (sources.find(line) == std::string::npos) sources += line;
  }
  if (page.empty()) return page;
  return "\n## Beside other programs\n\nMeasured on such a device on another day; the last column is their time by "
         "ours.\n\n" +
         sources +
         "\n| operator | row | figure | ours | of whom | theirs | ours of it |\n|---|---|---|---|---|---|---|\n" + page;
}

}  // namespace

std::string bench_page(std::span<const StoredRun> runs, const Json& peers) {
  std::vector<std::pair<std::string, Group>> groups;
  std::map<std::string, std::pair<size_t, size_t>> places;  // of a row's name: group, row
  std::string sources;
  for (const StoredRun& run : runs) {
    bool used = false;
    for (const StoredCase& c : run.cases) {
      if (c.record.kind != "bench") continue;
      used = true;
      const Row row = {&c.record, exp_of(c.record)};
      if (const auto it = places.find(row.name()); it != places.end()) {
        groups[it->second.first].second[it->second.second] = row;
        continue;
      }
      const std::string title =
          row.exp.empty() ? c.record.kernel : fmt::format("{}, exp2 {}", c.record.kernel, row.exp);
      auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.first == title; });
      if (group == groups.end()) group = groups.insert(groups.end(), {title, {}});
      places[row.name()] = {static_cast<size_t>(group - groups.begin()), group->second.size()};
      group->second.push_back(row);
    }
    if (!used) continue;
    std::string words;
    for (const std::string& word : run.invocation)
      words += word.find_first_of(" |^$*()") == std::string::npos ? " " + word : fmt::format(" '{}'", word);
    std::string in_a_cell;
    for (const char c : words) in_a_cell += c == '|' ? std::string("\\|") : std::string(1, c);  // a bar would end it
    sources += fmt::format("| {} | {} | `greta{}` |\n", run.environment.device, run.environment.commit, in_a_cell);
  }
  if (groups.empty()) throw_invalid("no record of greta bench in the file; next: greta bench --json FILE");
  return "| device | commit | command |\n|---|---|---|\n" + sources + beside_peers(groups, peers) +
         cost_of_exactness(groups) + tables(groups);
}

}  // namespace greta::results
