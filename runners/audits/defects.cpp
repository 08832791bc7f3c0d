#include "runners/audits/defects.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "runners/audits/instruments.hpp"
#include "runners/audits/knobs.hpp"
#include "runners/audits/layout.hpp"
#include "runners/audits/output.hpp"
#include "runners/gates/bisect.hpp"
#include "verify/defects/defects.hpp"
#include "verify/plan.hpp"
#include "verify/tiers.hpp"

namespace greta::runners {
namespace {

using results::Outcome;
using results::Verdict;

bool is_red(const Outcome& o) { return o.verdict != Verdict::kPass && o.verdict != Verdict::kSkip; }

std::string room_of(const model::DefectInfo& info) {
  using model::Defect;
  using model::WeightDamage;
  if (info.defect == Defect::kUploadTruncated || info.defect == Defect::kAlignedRowShifted) return "copy";
  if (model::load_fault_of(info.defect).damage != WeightDamage::kNone) return "loader";
  return info.expected == "VACUOUS" ? "knob" : "wiring";
}

std::string place_of(const model::DefectInfo& info) {
  if (info.caught_by != "gate") return std::string(info.caught_by);
  if (info.stage.empty()) return "gate";
  return info.layer < 0 ? std::string(info.stage) : fmt::format("layer {} {}", info.layer, info.stage);
}

/// The cases of an audit, until one is red.
struct FirstRed {
  Outcome outcome{Verdict::kPass, ""};
  std::string name;
  CaseSink sink() {
    return [this](const std::string& case_name, const std::function<void(results::Record&)>& measure) {
      if (is_red(outcome)) return;
      results::Record record;
      record.case_name = case_name;
      try {
        measure(record);
      } catch (const Error& error) {
        record.outcome = {Verdict::kFail, error.what()};
      }
      if (is_red(record.outcome)) outcome = record.outcome, name = case_name;
    };
  }
};

DefectResult try_kernel(const DefectRow& row, bool every_tier) {
  DefectResult result;
  for (const verify::Defect& defect : verify::defects()) {
    if (row.name != defect.name) continue;
    const verify::PlannedCase planned = verify::parse_repeat(verify::operators(), defect.check, 1);
    const verify::Defective defective(*planned.op, defect);
    verify::CaseRunner runner(defective, planned.rung.name, planned.row.problem, planned.seed, ExpMode::kPortable);
    for (const std::string& tier : runner.tiers(true)) {
      const bool red = is_red(runner.check(tier).outcome);
      const std::string kind = tier.substr(0, tier.find(':'));
      if (std::string& cell = result.gates["verify " + kind]; cell != "red") cell = red ? "red" : "green";
      if (!red || result.caught) continue;
      result.caught = true, result.by = "verify " + tier, result.place = planned.op->name();
      if (!every_tier) break;
    }
  }
  result.placed = result.caught && result.place == row.place;
  return result;
}

/// The gate's request for a defect of the engine, on the side where it can show.
GateRequest gate_request(const model::DefectInfo& info, const DefectBench& bench) {
  GateRequest request;
  request.file = bench.model->file, request.ids = bench.ids, request.defect = info.defect;
  request.defect_side = DefectSide::kB;
  std::istringstream words{std::string(info.gate_words)};
  for (std::string word, value; words >> word >> value;) {
    if (word == "--kv-aligned") request.kv_aligned = value == "1";
    if (word == "--span") request.span = std::stoll(value);
    if (word == "--a") request.a = side_from_text(word, value);
    if (word == "--b") request.b = side_from_text(word, value);
  }
  return request;
}

std::string bisected(const model::DefectInfo& info, DefectBench& bench) {
  const GateRequest gate = gate_request(info, bench);
  BisectRequest request;
  request.model = bench.model, request.ids = bench.ids;
  request.a = traced_side_from_text("--a", gate.a.text(), gate.options);
  request.b = traced_side_from_text("--b", gate.b.text(), gate.options);
  request.b.options.defect = info.defect;
  request.span = gate.span, request.kv_aligned = gate.kv_aligned;
  const BisectResult result = run_bisect(request);
  if (!result.first) return fmt::format("bisect {}", results::verdict_name(result.outcome.verdict));
  const FirstFail& f = *result.first;
  return f.key.layer < 0 ? f.stage : fmt::format("layer {} {}", f.key.layer, f.stage);
}

/// One gate or audit on a defect of the engine: its verdict, and the first red case.
Outcome run_gate_on(const std::string& gate, const model::DefectInfo& info, DefectBench& bench) {
  FirstRed first;
  const KnobRequest knob{bench.model->file, bench.ids, {}, 1};
  KnobRequest planted = knob;
  planted.options.defect = info.defect;
  if (gate == "gate") return run_equivalence_gate(gate_request(info, bench)).outcome;
  if (gate == "audit layout") {
    LayoutRequest request;
    request.file = bench.model->file, request.fault = model::load_fault_of(info.defect), request.sampled_rows = 4;
    if (const std::string& t = request.fault.tensor; t.starts_with("blk.")) request.layers = {std::stoi(t.substr(4))};
    audit_layout(request, first.sink());
  } else if (gate == "audit output") {
    OutputRequest request;
    request.file = bench.model->file, request.ids = bench.ids, request.options.defect = info.defect;
    audit_output(request, first.sink());
  } else if (gate == "audit dtype") {
    audit_dtype(planted, first.sink());
  } else if (gate == "audit batch") {
    audit_batch(planted, first.sink());
  } else if (gate == "audit kv-aligned") {
    audit_kv_aligned(planted, first.sink());
  } else if (gate == "audit seed") {
    planted.ids = planted.ids.first(std::min<size_t>(planted.ids.size(), 6));  // ten runs
    audit_seed(planted, first.sink());
  } else if (gate == "audit attention") {
    audit_attention(planted, first.sink());
  } else {
    throw_invalid(fmt::format("no gate '{}'", gate));
  }
  return first.outcome;
}

DefectResult try_engine(const DefectRow& row, DefectBench& bench) {
  const model::DefectInfo& info = model::defect_from_name(row.name);
  DefectResult result;
  std::vector<std::string> gates = {row.gate};
  if (bench.every_gate)
    for (const char* other : {"gate", "audit layout", "audit output", "audit dtype", "audit batch", "audit seed",
                              "audit kv-aligned", "audit attention"}) {
      const bool loader = model::load_fault_of(info.defect).damage != model::WeightDamage::kNone;
      if (other == row.gate || (other == std::string_view("gate") && info.caught_by != "gate")) continue;
      if (other == std::string_view("audit layout") && !loader) continue;  // it runs no engine
      gates.push_back(other);
    }
  for (const std::string& gate : gates) {
    Outcome outcome;
    try {
      outcome = run_gate_on(gate, info, bench);
    } catch (const Error& error) {
      outcome = {Verdict::kFail, error.what()};
    }
    result.gates[gate] = is_red(outcome) ? "red" : "green";
    if (!is_red(outcome) || result.caught) continue;
    result.caught = true, result.by = fmt::format("{} {}", gate, results::verdict_name(outcome.verdict));
  }
  if (row.gate == "gate" && !info.stage.empty())
    result.place = bisected(info, bench);
  else if (result.gates[row.gate] == "red")
    result.place = row.gate;
  result.placed = result.caught && result.place == row.place;
  return result;
}

DefectResult try_instrument(const DefectRow& row, DefectBench& bench) {
  const BrokenInstrument& broken = broken_instrument_from_name(row.name);
  FirstRed first;
  if (broken.compare)
    check_comparator(broken.compare, first.sink());
  else
    check_gate(broken.gate, *bench.model->file, std::span(bench.ids).first(6), first.sink());
  DefectResult result;
  result.gates[row.gate] = is_red(first.outcome) ? "red" : "green";
  result.caught = is_red(first.outcome);
  if (!result.caught) return result;
  result.by = fmt::format("{} {}", row.gate, results::verdict_name(first.outcome.verdict));
  result.place = first.name.substr(0, first.name.find(':'));
  result.placed = result.place == row.place;
  return result;
}

}  // namespace

std::vector<DefectRow> defect_catalogue() {
  std::vector<DefectRow> rows;
  for (const verify::Defect& d : verify::defects()) {
    const std::string check = d.check;
    rows.push_back({d.name, "kernel", d.what, "verify", check.substr(0, check.find('/')),
                    fmt::format("greta verify --defect {}", d.name)});
  }
  for (const char* room : {"wiring", "loader", "copy", "knob"})
    for (const model::DefectInfo& d : model::defect_table()) {
      if (room_of(d) != room) continue;
      rows.push_back({std::string(d.name), room, std::string(d.what), std::string(d.caught_by), place_of(d),
                      fmt::format("greta {} --model M --text-file T --defect {}{}{}", d.caught_by, d.name,
                                  d.gate_words.empty() ? "" : " ", d.gate_words)});
    }
  for (const BrokenInstrument& b : broken_instruments()) {
    const std::string room = b.compare ? "comparator" : "gate";
    rows.push_back({std::string(b.name), room, std::string(b.what), "audit instruments", room,
                    fmt::format("greta audit instruments --model M --text-file T --plant {}", b.name)});
  }
  return rows;
}

DefectResult try_defect(const DefectRow& row, DefectBench& bench) {
  if (row.gate == "verify") return try_kernel(row, bench.every_gate);
  if (row.gate == "audit instruments") return try_instrument(row, bench);
  return try_engine(row, bench);
}

Outcome DefectSummary::outcome() const {
  if (defects == 0) return {Verdict::kIncomplete, "no defect was tried"};
  if (caught < defects)
    return {Verdict::kFail, fmt::format("{} of {} defects turned nothing red", defects - caught, defects)};
  if (static_cast<double>(placed) < kAttributedAtLeast * static_cast<double>(defects))
    return {Verdict::kFail, fmt::format("{} of {} defects were attributed rightly, wanted {:.0f} %", placed, defects,
                                        100 * kAttributedAtLeast)};
  return {Verdict::kPass, ""};
}

std::string defects_page(std::span<const DefectRow> rows, std::span<const DefectResult> results) {
  std::ostringstream out;
  DefectSummary sum;
  for (const DefectResult& r : results) ++sum.defects, sum.caught += r.caught, sum.placed += r.placed;
  out << "# Seeded defects, and what catches each\n\n"
         "Made by `greta audit defects --markdown docs/gates/defects.md`; do not edit. *Caught by* is the first check\n"
         "that turned red, *placed* what it (or, for the gate, `greta bisect`) named as the place.\n\n";
  out << fmt::format("{} defects, {} caught, {} placed rightly.\n\n", sum.defects, sum.caught, sum.placed);
  out << "| defect | room | what is wrong | caught by | placed | also red |\n| --- | --- | --- | --- | --- | --- |\n";
  for (size_t i = 0; i < rows.size() && i < results.size(); ++i) {
    const DefectResult& r = results[i];
    std::string also;
    for (const auto& [gate, cell] : r.gates)
      if (cell == "red" && !r.by.starts_with(gate)) also += (also.empty() ? "" : ", ") + gate;
    out << fmt::format("| `{}` | {} | {} | {} | {}{} | {} |\n", rows[i].name, rows[i].room, rows[i].what,
                       r.caught ? r.by : "**nothing**", r.place.empty() ? "-" : r.place, r.placed ? "" : " (wrong)",
                       also);
  }
  return out.str();
}

}  // namespace greta::runners
