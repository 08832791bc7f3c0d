// greta audit defects.
#include <fmt/format.h>

#include <fstream>
#include <memory>
#include <regex>
#include <set>

#include "runners/audits/audits.hpp"
#include "runners/audits/defects.hpp"
#include "runners/command_line.hpp"

namespace greta::runners {
namespace {

struct Flags {
  AuditModelFlags model;
  std::string filter, markdown;
  bool list = false, every_gate = false, one_each = false;
};

std::vector<DefectRow> chosen(const Flags& f) {
  std::vector<DefectRow> rows = defect_catalogue();
  try {
    const std::regex wanted(f.filter);
    std::erase_if(rows, [&](const DefectRow& row) { return !std::regex_search(row.room + "/" + row.name, wanted); });
  } catch (const std::regex_error& error) {
    throw_invalid(fmt::format("--filter '{}': {}", f.filter, error.what()));
  }
  std::set<std::string> gates;
  if (f.one_each) std::erase_if(rows, [&](const DefectRow& row) { return !gates.insert(row.gate).second; });
  if (rows.empty()) throw_invalid(fmt::format("--filter '{}': no defect; --list shows them", f.filter));
  return rows;
}

int run_defects(const Flags& f, const CommonFlags& flags) {
  const std::vector<DefectRow> rows = chosen(f);
  if (f.list) {
    for (const DefectRow& row : rows)
      fmt::print("{:<34} {:<11} {:<18} {}\n", row.name, row.room, row.gate, row.command);
    return kGreen;
  }
  if (f.model.model.empty()) throw_invalid("audit defects: --model FILE.gguf is required");
  const AuditSubject subject = audit_subject(f.model, flags);
  if (subject.ids.size() < 8) throw_invalid(fmt::format("audit defects: {} tokens, wanted 8", subject.ids.size()));
  ModelAtHand at_hand(subject.file);
  DefectBench bench{&at_hand, subject.ids, f.every_gate};
  AuditRecords records(flags, "defects", fmt::format("model={} tokens={}", f.model.model, subject.ids.size()),
                       static_cast<int64_t>(rows.size()) + 1);
  DefectSummary sum;
  std::vector<DefectResult> results;
  for (const DefectRow& row : rows)
    records.run(fmt::format("{} {}", row.room, row.name), [&](results::Record& record) {
      const DefectResult result = try_defect(row, bench);
      results.push_back(result);
      ++sum.defects, sum.caught += result.caught, sum.placed += result.placed;
      record.measured = {{"sound", result.sound}, {"caught", result.caught}, {"caught_by", result.by},
                         {"named", result.place}, {"wanted", row.place},     {"placed", result.placed},
                         {"gates", result.gates}, {"room", row.room},        {"command", "./" + row.command}};
      fmt::print("  caught by {:<24} placed at {}{}\n", result.caught ? result.by : "NOTHING",
                 result.place.empty() ? "-" : result.place,
                 result.placed ? "" : fmt::format(" (it is at {})", row.place));
      record.outcome =
          result.caught ? results::Outcome{results::Verdict::kPass, ""}
                        : results::Outcome{
                              results::Verdict::kFail,
                              fmt::format("{}: {} ({})",
                                          result.sound == "green" ? "nothing caught it" : "red without the defect too",
                                          row.what, result.sound == "green" ? row.gate : result.sound)};
    });
  records.run("all", [&](results::Record& record) {
    record.measured = {{"defects", sum.defects}, {"caught", sum.caught}, {"placed", sum.placed}};
    fmt::print("  {} defects, {} caught, {} placed\n", sum.defects, sum.caught, sum.placed);
    record.outcome = sum.outcome();
  });
  if (!f.markdown.empty()) {
    std::ofstream out(f.markdown);
    out << defects_page(rows, results) << std::flush;
    if (!out) throw Error(ErrorKind::kIo, fmt::format("--markdown {}: could not be written", f.markdown));
  }
  return records.exit_code();
}

}  // namespace

void register_audit_defects(Command audit, CommonFlags& flags) {
  const Command verb =
      audit.subcommand("defects", "every seeded defect: what catches it, and does that name the place?");
  auto f = std::make_shared<Flags>();
  verb.option("--model", f->model.model, "GGUF file");
  f->model.input.add(verb, false);
  f->model.engine.add(verb);
  verb.option("--filter", f->filter,
              "regular expression on ROOM/NAME: kernel, wiring, loader, copy, knob, stage, memory, fault,\n"
              "determinism, contradiction, time, trace, readout, process, comparator, gate");
  verb.flag("--every-gate", f->every_gate,
            "try every gate that takes the defect, not only the one that must see it; the others on a\n"
            "small made model");
  verb.flag("--one-each", f->one_each, "the first defect of every gate alone: a quick look at each of them");
  verb.option("--markdown", f->markdown, "write the table to FILE");
  verb.flag("--list", f->list, "the catalogue: name, room, what must catch it, the command that shows it");
  verb.callback([f, &flags] { flags.exit_code = run_defects(*f, flags); });
}

}  // namespace greta::runners
