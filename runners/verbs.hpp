// The verbs of the greta program and what they share. A verb is one file runners/<verb>.cpp that defines one
// register_<verb>() declared here, and one line in the table of runners/program.cpp. It adds its subcommand with its
// own flags and a callback (runners/command_line.hpp); the callback writes flags.exit_code (kernels/hip/error.hpp lists
// the codes) or throws.
//
//   void register_list(Command app, CommonFlags& flags) {
//     const Command verb = app.subcommand("list", "platform, device, kernels, rungs");
//     verb.callback([&flags] { flags.exit_code = run_list(flags); });
//   }
//
// Common flags may stand before or after the verb. A verb is registered when it works, not before: --help shows only
// what runs.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/hip/ladder.hpp"
#include "kernels/hip/runtime.hpp"
#include "results/record.hpp"

namespace greta::runners {

class Command;  ///< runners/command_line.hpp

/// Exit codes of the program. Errors carry their own (Error::exit_code()).
enum ExitCode : int { kGreen = 0, kRed = 1, kUsage = 2, kPerformance = 3, kInfrastructure = 4, kUnfinished = 5 };

/// Flags every verb understands; what was not given is empty and means the platform's default.
struct CommonFlags {
  std::string json;                          ///< --json FILE: records are appended here; "" writes none
  std::string report;                        ///< --report FILE.md: the close-out report, made from the records
  std::string lang = "en";                   ///< --lang en|es, of the report
  int workers = 0;                           ///< --workers N: host threads that run workgroups; 0: one per core
  std::optional<int> wave;                   ///< --wave 32|64 (host only)
  std::map<std::string, std::string> rungs;  ///< --rung OPERATOR=NAME, repeatable
  std::optional<ExpMode> exp;                ///< --exp hw|portable
  std::optional<hip::ExecConfig::MatrixModel> matrix_model;  ///< --matrix-model cdna3|hopper|fmaf (host only)
  uint64_t seed = 1;                                         ///< --seed N
  bool seed_given = false;                                   ///< so that a verb with its own default can tell
  std::vector<int> layers;       ///< --layers LIST, e.g. 0,3,5-7: ascending, no duplicates; empty: all
  bool layers_are_used = false;  ///< set while parsing by verbs that look at single layers

  int exit_code = kGreen;               ///< written by the verb's callback
  std::vector<std::string> invocation;  ///< the program's arguments, for records and repeat lines
};

/// Adds the common flags to the program.
void add_common_flags(Command app, CommonFlags& flags);

/// Makes the runtime run kernels as the flags say; the program does so before any verb. Throws kInvalidArgument for a
/// flag that only the host platform has.
void apply(const CommonFlags& flags);

/// Platform, device, toolchain and commit, for records. Throws kNoDevice when there is no device of the platform.
results::Environment environment_here();

/// One line a verb, in the order of --help.
void register_demo(Command app, CommonFlags& flags);
void register_test(Command app, CommonFlags& flags);
void register_verify(Command app, CommonFlags& flags);
void register_list(Command app, CommonFlags& flags);
void register_gate(Command app, CommonFlags& flags);
void register_trace(Command app, CommonFlags& flags);
void register_bisect(Command app, CommonFlags& flags);
/// `greta model` and, below it, one function a subcommand, each in its own file (runners/model_<name>.cpp).
void register_model(Command app, CommonFlags& flags);
void register_model_info(Command model, CommonFlags& flags);
void register_model_make(Command model, CommonFlags& flags);
void register_model_quantize(Command model, CommonFlags& flags);
void register_model_tokenize(Command model, CommonFlags& flags);
void register_model_logits(Command model, CommonFlags& flags);
void register_model_generate(Command model, CommonFlags& flags);
void register_bench(Command app, CommonFlags& flags);
void register_isa(Command app, CommonFlags& flags);
/// `greta audit` and, below it, one function an audit (runners/audits/audits.hpp).
void register_audit(Command app, CommonFlags& flags);

/// For verbs that write no records: kInvalidArgument when --json was given, rather than leaving it without effect.
void refuse_records(const CommonFlags& flags, std::string_view verb);

/// "0,3,5-7" -> {0,3,5,6,7}. Throws kInvalidArgument for anything else.
std::vector<int> parse_layers(std::string_view list);

/// The greta program: this process's own file, whatever its name; of a test ("..._test"), greta in the same folder.
std::string program_path();

/// Runs the program: parses, dispatches, turns exceptions into exit codes, prints messages to stderr.
int run_program(int argc, const char* const* argv);

}  // namespace greta::runners
