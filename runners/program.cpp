// The greta program: table of verbs, parsing, and the one place where exceptions become exit codes.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <new>

#include "kernels/hip/error.hpp"
#include "results/build_info.hpp"
#include "runners/fault_report.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

using Register = void (*)(CLI::App&, CommonFlags&);

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

std::string verb_names(CLI::App& app) {
  std::string names;
  for (const CLI::App* verb : app.get_subcommands([](CLI::App*) { return true; }))
    names += (names.empty() ? "" : ", ") + verb->get_name();
  return names.empty() ? "none yet" : names;
}

int parse_and_run(CLI::App& app, CommonFlags& flags, int argc, const char* const* argv) {
  try {
    app.parse(argc, argv);
    if (app.get_subcommands().empty()) throw CLI::RequiredError("A verb");
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return app.exit(error);
    const std::string verb = app.get_subcommands().empty() ? "" : " " + app.get_subcommands().front()->get_name();
    return report(fmt::format("{}\n  verbs: {}\n  next: greta{} --help", error.what(), verb_names(app), verb).c_str(),
                  kUsage);
  }
  return flags.exit_code;
}

}  // namespace

std::string program_path() { return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "greta"; }

int run_program(int argc, const char* const* argv) {
  // A full file is an error that write() reports, and a reader that went away is not a crash.
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);

  CommonFlags flags;
  for (int i = 1; i < argc; ++i) flags.invocation.emplace_back(argv[i]);

  CLI::App app("Greta verifies, gates and times LLM inference kernels for AMD MI300X.", "greta");
  app.set_version_flag("--version", results::build_line());
  app.footer(kExitCodes);
  app.fallthrough();
  app.parse_complete_callback([&flags] { apply(flags); });  // before the verb's own callback
  try {
    add_common_flags(app, flags);
    add_fault_flags(app);
    for (const Register add : kVerbs) add(app, flags);
    const int code = parse_and_run(app, flags, argc, argv);
    write_fault_report("");  // of a fault that a verb caught and counted
    if (std::fflush(stdout) != 0 || std::ferror(stdout))
      return report("standard output could not be written (disk full or reader gone)", kInfrastructure);
    return code;
  } catch (const Error& error) {
    write_fault_report(error.what());
    return report(error.what(), error.exit_code());
  } catch (const std::bad_alloc&) {
    return report("out of host memory", kInfrastructure);
  } catch (const std::exception& error) {
    return report(fmt::format("internal error: {}", error.what()).c_str(), kInfrastructure);
  }
}

}  // namespace greta::runners
