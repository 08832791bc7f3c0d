#include "runners/child_process.hpp"

#include <gtest/gtest.h>

#include <csignal>

namespace greta::runners {
namespace {

ChildResult shell(const std::string& script, double limit_s = 20) {
  return run_child(
      {.argv = {"sh", "-c", script}, .limit_s = limit_s, .folder = {}, .environment = {}, .file_size_limit = {}});
}

TEST(ChildProcess, ExitCodeAndBothStreamsComeBack) {
  const ChildResult r = shell("echo out; echo err >&2; exit 7");
  EXPECT_TRUE(r.exited_with(7));
  EXPECT_EQ(r.out, "out\n");
  EXPECT_EQ(r.err, "err\n");
  EXPECT_EQ(r.how_it_ended(), "exit 7");
}

TEST(ChildProcess, SignalIsNoExitCode) {
  const ChildResult r = shell("kill -SEGV $$");
  EXPECT_EQ(r.signal, SIGSEGV);
  for (int code = -1; code < 256; ++code) EXPECT_FALSE(r.exited_with(code));
  EXPECT_NE(r.how_it_ended().find("signal 11"), std::string::npos);
}

TEST(ChildProcess, HangIsEndedWithAllItsChildren) {
  const ChildResult r = shell("sleep 1000 & sleep 1000", 0.3);
  EXPECT_TRUE(r.timed_out);
  EXPECT_LT(r.seconds, 10);
  EXPECT_FALSE(r.exited_with(0));
}

TEST(ChildProcess, ChildThatLeavesAChildBehindIsNotWaitedFor) {
  const ChildResult r = shell("sleep 1000 & echo done", 20);
  EXPECT_TRUE(r.exited_with(0));
  EXPECT_EQ(r.out, "done\n");
  EXPECT_LT(r.seconds, 10);
}

TEST(ChildProcess, MuchOutputIsCutToItsEnd) {
  const ChildResult r = run_child({.argv = {"sh", "-c", "yes 0123456789 | head -c 3000000; echo; echo last"},
                                   .folder = {},
                                   .environment = {},
                                   .file_size_limit = {},
                                   .output_limit = 1000});
  EXPECT_EQ(r.out.size(), 1000u);
  EXPECT_EQ(last_lines(r.out, 1), "last");
}

TEST(ChildProcess, CommandThatIsNotThereIsReported) {
  const ChildResult r =
      run_child({.argv = {"/no/such/program"}, .folder = {}, .environment = {}, .file_size_limit = {}});
  EXPECT_EQ(r.error, "/no/such/program: No such file or directory");
  EXPECT_FALSE(r.exited_with(127)) << "not the shell's 127";
}

TEST(ChildProcess, EnvironmentFolderAndFileLimitReachTheChild) {
  const ChildResult r = run_child({.argv = {"sh", "-c", "echo $GRETA_TEST_WORD; pwd; ulimit -f"},
                                   .folder = "/",
                                   .environment = {{"GRETA_TEST_WORD", "word"}},
                                   .file_size_limit = 1024});
  EXPECT_EQ(r.out.substr(0, 7), "word\n/\n");
  EXPECT_EQ(r.out.find("unlimited"), std::string::npos);
}

TEST(ChildProcess, MemoryIsMeasured) { EXPECT_GT(shell("true").peak_rss_kib, 100); }

TEST(LastLines, TakesWholeLines) {
  EXPECT_EQ(last_lines("a\nb\nc\n", 2), "b\nc");
  EXPECT_EQ(last_lines("a\nb\nc\n", 9), "a\nb\nc");
  EXPECT_EQ(last_lines("", 3), "");
}

TEST(ShellLine, CanBePastedBack) {
  EXPECT_EQ(shell_line({"./greta", "verify", "--repeat", "rope/v1 a seed=3"}),
            "./greta verify --repeat 'rope/v1 a seed=3'");
  EXPECT_EQ(shell_quoted("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_quoted(""), "''");
}

}  // namespace
}  // namespace greta::runners
