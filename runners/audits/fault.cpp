// greta audit fault: who is to blame for a fault of `greta ARGS`? And, beside it, the programs with planted faults that
// it is proved on, and the probe of the device that stands between a fault and the next run.
#include <fmt/format.h>

#include <memory>

#include "kernels/hip/planted_programs.hpp"
#include "runners/audits/audits.hpp"
#include "runners/command_line.hpp"
#include "runners/fault_attribution.hpp"
#include "runners/fault_report.hpp"

namespace greta::runners {
namespace {

using results::Verdict;

struct Flags {
  std::vector<std::string> arguments;
  double limit_s = 120;
  std::string plant;
};

results::Json runs_of(const Attribution& a) {
  results::Json runs = results::Json::array();
  for (const FaultRun& r : a.runs)
    runs.push_back({{"how", r.how},
                    {"ended", r.child.how_it_ended()},
                    {"seconds", r.child.seconds},
                    {"faulted", r.faulted()},
                    {"launches_begun", r.flight ? r.flight->begun : 0}});
  return runs;
}

/// What is to blame, in a few words.
std::string named(const Attribution& a) {
  const hip::FaultReport& f = a.report;
  if (a.kind == Attribution::Kind::kBetween)
    return a.runs.back().flight ? fmt::format("after launch #{}", a.runs.back().flight->begun) : "outside launches";
  std::string text = f.launch ? fmt::format("launch #{} {}", f.launch, f.kernel) : f.kernel;
  if (!f.argument.empty() && a.kind == Attribution::Kind::kNamed) text += fmt::format(", argument '{}'", f.argument);
  if (!f.buffer.empty() && a.kind == Attribution::Kind::kNamed) text += fmt::format(", buffer '{}'", f.buffer);
  return text;
}

int run_fault(const Flags& f, const CommonFlags& flags) {
  if (f.arguments.empty()) throw_invalid("audit fault: nothing to run; give the arguments of greta after --");
  if (f.arguments.front() == "audit" && f.arguments.size() > 1 && f.arguments[1] == "fault")
    throw_invalid("audit fault: cannot look into itself; give another verb after --");
  AuditRecords records(flags, "fault", "greta " + shell_line(f.arguments), 2);
  records.run("fault", [&](results::Record& r) {
    const Attribution a = attribute_fault(f.arguments, f.limit_s);
    r.measured = {{"attribution", attribution_name(a.kind)}, {"runs", runs_of(a)}};
    r.measured["fault"] = to_json(a.report);
    r.measured["suspects"] = a.candidates;
    if (a.kind != Attribution::Kind::kNone) {
      r.outcome = {Verdict::kFail, a.text()}, r.measured["named"] = named(a);
      return;
    }
    // No fault is found in a command that did not run.
    const ChildResult& child = a.runs.front().child;
    if (child.exited_with(kUsage)) throw_invalid("audit fault: the command was refused: " + last_lines(child.err, 12));
    if (child.exited_with(kInfrastructure) || child.exited_with(kUnfinished))
      r.outcome = {Verdict::kIncomplete, fmt::format("{}: {}", child.how_it_ended(), last_lines(child.err, 4))};
    else
      r.outcome = {Verdict::kPass, ""}, fmt::print("{}\n", a.text());
  });
  records.run("device after the fault", [&](results::Record& r) { r.outcome = probe_in_child(); });
  return records.exit_code();
}

int run_planted(const Flags& f) {
  for (const hip::PlantedProgram& p : hip::planted_programs())
    if (p.name == f.plant) {
      p.run();
      fmt::print("{}: no fault\n", p.name);
      return kGreen;
    }
  std::string names;
  for (const hip::PlantedProgram& p : hip::planted_programs()) names += fmt::format("\n  {:<15} {}", p.name, p.what);
  throw_invalid(fmt::format("audit planted {}: no such program; there are:{}", f.plant, names));
}

}  // namespace

results::Outcome probe_in_child(std::vector<std::string> words) {
  words.insert(words.begin(), program_path());
  const ChildResult child =
      run_child({.argv = words, .limit_s = 60, .folder = {}, .environment = {}, .file_size_limit = {}});
  if (child.exited_with(kGreen)) return {Verdict::kPass, ""};
  return {Verdict::kFail, fmt::format("probe of the device: {}; {}", child.how_it_ended(), last_lines(child.err, 4))};
}

void register_audit_fault(Command audit, CommonFlags& flags) {
  auto f = std::make_shared<Flags>();
  const Command verb = audit.subcommand("fault", "run `greta ARGS`, and name the launch to blame if it faults");
  verb.option("arguments", f->arguments, "after --: verb and flags of greta");
  verb.option("--limit", f->limit_s, "seconds for each run").positive().show_default();
  verb.footer(
      "Runs the command in a fresh process; when it faults, again with guard zones looked at and a wait after every\n"
      "launch; when that takes the fault away, with waits after the first N launches only, N found by bisection.\n"
      "Example: greta audit fault -- gate --model M.gguf --prompt 'x y'");
  verb.callback([f, &flags] { flags.exit_code = run_fault(*f, flags); });

  auto p = std::make_shared<Flags>();
  const Command planted = audit.subcommand("planted", "a program with one planted fault, to try audit fault on");
  planted.option("name", p->plant, "which; a wrong name lists them").required();
  planted.callback([p, &flags] {
    refuse_records(flags, "audit planted");
    flags.exit_code = run_planted(*p);
  });

  const Command probe = audit.subcommand("probe", "does the device do what it is asked?");
  probe.callback([&flags] {
    refuse_records(flags, "audit probe");
    hip::probe_device();
    fmt::print("{}: answers\n", hip::device_info().name);
  });
}

}  // namespace greta::runners
