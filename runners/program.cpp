// The greta program: table of verbs, parsing, and the one place where exceptions become exit codes.
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <new>
#include <optional>
#include <string>

#include "kernels/hip/error.hpp"
#include "results/build_info.hpp"
#include "results/report.hpp"
#include "runners/command_line.hpp"
#include "runners/fault_report.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

using Register = void (*)(Command, CommonFlags&);

// One line a verb, in the order of --help.
constexpr Register kVerbs[] = {
    register_demo,   register_test,  register_verify, register_list, register_gate,  register_trace,
    register_bisect, register_model, register_bench,  register_isa,  register_audit,
};

constexpr const char* kExitCodes =
    "Exit codes: 0 all green; 1 something is red; 2 usage or bad input; 3 performance regression;\n"
    "            4 infrastructure (no device, memory, disk, time limit); 5 planned work not finished.";

int report(const char* what, int code) {
  std::fflush(stdout);
  fmt::print(stderr, "greta: {}\n", what);
  return code;
}

/// --report: the records that it is made from go to a file of their own when no --json names one.
class CloseOut {
 public:
  ~CloseOut() {
    if (!own_.empty()) std::filesystem::remove(own_);
  }
  void prepare(CommonFlags& flags) {
    if (flags.report.empty() || !flags.json.empty()) return;
    std::string name = (std::filesystem::temp_directory_path() / "greta-records-XXXXXX").string();
    const int file = ::mkstemp(name.data());
    if (file < 0) throw Error(ErrorKind::kIo, fmt::format("--report: no temporary file for records: {}", name));
    ::close(file);
    own_ = flags.json = name;
  }
  /// Also of a run that broke off: what it planned and did not end is INCOMPLETE in the report.
  void write(const CommonFlags& flags) const {
    if (flags.report.empty()) return;
    results::write_report(flags.json, flags.report, results::language_from_name(flags.lang), flags.invocation,
                          own_.empty());
    fmt::print("report: {}\n", flags.report);
  }
  /// As write(), when there is an error already: that one counts.
  void try_write(const CommonFlags& flags) const {
    try {
      write(flags);
    } catch (const std::exception&) {
    }
  }

 private:
  std::string own_;
};

int parse_and_run(CommandLine& line, const CommonFlags& flags, int argc, const char* const* argv) {
  const std::optional<Refusal> refusal = line.parse(argc, argv);
  if (!refusal) return flags.exit_code;
  return report(fmt::format("{}\n  verbs: {}\n  next: greta{}{} --help", refusal->what, fmt::join(refusal->verbs, ", "),
                            refusal->verb.empty() ? "" : " ", refusal->verb)
                    .c_str(),
                kUsage);
}

}  // namespace

std::string program_path() {
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
  return self.filename().string().ends_with("_test") ? self.parent_path() / "greta" : self;
}

int run_program(int argc, const char* const* argv) {
  // A full file is an error that write() reports, and a reader that went away is not a crash.
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);

  CommonFlags flags;
  for (int i = 1; i < argc; ++i) flags.invocation.emplace_back(argv[i]);

  CommandLine line("greta", "Greta verifies, gates and times LLM inference kernels for AMD MI300X.",
                   results::build_line());
  const Command program = line.program();
  program.footer(kExitCodes);
  program.fallthrough(true);
  CloseOut close_out;
  line.after_parsing([&] { apply(flags), close_out.prepare(flags); });
  try {
    add_common_flags(program, flags);
    add_fault_flags(program);
    for (const Register add : kVerbs) add(program, flags);
    const int code = parse_and_run(line, flags, argc, argv);
    write_fault_report("");  // of a fault that a verb caught and counted
    if (code != kUsage) close_out.write(flags);
    if (std::fflush(stdout) != 0 || std::ferror(stdout))
      return report("standard output could not be written (disk full or reader gone)", kInfrastructure);
    return code;
  } catch (const Error& error) {
    write_fault_report(error.what());
    close_out.try_write(flags);
    return report(error.what(), error.exit_code());
  } catch (const std::bad_alloc&) {
    close_out.try_write(flags);
    return report("out of host memory", kInfrastructure);
  } catch (const std::exception& error) {
    return report(fmt::format("internal error: {}", error.what()).c_str(), kInfrastructure);
  }
}

}  // namespace greta::runners
