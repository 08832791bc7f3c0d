// greta gate: the equivalence gate on a model file.
#include <fmt/format.h>

#include <memory>

#include "model/config.hpp"
#include "results/store.hpp"
#include "runners/child_process.hpp"
#include "runners/command_line.hpp"
#include "runners/gates/equivalence.hpp"
#include "runners/model_input.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

struct GateFlags {
  std::string model;
  IdsInput input;
  EngineFlags engine;
  int64_t span = 0;
  std::string a = "prefill", b = "decode";
  int kv_aligned = 0;
  std::string defect, defect_side = "b";
  bool list_defects = false;
};

DefectSide defect_side_from(const std::string& text) {
  if (text == "a") return DefectSide::kA;
  if (text == "b") return DefectSide::kB;
  return DefectSide::kBoth;
}

void print_diff(const char* label, const LogitsDiff& d) {
  fmt::print("  {:<22} max_abs_diff {:<12.6g} p99 {:<12.6g} top-1 {:<8.4g} KL {:<10.4g} relative {:.4g}, rms {:.4g}\n",
             label, d.max_abs_diff(), d.p99_abs_diff(), d.top1_agreement(), d.kl(), d.max_relative(), d.rms_relative());
}

void print_side(const char* label, const SideRun& run) {
  if (run.side.kind == SideSpec::Kind::kReference) {
    fmt::print("  {} = reference (double precision)\n", label);
    return;
  }
  uint64_t launches = 0;
  for (const auto& row : run.launches) launches += row.count;
  fmt::print("  {} = {:<10} {} tokens, {} launches of {} distinct kernels/shapes, {} attention, {:.2f} s\n", label,
             run.side.text(), run.tokens_fed, launches, run.launches.size(), run.attention_arithmetic, run.seconds);
}

void print_result(const GateRequest& request, const GateResult& result, const std::string& repeat) {
  fmt::print("gate {} against {}: {} positions of {} tokens, kv {}, kv-aligned {}{}\n", request.a.text(),
             request.b.text(), result.measured["positions"].get<int64_t>(), request.ids.size(),
             dtype_name(request.options.kv), request.kv_aligned ? 1 : 0,
             request.defect == model::Defect::kNone
                 ? ""
                 : fmt::format(", defect {}", model::defect_info(request.defect).name));
  print_side("a", result.a);
  print_side("b", result.b);
  if (result.between) print_diff("a against b", *result.between);
  if (result.reference_a) print_diff("a against reference", *result.reference_a);
  if (result.reference_b) print_diff("b against reference", *result.reference_b);
  fmt::print(
      "  bounds on relative     {:.4g} at a position, {:.4g} root mean square (the number formats alone: {:.4g}, "
      "{:.4g})\n",
      result.bound, result.bound_rms, result.noise, result.noise_rms);
  fmt::print("{}{}{}\n", results::verdict_name(result.outcome.verdict), result.outcome.reason.empty() ? "" : ": ",
             result.outcome.reason);
  if (result.outcome.verdict != results::Verdict::kPass) fmt::print("  repeat: {}\n", repeat);
}

int run_gate(const GateFlags& f, const CommonFlags& flags) {
  if (f.list_defects) {
    for (const auto& d : model::defect_table()) fmt::print("{}\n", d.name);
    return kGreen;
  }
  if (f.model.empty()) throw_invalid("gate: --model FILE.gguf is required");
  const model::GgufFile file = model::GgufFile::open(f.model);
  const model::LlamaConfig config = model::read_config(file);
  GateRequest request;
  request.file = &file;
  request.ids = f.input.read(file, config.vocab_size);
  request.span = f.span;
  request.a = side_from_text("--a", f.a), request.b = side_from_text("--b", f.b);
  request.kv_aligned = f.kv_aligned != 0;
  request.options = f.engine.options(flags);
  request.seed = flags.seed;
  if (!f.defect.empty()) request.defect = model::defect_from_name(f.defect).defect;
  request.defect_side = defect_side_from(f.defect_side);

  std::vector<std::string> command = {"./greta"};
  command.insert(command.end(), flags.invocation.begin(), flags.invocation.end());
  const std::string repeat = shell_line(command);

  results::Store store(flags.json, environment_here(), flags.invocation);
  store.plan(1);
  results::Record record;
  record.kind = "gate", record.kernel = "model", record.tier = "M", record.seed = flags.seed, record.repeat = repeat;
  record.case_name = fmt::format("{} vs {} kv={} kv_aligned={}", f.a, f.b, f.engine.kv, f.kv_aligned);
  record.problem = fmt::format("model={} tokens={} span={}", f.model, request.ids.size(), f.span);
  const auto id = store.begin(record);
  const GateResult result = run_equivalence_gate(request);
  record.measured = result.measured, record.config = result.config, record.outcome = result.outcome;
  record.arithmetic =
      result.a.attention_arithmetic.empty() ? result.b.attention_arithmetic : result.a.attention_arithmetic;
  print_result(request, result, repeat);
  store.end(id, record);
  return store.exit_code();
}

}  // namespace

void register_gate(Command app, CommonFlags& flags) {
  const Command verb =
      app.subcommand("gate", "two paths through a model: equal in bits, and right against the double reference");
  auto f = std::make_shared<GateFlags>();
  verb.option("--model", f->model, "GGUF file");
  f->input.add(verb, false);
  f->engine.add(verb);
  verb.option("--span", f->span, "compare the last N positions only (0: all)").not_negative();
  verb.option("--a", f->a, "prefill | decode | chunk:N | batch:N | reference").show_default();
  verb.option("--b", f->b, "as --a").show_default();
  verb.option("--kv-aligned", f->kv_aligned, "1: earlier KV rows are those a prefill pass wrote")
      .one_of({0, 1})
      .show_default();
  verb.option("--defect", f->defect, "plant a defect (--list-defects)");
  verb.option("--defect-side", f->defect_side, "a, b or both").one_of({"a", "b", "both"}).show_default();
  verb.flag("--list-defects", f->list_defects, "names of the defects, one a line");
  verb.footer(
      "PASS needs equal bits between the sides (within one arithmetic id), both sides within the measured bound of "
      "the\n"
      "double-precision reference, and proof that two different programs ran. Anything else is red: exit 1.");
  verb.callback([f, &flags] { flags.exit_code = run_gate(*f, flags); });
}

}  // namespace greta::runners
