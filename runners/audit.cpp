// greta audit: one question to the harness or the engine at a time. Each audit is one file runners/audits/<name>.cpp
// and one line in the table below.
#include <fmt/format.h>

#include <utility>

#include "runners/audits/audits.hpp"
#include "runners/child_process.hpp"
#include "runners/command_line.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

using Register = void (*)(Command, CommonFlags&);

// One line an audit, in the order of --help.
constexpr Register kAudits[] = {
    register_audit_determinism, register_audit_fault,      register_audit_copies, register_audit_memory,
    register_audit_matrix,      register_audit_layout,     register_audit_output, register_audit_knobs,
    register_audit_drift,       register_audit_complexity, register_audit_decode, register_audit_contradictions,
    register_audit_instruments, register_audit_defects,
};

}  // namespace

void register_audit(Command app, CommonFlags& flags) {
  const Command verb = app.subcommand("audit", "one question at a time: is it deterministic, are copies right, ...");
  verb.require_subcommand();
  for (const Register add : kAudits) add(verb, flags);
}

void AuditModelFlags::add(Command verb) {
  verb.option("--model", model, "GGUF file").required();
  input.add(verb);
  engine.add(verb);
}

AuditSubject audit_subject(const AuditModelFlags& f, const CommonFlags& flags) {
  model::GgufFile file = model::GgufFile::open(f.model);
  const model::LlamaConfig config = model::read_config(file);
  std::vector<int32_t> ids = f.input.read(file, config.vocab_size);
  if (static_cast<int64_t>(ids.size()) > config.context_length)
    throw_invalid(fmt::format("{} tokens are more than the model's context of {}; shorten the input (--tokens N)",
                              ids.size(), config.context_length));
  return {std::move(file), config, std::move(ids), f.engine.options(flags)};
}

std::vector<std::string> invocation_without_records(const CommonFlags& flags) {
  std::vector<std::string> words;
  for (size_t i = 0; i < flags.invocation.size(); ++i) {
    const std::string& word = flags.invocation[i];
    if (word == "--json" || word == "--report" || word == "--lang")
      ++i;
    else if (!word.starts_with("--json=") && !word.starts_with("--report=") && !word.starts_with("--lang="))
      words.push_back(word);
  }
  return words;
}

AuditRecords::AuditRecords(const CommonFlags& flags, std::string audit, std::string problem, int64_t cases)
    : store_(flags.json, environment_here(), flags.invocation) {
  store_.plan(cases);
  std::vector<std::string> command = invocation_without_records(flags);
  command.insert(command.begin(), "./greta");
  base_.kind = "audit", base_.kernel = std::move(audit), base_.problem = std::move(problem), base_.seed = flags.seed;
  base_.repeat = shell_line(command);
}

void AuditRecords::run(const std::string& case_name, const std::function<void(results::Record&)>& measure) {
  results::Record record = base_;
  record.case_name = case_name;
  const auto id = store_.begin(record);
  record.outcome = {results::Verdict::kIncomplete, "the audit reached no verdict"};
  measure(record);
  fmt::print("{:<10} {}{}{}\n", results::verdict_name(record.outcome.verdict), case_name,
             record.outcome.reason.empty() ? "" : ": ", record.outcome.reason);
  store_.end(id, record);
}

int AuditRecords::exit_code() {
  const int code = store_.exit_code();
  fmt::print("{}\n", results::summary_line(store_.tally()));
  if (code != kGreen) fmt::print("  repeat: {}\n", base_.repeat);
  return code;
}

}  // namespace greta::runners
