// The program from outside: flags, messages, exit codes.
#include <gtest/gtest.h>

#include <filesystem>

#include "kernels/hip/error.hpp"
#include "runners/child_process.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

ChildResult greta(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), program_path());
  return run_child({.argv = arguments, .limit_s = 60, .folder = {}, .environment = {}, .file_size_limit = {}});
}

TEST(Layers, ListIsRead) {
  EXPECT_EQ(parse_layers("3"), (std::vector<int>{3}));
  EXPECT_EQ(parse_layers("0,3,5-7"), (std::vector<int>{0, 3, 5, 6, 7}));
  EXPECT_EQ(parse_layers("7,5-7,5"), (std::vector<int>{5, 6, 7}));
  for (const char* bad : {"", ",", "1,", "-1", "1-", "a", "1.5", "5-3", "1--2", " 1", "99999999999"})
    EXPECT_THROW(parse_layers(bad), Error) << bad;
}

TEST(Program, HelpAndVersionAreGreen) {
  const ChildResult help = greta({"--help"});
  EXPECT_TRUE(help.exited_with(0)) << help.how_it_ended();
  for (const char* flag : {"--json", "--workers", "--wave", "--rung", "--exp", "--matrix-model", "--seed", "--layers"})
    EXPECT_NE(help.out.find(flag), std::string::npos) << flag;
  const ChildResult version = greta({"--version"});
  EXPECT_TRUE(version.exited_with(0));
  EXPECT_EQ(version.out.find("greta "), 0u) << version.out;
}

TEST(Program, UsageErrorsExit2WithAMessage) {
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"no-such-verb"},
      {"--no-such-flag"},
      {"--wave", "48", "test"},
      {"--wave"},
      {"--exp", "fast", "test"},
      {"--matrix-model", "cdna9", "test"},
      {"--workers", "-1", "test"},
      {"--workers", "many", "test"},
      {"--seed", "-1", "test"},
      {"--seed", "1.5", "test"},
      {"--seed", "99999999999999999999", "test"},
      {"--layers", "5-3", "test"},
      {"--rung", "rope", "test"},
      {"--rung", "rope=v1", "--rung", "rope=v2", "test"},
  };
  for (const std::vector<std::string>& arguments : wrong) {
    const ChildResult r = greta(arguments);
    EXPECT_TRUE(r.exited_with(2)) << shell_line(arguments) << ": " << r.how_it_ended() << r.out;
    EXPECT_EQ(r.err.find("greta: "), 0u) << shell_line(arguments) << ": " << r.err;
  }
}

TEST(Program, OutputThatCannotBeWrittenExits4) {
  const ChildResult r = run_child({.argv = {"sh", "-c", shell_quoted(program_path()) + " --help >/dev/full"},
                                   .folder = {},
                                   .environment = {},
                                   .file_size_limit = {}});
  EXPECT_TRUE(r.exited_with(4)) << r.how_it_ended();
}

}  // namespace
}  // namespace greta::runners
