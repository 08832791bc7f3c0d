// The audits of `greta audit`: one question each, one file each (runners/audits/<name>.cpp), one register function
// each, listed in the table of runners/audit.cpp. And what they share: the model they look at, and their records.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "model/config.hpp"
#include "results/store.hpp"
#include "runners/model_input.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {

/// One line an audit, in the order of --help.
void register_audit_determinism(Command audit, CommonFlags& flags);
void register_audit_fault(Command audit, CommonFlags& flags);  ///< fault, and what belongs to it: planted, probe
void register_audit_copies(Command audit, CommonFlags& flags);
void register_audit_memory(Command audit, CommonFlags& flags);
void register_audit_matrix(Command audit, CommonFlags& flags);
void register_audit_layout(Command audit, CommonFlags& flags);
void register_audit_output(Command audit, CommonFlags& flags);
void register_audit_drift(Command audit, CommonFlags& flags);
void register_audit_complexity(Command audit, CommonFlags& flags);
void register_audit_contradictions(Command audit, CommonFlags& flags);
void register_audit_decode(Command audit, CommonFlags& flags);
void register_audit_defects(Command audit, CommonFlags& flags);
void register_audit_instruments(Command audit, CommonFlags& flags);
/// dtype, batch, kv-aligned, seed, attention.
void register_audit_knobs(Command audit, CommonFlags& flags);

/// Flags of an audit that runs a model: --model, the input, the engine.
struct AuditModelFlags {
  std::string model;
  IdsInput input;
  EngineFlags engine;
  void add(Command verb);
};

/// What those flags name. Throws kInvalidArgument for input the model does not take.
struct AuditSubject {
  model::GgufFile file;
  model::LlamaConfig config;
  std::vector<int32_t> ids;
  model::EngineOptions options;
};
AuditSubject audit_subject(const AuditModelFlags& f, const CommonFlags& flags);

/// Cases of an audit: each is recorded (kind "audit", kernel = the audit's name), judged and printed as one line.
class AuditRecords {
 public:
  /// `problem` is the one line that says what was looked at.
  AuditRecords(const CommonFlags& flags, std::string audit, std::string problem, int64_t cases);
  /// `measure` fills measured, config and outcome; what it leaves alone is INCOMPLETE. An exception of it is one of the
  /// audit's and is not caught.
  void run(const std::string& case_name, const std::function<void(results::Record&)>& measure);
  results::Store& store() { return store_; }
  /// Prints the repeat line when something is red.
  int exit_code();

 private:
  results::Store store_;
  results::Record base_;
};

/// A fresh process launches, copies and checks a little: PASS, or FAIL with what it said. Other words are for tests.
results::Outcome probe_in_child(std::vector<std::string> words = {"audit", "probe"});

/// The program's arguments without --json, --report and --lang: for children and repeat lines.
std::vector<std::string> invocation_without_records(const CommonFlags& flags);

}  // namespace greta::runners
