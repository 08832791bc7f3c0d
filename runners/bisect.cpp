// greta bisect: where two sides of a model part first, what kind of stage that is, and which side is wrong.
#include "runners/gates/bisect.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "results/store.hpp"
#include "runners/child_process.hpp"
#include "runners/command_line.hpp"
#include "runners/gates/bisect_sweep.hpp"
#include "runners/model_input.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

struct BisectFlags {
  std::string model, a = "prefill", b = "decode", positions, planting, defect, on = "b";
  IdsInput input;
  EngineFlags engine;
  int64_t span = 0;
  int kv_aligned = 0;
  bool classes = false, sweep = false;
};

void plant(BisectRequest& request, const BisectFlags& f) {
  if (f.planting.empty() && f.defect.empty()) return;
  for (const auto& [name, side] : {std::pair{"a", &request.a}, std::pair{"b", &request.b}}) {
    if (f.on != name && f.on != "both") continue;
    if (!side->is_engine())
      throw_invalid(
          fmt::format("--plant and --defect on side {} ({}): only a path of the engine takes them", name, side->text));
    if (!f.planting.empty()) side->options.planting = model::planting_from_text(f.planting);
    if (!f.defect.empty()) side->options.defect = model::defect_from_name(f.defect).defect;
  }
}

std::string told(const Recomputed& r) {
  if (!r.done) return "not recomputed: " + r.why_not;
  std::string text =
      fmt::format("{:.4g} of the bound: element {} is {:.9g}, in double from its own inputs {:.9g} +- {:.3g}",
                  r.worst_ratio, r.worst_element, r.got, r.value, r.bound);
  if (r.twin)
    text += r.bits_differ ? fmt::format("; {} elements have not the twin's bits", r.bits_differ) : "; the twin's bits";
  return text;
}

void print_result(const BisectRequest& request, const BisectResult& result, const std::string& repeat) {
  fmt::print("bisect {} against {}: {} tokens, {} points compared by {}, {} differ, {:.2f} s\n", request.a.text,
             request.b.text, request.ids.size(), result.points, result.measured["compared"].get<std::string>(),
             result.differing, result.seconds);
  if (result.first) {
    const FirstFail& f = *result.first;
    fmt::print("FIRST_FAIL  {}\n  class     {}\n", f.key.text(), f.stage_class);
    if (f.has_values)
      fmt::print("  row       MAE {:.4g}, max {:.4g}: a {:.9g}, b {:.9g}; {} of {} elements differ\n  place     {}\n",
                 f.mae, f.max, f.value_a, f.value_b, f.differing, f.width, f.place);
    if (!f.by_bits)
      fmt::print("  distance  {:.4g} of the row, bound {:.4g} (noise of the number formats)\n", f.relative, f.bound);
    fmt::print("  wrong     {}\n    a       {}\n    b       {}\n", f.wrong, told(f.a), told(f.b));
  }
  fmt::print("{}{}{}\n", results::verdict_name(result.outcome.verdict), result.outcome.reason.empty() ? "" : ": ",
             result.outcome.reason);
  if (result.outcome.verdict != results::Verdict::kPass) fmt::print("  repeat: {}\n", repeat);
}

/// Fills the record with what became of each planting.
void sweep(const BisectRequest& request, const BisectFlags& f, const CommonFlags& flags, results::Record& record) {
  if (!f.planting.empty() || !f.defect.empty())
    throw_invalid("--sweep plants on its own; leave --plant and --defect out");
  if (!request.a.is_engine() || !request.b.is_engine())
    throw_invalid("--sweep: both sides must be paths of the engine");
  results::Json rows = results::Json::array();
  int64_t right = 0;
  double slowest = 0;
  std::string first_wrong;
  const auto each = [&](const SweepRow& row) {
    fmt::print("{:<7} {:<38} on {}  {:.2f} s  {}\n", row.right() ? "found" : "MISSED", model::to_text(row.planting),
               row.side, row.seconds, row.found);
    std::fflush(stdout);
    rows.push_back({{"planting", model::to_text(row.planting)},
                    {"side", row.side},
                    {"located", row.located},
                    {"class_right", row.class_right},
                    {"side_right", row.side_right},
                    {"seconds", row.seconds},
                    {"found", row.found}});
    right += row.right(), slowest = std::max(slowest, row.seconds);
    if (!row.right() && first_wrong.empty()) first_wrong = model::to_text(row.planting) + ": " + row.found;
  };
  const auto all = static_cast<int64_t>(sweep_bisect(request, {flags.layers.begin(), flags.layers.end()}, each).size());
  record.measured = {{"planted", all}, {"right", right}, {"slowest_seconds", slowest}, {"rows", rows}};
  record.outcome = all == right ? results::Outcome{results::Verdict::kPass, ""}
                                : results::Outcome{results::Verdict::kFail,
                                                   fmt::format("{} of {} planted mistakes were not located, classified "
                                                               "and blamed rightly, the first {}",
                                                               all - right, all, first_wrong)};
  fmt::print("{} of {} planted mistakes located, classified and blamed rightly; slowest {:.2f} s\n{}\n", right, all,
             slowest, results::verdict_name(record.outcome.verdict));
}

int run_bisect_verb(const BisectFlags& f, const CommonFlags& flags) {
  if (f.classes) {
    for (const StageClass& row : stage_classes()) fmt::print("{:<20} {}\n", row.stage, row.name);
    return kGreen;
  }
  if (f.model.empty()) throw_invalid("bisect: --model FILE.gguf is required");
  const model::GgufFile file = model::GgufFile::open(f.model);
  ModelAtHand at_hand(file);
  BisectRequest request;
  request.model = &at_hand;
  request.ids = f.input.read(file, at_hand.config.vocab_size);
  const model::EngineOptions base = f.engine.options(flags);
  request.a = traced_side_from_text("--a", f.a, base), request.b = traced_side_from_text("--b", f.b, base);
  if (!f.positions.empty()) {
    const std::vector<int> all = parse_layers(f.positions);
    request.positions.assign(all.begin(), all.end());
  }
  request.layers.assign(flags.layers.begin(), flags.layers.end());
  request.span = f.span, request.kv_aligned = f.kv_aligned == 1;
  request.seed = flags.seed;
  plant(request, f);

  std::vector<std::string> command = {"./greta"};
  command.insert(command.end(), flags.invocation.begin(), flags.invocation.end());
  const std::string repeat = shell_line(command);
  results::Store store(flags.json, environment_here(), flags.invocation);
  store.plan(1);
  results::Record record;
  record.kind = "bisect", record.kernel = "model", record.tier = "M", record.seed = flags.seed, record.repeat = repeat;
  record.case_name = fmt::format("{} vs {}", f.a, f.b);
  record.problem = fmt::format("model={} tokens={}", f.model, request.ids.size());
  const auto id = store.begin(record);
  if (f.sweep) {
    sweep(request, f, flags, record);
    store.end(id, record);
    return store.exit_code();
  }
  const BisectResult result = run_bisect(request);
  record.measured = result.measured, record.config = result.config, record.outcome = result.outcome;
  record.arithmetic =
      result.b.attention_arithmetic.empty() ? result.a.attention_arithmetic : result.b.attention_arithmetic;
  print_result(request, result, repeat);
  store.end(id, record);
  return store.exit_code();
}

}  // namespace

void register_bisect(Command app, CommonFlags& flags) {
  const Command verb = app.subcommand("bisect", "where two sides of a model part first, and which of them is wrong");
  auto f = std::make_shared<BisectFlags>();
  verb.before_parsing([&flags] { flags.layers_are_used = true; });
  verb.option("--model", f->model, "GGUF file");
  f->input.add(verb, false);
  f->engine.add(verb);
  verb.option("--a", f->a,
              "prefill | decode | chunk:N | batch:N | reference | trace:FILE; knobs of its own after commas")
      .show_default();
  verb.option("--b", f->b, "as --a").show_default();
  verb.option("--positions", f->positions, "positions to compare, e.g. 0,3,5-7 (default: all)");
  verb.option("--span", f->span, "make logits of the last N positions alone, as the gate does (default: of all)")
      .positive();
  verb.option("--kv-aligned", f->kv_aligned,
              "1: earlier KV rows are those that one prefill pass wrote; compared are the rows as copied")
      .one_of({0, 1})
      .show_default();
  verb.option("--plant", f->planting, "plant a mistake: STAGE:LAYER:POSITION[:KIND[:AMOUNT]]");
  verb.option("--defect", f->defect, "plant a defect of the wiring (greta gate --list-defects)");
  verb.option("--defect-side", f->on, "side of --plant and --defect: a, b or both")
      .one_of({"a", "b", "both"})
      .show_default();
  verb.flag("--sweep", f->sweep,
            "plant a mistake at every stage of every layer (--layers), one at a time, and say whether it was found");
  verb.flag("--list-classes", f->classes, "which stage belongs to which class of fault");
  verb.footer(
      "Knobs of a side: kv=, act=, exp=, or an operator with a rung: "
      "decode,kv=bf16,decode_attention=v1\n"
      "Bits are compared where both sides have one arithmetic id and the same types; else, and against the reference, "
      "the\nnoise of the number formats decides. PASS: no point differs.");
  verb.callback([f, &flags] { flags.exit_code = run_bisect_verb(*f, flags); });
}

}  // namespace greta::runners
