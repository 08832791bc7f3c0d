// greta audit instruments.
#include <fmt/format.h>

#include <memory>

#include "runners/audits/audits.hpp"
#include "runners/audits/instruments.hpp"
#include "runners/command_line.hpp"

namespace greta::runners {
namespace {

struct Flags {
  AuditModelFlags model;
  std::string plant;
  bool list = false;
};

int run_instruments(const Flags& f, const CommonFlags& flags) {
  if (f.list) {
    for (const BrokenInstrument& b : broken_instruments()) fmt::print("{:<34} {}\n", b.name, b.what);
    return kGreen;
  }
  if (f.model.model.empty()) throw_invalid("audit instruments: --model FILE.gguf is required");
  const AuditSubject subject = audit_subject(f.model, flags);
  Comparator compare = compare_logits;
  EquivalenceGate gate = run_equivalence_gate;
  if (!f.plant.empty()) {
    const BrokenInstrument& broken = broken_instrument_from_name(f.plant);
    if (broken.compare) compare = broken.compare;
    if (broken.gate) gate = broken.gate;
  }
  AuditRecords records(flags, "instruments", fmt::format("model={} tokens={}", f.model.model, subject.ids.size()),
                       comparator_cases() + gate_check_cases());
  const CaseSink sink = [&](const std::string& name, const std::function<void(results::Record&)>& measure) {
    records.run(name, measure);
  };
  check_comparator(compare, sink);
  check_gate(gate, subject.file, subject.ids, sink);
  return records.exit_code();
}

}  // namespace

void register_audit_instruments(Command audit, CommonFlags& flags) {
  const Command verb =
      audit.subcommand("instruments", "can the comparators and the gate fail? pairs of known difference");
  auto f = std::make_shared<Flags>();
  verb.option("--model", f->model.model, "GGUF file");
  f->model.input.add(verb, false);
  f->model.engine.add(verb);
  verb.option("--plant", f->plant, "put a broken instrument in place (--list), which must turn the audit red");
  verb.flag("--list", f->list, "the broken instruments, one a line");
  verb.callback([f, &flags] { flags.exit_code = run_instruments(*f, flags); });
}

}  // namespace greta::runners
