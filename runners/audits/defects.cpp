#include "runners/audits/defects.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <sstream>

#include "model/make.hpp"
#include "runners/audits/contradictions.hpp"
#include "runners/audits/drift.hpp"
#include "runners/audits/instruments.hpp"
#include "runners/audits/knobs.hpp"
#include "runners/audits/layout.hpp"
#include "runners/audits/output.hpp"
#include "runners/audits/verb_defects.hpp"
#include "runners/gates/bisect.hpp"
#include "verify/defects/defects.hpp"
#include "verify/plan.hpp"
#include "verify/tiers.hpp"

namespace greta::runners {
namespace {

constexpr int64_t kPlantedLayer = 5;  ///< of plantings; the defects of the engine want eight layers as well

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

/// "green", or what the sound program is accused of.
std::string told(const Outcome& sound) {
  if (!is_red(sound)) return "green";
  return fmt::format("{}: {}", results::verdict_name(sound.verdict), sound.reason);
}

/// What a gate says of the sound program, asked once for each command.
std::string sound_says(DefectBench& bench, const std::string& command, const std::function<Outcome()>& ask) {
  const auto [at, fresh] = bench.sound.try_emplace(command, Outcome{Verdict::kIncomplete, "not run"});
  if (fresh) {
    try {
      at->second = ask();
    } catch (const Error& error) {
      at->second = {Verdict::kFail, error.what()};
    }
  }
  return told(at->second);
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
      if (red && !result.caught)
        result.sound = told(
            verify::CaseRunner(*planned.op, planned.rung.name, planned.row.problem, planned.seed, ExpMode::kPortable)
                .check(tier)
                .outcome);
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

/// What a gate is run on.
struct Subject {
  ModelAtHand* model;
  std::vector<int32_t> ids;
};

/// The gate's request for a defect of the engine, on the side where it can show; or the same without the defect.
GateRequest gate_request(const model::DefectInfo& info, model::Defect planted, const Subject& on) {
  GateRequest request;
  request.file = on.model->file, request.ids = on.ids, request.defect = planted;
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

std::string place_of(const FirstFail& f) {
  return f.key.layer < 0 ? f.stage : fmt::format("layer {} {}", f.key.layer, f.stage);
}

/// Bisection by the gate's own flags.
BisectResult bisected(const model::DefectInfo& info, model::Defect planted, DefectBench& bench) {
  const GateRequest gate = gate_request(info, planted, {bench.model, bench.ids});
  BisectRequest request;
  request.model = bench.model, request.ids = bench.ids;
  request.a = traced_side_from_text("--a", gate.a.text(), gate.options);
  request.b = traced_side_from_text("--b", gate.b.text(), gate.options);
  request.b.options.defect = planted;
  request.span = gate.span, request.kv_aligned = gate.kv_aligned;
  return run_bisect(request);
}

/// One gate or audit on the engine with a defect (or none): its verdict, that of the first red case.
Outcome run_gate_on(const std::string& gate, const model::DefectInfo& info, model::Defect planted, const Subject& on) {
  FirstRed first;
  KnobRequest knob{on.model->file, on.ids, {}, 1};
  knob.options.defect = planted;
  if (gate == "gate") return run_equivalence_gate(gate_request(info, planted, on)).outcome;
  if (gate == "audit layout") {
    LayoutRequest request;
    request.file = on.model->file, request.fault = model::load_fault_of(planted), request.sampled_rows = 4;
    if (const std::string& t = model::load_fault_of(info.defect).tensor; t.starts_with("blk."))
      request.layers = {std::stoi(t.substr(4))};
    audit_layout(request, first.sink());
  } else if (gate == "audit output") {
    audit_output({.file = on.model->file, .ids = on.ids, .options = knob.options}, first.sink());
  } else if (gate == "audit drift") {
    const auto span = static_cast<int64_t>(on.ids.size());
    audit_drift({.file = on.model->file, .ids = on.ids, .options = knob.options, .spans = {span}}, first.sink());
  } else if (gate == "audit dtype") {
    audit_dtype(knob, first.sink());
  } else if (gate == "audit batch") {
    audit_batch(knob, first.sink());
  } else if (gate == "audit kv-aligned") {
    audit_kv_aligned(knob, first.sink());
  } else if (gate == "audit seed") {
    knob.ids = knob.ids.first(std::min<size_t>(knob.ids.size(), 6));  // ten runs
    audit_seed(knob, first.sink());
  } else if (gate == "audit attention") {
    audit_attention(knob, first.sink());
  } else {
    throw_invalid(fmt::format("no gate '{}'", gate));
  }
  return first.outcome;
}

/// The same, where a fault is red; a gate that refuses has observed nothing and has no outcome.
std::optional<Outcome> answer_of(const std::string& gate, const model::DefectInfo& info, const Subject& on) {
  try {
    return run_gate_on(gate, info, info.defect, on);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kInvalidArgument) return std::nullopt;
    return Outcome{Verdict::kFail, error.what()};
  }
}

/// The command without the defect: what must be green.
std::string sound_command(const std::string& gate, const model::DefectInfo& info) {
  const std::string tensor = gate == "audit layout" ? model::load_fault_of(info.defect).tensor : "";
  return gate + (gate == "gate" && !info.gate_words.empty() ? " " + std::string(info.gate_words) : "") +
         (tensor.starts_with("blk.") ? " --layers " + tensor.substr(4, tensor.find('.', 4) - 4) : "");
}

constexpr const char* kEngineGates[] = {"gate",        "audit layout",     "audit output",
                                        "audit drift", "audit dtype",      "audit batch",
                                        "audit seed",  "audit kv-aligned", "audit attention"};

/// Whether the gate is of no use: no two of its paths can show the defect, or (layout) it runs no engine.
bool cannot_meet(const std::string& gate, const model::DefectInfo& info) {
  const bool loader = model::load_fault_of(info.defect).damage != model::WeightDamage::kNone;
  return gate == "gate" ? info.caught_by != "gate" : gate == "audit layout" && !loader;
}

/// The gates beside the one that must see the defect, on the small model: what is red there is more than was asked for.
void try_other_gates(const DefectRow& row, const model::DefectInfo& info, DefectBench& bench, DefectResult& result) {
  if (!bench.small) bench.small = std::make_unique<SmallModel>(bench.scratch);
  Subject on{&bench.small->at_hand, {}};
  for (size_t i = 0; i < std::min<size_t>(bench.ids.size(), 8); ++i)
    on.ids.push_back(static_cast<int32_t>(bench.ids[i] % on.model->config.vocab_size));
  for (const std::string gate : kEngineGates) {
    if (gate == row.gate) continue;
    if (cannot_meet(gate, info)) {
      result.gates[gate] = "cannot meet it";
      continue;
    }
    const std::string sound = sound_says(bench, "small model: " + sound_command(gate, info),
                                         [&] { return run_gate_on(gate, info, model::Defect::kNone, on); });
    const std::optional<Outcome> outcome = answer_of(gate, info, on);
    result.gates[gate] = !outcome           ? "cannot meet it"
                         : sound != "green" ? "red without it too"
                         : is_red(*outcome) ? "red"
                                            : "green";
  }
}

DefectResult try_engine(const DefectRow& row, DefectBench& bench) {
  const model::DefectInfo& info = model::defect_from_name(row.name);
  const Subject on{bench.model, bench.ids};
  DefectResult result;
  const std::optional<Outcome> outcome = answer_of(row.gate, info, on);
  result.caught = outcome && is_red(*outcome);
  result.gates[row.gate] = !outcome ? "cannot meet it" : result.caught ? "red" : "green";
  if (result.caught) {
    result.by = fmt::format("{} {}", row.gate, results::verdict_name(outcome->verdict));
    result.sound = sound_says(bench, sound_command(row.gate, info),
                              [&] { return run_gate_on(row.gate, info, model::Defect::kNone, on); });
  }
  if (row.gate == "gate" && !info.stage.empty()) {
    const BisectResult found = bisected(info, info.defect, bench);
    const std::string sound = sound_says(bench, "bisect " + std::string(info.gate_words),
                                         [&] { return bisected(info, model::Defect::kNone, bench).outcome; });
    result.gates["bisect"] = is_red(found.outcome) ? "red" : "green";
    result.place =
        found.first ? place_of(*found.first) : fmt::format("bisect {}", results::verdict_name(found.outcome.verdict));
    result.placed =
        result.caught && result.place == row.place && found.first && found.first->wrong == "b" && sound == "green";
  } else {
    if (result.caught) result.place = row.gate;
    result.placed = result.caught && result.place == row.place;
  }
  if (bench.every_gate) try_other_gates(row, info, bench, result);
  return result;
}

/// A planting at one stage, on either side in turn.
model::Planting planting_of(const DefectRow& row, int64_t position) {
  const model::StageInfo& stage = model::stage_from_name(row.name.substr(std::string_view("stage-").size()));
  return model::planting_from_text(
      fmt::format("{}:{}:{}", stage.name, stage.per_layer ? std::to_string(kPlantedLayer) : "-", position));
}

DefectResult try_stage(const DefectRow& row, DefectBench& bench) {
  BisectRequest request;
  request.model = bench.model, request.ids.assign(bench.ids.begin(), bench.ids.begin() + 5);
  request.a = traced_side_from_text("--a", "prefill", {}), request.b = traced_side_from_text("--b", "decode", {});
  const std::string sound = sound_says(bench, row.gate, [&] { return run_bisect(request).outcome; });
  const bool on_a = model::stage_index(planting_of(row, 4).stage) % 2 != 0;
  (on_a ? request.a : request.b).options.planting = planting_of(row, 4);
  const BisectResult found = run_bisect(request);
  DefectResult result;
  result.gates[row.gate] = is_red(found.outcome) ? "red" : "green";
  result.caught = is_red(found.outcome);
  if (!result.caught) return result;
  result.sound = sound;
  result.by = fmt::format("{} {}", row.gate, results::verdict_name(found.outcome.verdict));
  if (!found.first) return result;
  result.place = place_of(*found.first);
  result.placed = result.place == row.place && found.first->wrong == (on_a ? "a" : "b");
  return result;
}

DefectResult try_in_child(const DefectRow& row, DefectBench& bench) {
  const VerbDefect& defect = verb_defect_from_name(row.name);
  const auto ask = [&](bool planted) {
    return try_verb(defect, planted, bench.model->file->path(), bench.ids, bench.scratch);
  };
  const VerbVerdict verdict = ask(true);
  DefectResult result;
  result.gates[row.gate] = is_red(verdict.outcome) ? "red" : "green";
  result.caught = is_red(verdict.outcome);
  if (!result.caught) return result;
  result.sound =
      sound_says(bench, fmt::format("{} {} {} {}", defect.gate, defect.tokens, defect.sound, defect.sound_plant),
                 [&] { return ask(false).outcome; });
  result.by = fmt::format("{} {}", row.gate, results::verdict_name(verdict.outcome.verdict));
  result.place = verdict.named;
  result.placed = result.place == row.place;
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
  result.sound = sound_says(bench, row.gate + (broken.compare ? " comparator" : " gate"), [&] {
    FirstRed sound;
    if (broken.compare)
      check_comparator(compare_logits, sound.sink());
    else
      check_gate(run_equivalence_gate, *bench.model->file, std::span(bench.ids).first(6), sound.sink());
    return sound.outcome;
  });
  result.by = fmt::format("{} {}", row.gate, results::verdict_name(first.outcome.verdict));
  result.place = first.name.substr(0, first.name.find(':'));
  result.placed = result.place == row.place;
  return result;
}

/// Eight layers, so that what a defect names is there; the rest as small as the kernels take.
model::LlamaConfig small_shape() {
  model::LlamaConfig c = model::shape_preset("tiny");
  c.n_layers = 8, c.ffn_dim = 256;
  return c;
}

}  // namespace

SmallModel::SmallModel(const ScratchFolder& scratch)
    : file([&] {
        const std::string path = scratch.file("small.gguf");
        model::make_model(path, small_shape(), model::WeightMix::kQ4KM, 1);
        return model::GgufFile::open(path);
      }()),
      at_hand(file) {}

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
  for (const model::StageInfo& stage : model::stage_table()) {
    if (stage.name == "softmax_stats") continue;  // nothing holds it
    const std::string at =
        stage.per_layer ? fmt::format("layer {} {}", kPlantedLayer, stage.name) : std::string(stage.name);
    rows.push_back({fmt::format("stage-{}", stage.name), "stage",
                    stage.name == "residual_pre_attn"
                        ? "the row before a layer's first norm is read from another buffer"
                        : "one value of the stage is moved by an eighth of its row's rms",
                    "bisect", at,
                    fmt::format("greta bisect --model M --text-file T --tokens 5 --plant {}:{}:4", stage.name,
                                stage.per_layer ? std::to_string(kPlantedLayer) : "-")});
  }
  for (const VerbDefect& d : verb_defects()) rows.push_back({d.name, d.room, d.what, d.gate, d.place, command_of(d)});
  for (const BrokenInstrument& b : broken_instruments()) {
    const std::string room = b.compare ? "comparator" : "gate";
    rows.push_back({std::string(b.name), room, std::string(b.what), "audit instruments", room,
                    fmt::format("greta audit instruments --model M --text-file T --plant {}", b.name)});
  }
  return rows;
}

DefectResult try_defect(const DefectRow& row, DefectBench& bench) {
  const auto engine = model::defect_table();
  DefectResult result;
  if (row.gate == "verify")
    result = try_kernel(row, bench.every_gate);
  else if (row.gate == "audit instruments")
    result = try_instrument(row, bench);
  else if (row.room == "stage")
    result = try_stage(row, bench);
  else if (std::any_of(engine.begin(), engine.end(), [&](const auto& d) { return d.name == row.name; }))
    result = try_engine(row, bench);
  else
    result = try_in_child(row, bench);
  // A gate that is red in any case has caught nothing.
  if (result.sound != "green") result.caught = result.placed = false;
  return result;
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
         "that turned red and is green on the sound program; *placed* what it (or, for the gate, `greta bisect`) "
         "named\n"
         "as the place. `greta audit defects --list` has the command that shows each.\n\n";
  out << fmt::format("{} defects, {} caught, {} placed rightly.\n\n", sum.defects, sum.caught, sum.placed);
  out << "| defect | room | what is wrong | caught by | placed | also red | green |\n"
         "| --- | --- | --- | --- | --- | --- | --- |\n";
  bool beside = false;
  for (size_t i = 0; i < rows.size() && i < results.size(); ++i) {
    const DefectResult& r = results[i];
    const auto cells = [&](std::string_view wanted) {
      std::string list;
      for (const auto& [gate, cell] : r.gates)
        if (cell == wanted && !(r.caught && r.by.starts_with(gate))) list += (list.empty() ? "" : ", ") + gate;
      return list;
    };
    beside |= r.gates.contains("audit drift");
    out << fmt::format("| `{}` | {} | {} | {} | {}{} | {} | {} |\n", rows[i].name, rows[i].room, rows[i].what,
                       r.caught ? r.by : "**nothing**", r.place.empty() ? "-" : r.place, r.placed ? "" : " (wrong)",
                       cells("red"), cells("green"));
  }
  if (beside)
    out << "\n*Also red* and *green* are the gates beside the one that must see a defect: the other tiers of the "
           "case,\n"
           "and for defects of the engine the gate and its audits on a small made model. Not tried: the gate on\n"
           "defects that no two of its paths can show, and the layout audit, which runs no engine, on defects that\n"
           "are not the loader's.\n";
  return out.str();
}

}  // namespace greta::runners
