// greta isa: what the gfx942 code of every kernel says about its speed, without an MI300X; and, with --export, cases on
// which any executor of gfx942 code can run it.
#include <fmt/format.h>

#include <map>
#include <memory>
#include <regex>
#include <utility>

#include "kernels/hip/error.hpp"
#include "results/store.hpp"
#include "runners/command_line.hpp"
#include "runners/isa/export.hpp"
#include "runners/isa/gate.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

using results::Verdict;

struct Options {
  std::string filter, reason, export_folder;
  bool rebaseline = false, goals = false, planted = false;
};

std::string baseline_path() { return std::string(GRETA_SOURCE_DIR) + "/results/baselines/gfx942/isa.json"; }

isa::CodeObject read_object(const isa::Toolchain& tools, const std::string& name) {
  return isa::read_code_object(tools, name, fmt::format("{}/{}.co", tools.folder, name));
}

std::vector<isa::CodeObject> read_objects(const isa::Toolchain& tools) {
  std::vector<isa::CodeObject> objects;
  for (const std::string& name : tools.objects) objects.push_back(read_object(tools, name));
  return objects;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view("()[]{}.*+?^$|\\").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

results::Record record_of(const isa::Judged& j) {
  results::Record record;
  record.kind = "isa";
  record.kernel = j.object.substr(0, j.object.find('/'));
  record.rung = j.object.substr(j.object.find('/') + 1);
  record.case_name = j.kernel->name;
  record.repeat = fmt::format("greta isa --filter '^{}$'", escaped(j.key()));
  record.measured = results::Json::object();
  record.measured["symbol"] = j.kernel->symbol;
  record.measured["class"] = j.row ? isa::kind_name(j.row->kind) : "none";
  for (const isa::FigureInfo& info : isa::figure_table())
    if (const auto f = j.report.figures.find(info.name); f != j.report.figures.end())
      record.measured[info.name] = f->second;
  record.measured["waived"] = j.judgement.waived;
  if (j.judgement.red.empty())
    record.outcome = {Verdict::kPass, ""};
  else
    record.outcome = {Verdict::kFail, fmt::format("{}", fmt::join(j.judgement.red, "; "))};
  return record;
}

results::Environment environment_of(const isa::Toolchain& tools) {
  return results::build_environment("gfx942 code objects by " + tools.compiler);
}

void rebaseline(const isa::Toolchain& tools, const std::vector<isa::Judged>& judged, const std::string& reason) {
  isa::Baseline baseline{tools.compiler, reason, {}};
  for (const isa::Judged& j : judged) baseline.kernels[j.key()] = j.report.figures;
  isa::write_baseline(baseline_path(), baseline);
  fmt::print("{}: {} kernels, {}\n", baseline_path(), baseline.kernels.size(), tools.compiler);
}

void print_table(const std::vector<isa::Judged>& judged, bool goals) {
  std::map<isa::Kind, std::vector<const isa::Judged*>> by_kind;
  for (const isa::Judged& j : judged) by_kind[j.row ? j.row->kind : isa::Kind::kHardOnly].push_back(&j);
  for (const auto& [kind, kernels] : by_kind) {
    fmt::print("\n{}\n", isa::table_head(kind));
    for (const isa::Judged* j : kernels) {
      fmt::print("{}\n", isa::table_line(*j));
      for (const std::string& line : j->judgement.red) fmt::print("      RED {}\n", line);
      if (goals)
        for (const std::string& line : j->judgement.goals) fmt::print("      goal {}\n", line);
    }
  }
  std::map<std::string, std::pair<int, std::string>> waived;  // one line a reason
  for (const isa::Judged& j : judged)
    for (const std::string& line : j.judgement.waived) {
      auto& row = waived[fmt::format("{} {}", j.object, line.substr(line.rfind(": ") + 2))];
      ++row.first, row.second = line;
    }
  if (!waived.empty()) fmt::print("\nshort of the class, and why:\n");
  for (const auto& [key, row] : waived)
    fmt::print("  {} ({} kernels): {}\n", key.substr(0, key.find(' ')), row.first, row.second);
}

int run_gate(const Options& options, const CommonFlags& flags) {
  if (options.rebaseline && options.reason.empty())
    throw_invalid("greta isa --rebaseline: needs --reason TEXT, which is committed with the figures");
  if (options.rebaseline && !options.filter.empty())
    throw_invalid("greta isa --rebaseline: writes the figures of all kernels; leave --filter out");
  const std::regex filter(options.filter);
  const isa::Toolchain tools = isa::build_objects("gfx942_objects");
  const std::vector<isa::CodeObject> objects = read_objects(tools);

  std::optional<isa::Baseline> baseline;
  if (!options.rebaseline) baseline = isa::read_baseline(baseline_path());
  const bool same_compiler = baseline && baseline->compiler == tools.compiler;
  const isa::Baseline* const compared = same_compiler ? &*baseline : nullptr;
  std::vector<isa::Judged> judged = isa::judge_objects(tools, objects, isa::manifest(), compared);
  const std::vector<std::string> idle = isa::idle_entries(judged, isa::manifest(), compared);
  if (options.rebaseline) rebaseline(tools, judged, options.reason);
  std::erase_if(judged, [&](const isa::Judged& j) { return !std::regex_search(j.key(), filter); });
  if (judged.empty()) throw_invalid(fmt::format("greta isa: no kernel matches '{}'", options.filter));

  results::Store store(flags.json, environment_of(tools), flags.invocation);
  const bool whole = options.filter.empty();
  store.plan(static_cast<int64_t>(judged.size()) + whole);
  fmt::print("greta isa: {} kernels for gfx942, {}\n", judged.size(), tools.compiler);
  print_table(judged, options.goals);
  for (const isa::Judged& j : judged) {
    const results::Record record = record_of(j);
    store.end(store.begin(record), record);
  }
  if (whole) {
    results::Record record;
    record.kind = "isa", record.case_name = "manifest and baseline";
    record.repeat = "greta isa";
    record.outcome = idle.empty() ? results::Outcome{Verdict::kPass, ""}
                                  : results::Outcome{Verdict::kFail, fmt::format("{}", fmt::join(idle, "; "))};
    for (const std::string& line : idle) fmt::print("RED {}\n", line);
    store.end(store.begin(record), record);
  }
  if (!same_compiler && !options.rebaseline)
    fmt::print("\ndrift rule not applied: the baseline is of {}, this is {}\n", baseline->compiler, tools.compiler);
  fmt::print("\n{}\n", results::summary_line(store.tally()));
  return store.exit_code();
}

int run_isa(const Options& options, const CommonFlags& flags) {
  if (hip::platform_name() != "host")
    throw_invalid(
        "greta isa is for the host build: it reads code objects and runs kernels on the CPU; next: "
        "./greta --platform host isa");
  if (!options.reason.empty() && !options.rebaseline) throw_invalid("greta isa: --reason goes with --rebaseline");
  if (options.planted && options.export_folder.empty()) throw_invalid("greta isa: --planted goes with --export DIR");
  if (options.export_folder.empty()) return run_gate(options, flags);
  if (options.rebaseline) throw_invalid("greta isa: --export and --rebaseline are two runs");
  if (options.planted) {
    refuse_records(flags, "isa --export DIR --planted");
    const isa::Toolchain tools = isa::build_objects("gfx942_defects");
    isa::export_planted_cases({.folder = options.export_folder, .filter = options.filter, .seed = flags.seed},
                              {read_object(tools, "defects/defective_attention")});
    return kGreen;
  }
  const isa::Toolchain tools = isa::build_objects("gfx942_objects");
  results::Store store(flags.json, environment_of(tools), flags.invocation);
  isa::export_cases({.folder = options.export_folder, .filter = options.filter, .seed = flags.seed}, tools,
                    read_objects(tools), store);
  fmt::print("{}\n", results::summary_line(store.tally()));
  return store.exit_code();
}

}  // namespace

void register_isa(Command app, CommonFlags& flags) {
  const Command verb = app.subcommand("isa", "what the gfx942 code of every kernel says, without an MI300X");
  auto options = std::make_shared<Options>();
  verb.option("--filter", options->filter, "only kernels (\"object name\"), or exported cases, that match")
      .type_name("RE");
  verb.flag("--goals", options->goals, "also say which goals of its class a green kernel misses");
  verb.flag("--rebaseline", options->rebaseline, "write results/baselines/gfx942/isa.json anew");
  verb.option("--reason", options->reason, "with --rebaseline: why figures may change").type_name("TEXT");
  verb.option("--export", options->export_folder,
              "write code objects, inputs, poisoned outputs and expected outputs with a manifest.json")
      .type_name("DIR");
  verb.flag("--planted", options->planted,
            "with --export: wrong kernels beside their sound twin, which an executor must tell apart");
  verb.callback([&flags, options] { flags.exit_code = run_isa(*options, flags); });
}

}  // namespace greta::runners
