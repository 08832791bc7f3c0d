// Each lint twice: on planted violations, which it must find, and on this tree, in which it must find none.
#include "runners/source_lints.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <regex>

#include "kernels/hip/error.hpp"
#include "runners/child_process.hpp"

namespace greta::runners {
namespace {

const std::vector<SourceFile>& tree() {
  static const std::vector<SourceFile> files = read_sources(GRETA_SOURCE_DIR);
  return files;
}

testing::AssertionResult none(const Findings& findings) {
  if (findings.empty()) return testing::AssertionSuccess();
  return testing::AssertionFailure() << findings.size() << " findings:\n"
                                     << fmt::format("{}", fmt::join(findings, "\n"));
}

TEST(Sources, AreFound) {
  EXPECT_GT(tree().size(), 40u);
  EXPECT_TRUE(
      std::any_of(tree().begin(), tree().end(), [](const auto& f) { return f.path == "kernels/hip/error.hpp"; }));
  EXPECT_THROW(read_sources("/nonexistent"), Error);
}

TEST(WithoutComments, KnowsTheLexer) {
  EXPECT_EQ(without_comments("a // b\nc", true), "a     \nc");
  EXPECT_EQ(without_comments("a /* b\n */ c", true), "a     \n    c");
  EXPECT_EQ(without_comments("f(\"//\"); // x", true), "f(\"//\");     ");
  EXPECT_EQ(without_comments("f(\"a\\\"b\"); g", false), "f(      ); g");
  EXPECT_EQ(without_comments("'\"' a // b", false), "    a     ");
  EXPECT_EQ(without_comments("1'000'000; // b", false), "1'000'000;     ");
  EXPECT_EQ(without_comments("R\"x(\" // )x\" a", false), "R            a");
}

TEST(RawCalls, PlantedOnesAreFound) {
  for (const char* call :
       {"hipMalloc(&p, n);", "  hipMemcpyAsync(a, b, n);", "hipLaunchKernelGGL(k, g, b, 0, s);", "x = hipFree(p);",
        "cudaMemcpy(a, b, n);", "kernel<<<1, 2>>>(p);", "::hipDeviceSynchronize();"})
    EXPECT_EQ(lint_raw_calls({{"model/weights.cpp", std::string("int a;\n") + call}}).size(), 1u) << call;
  const Findings found = lint_raw_calls({{"kernels/rope/v1.hip", "\n\nhipFree(p);\n"}});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].find("kernels/rope/v1.hip:3: 'hipFree'"), 0u) << found[0];
}

TEST(RawCalls, WordsAreNoCalls) {
  EXPECT_TRUE(
      none(lint_raw_calls({{"model/a.cpp", "// hipMalloc(x)\n/* k<<<1>>> */ f(\"hipFree failed\"); int chip; a << b;"},
                           {"kernels/hip/rocm/runtime.cpp", "hipMalloc(&p, n);"}})));
}

TEST(RawCalls, NoneInThisTree) { EXPECT_TRUE(none(lint_raw_calls(tree()))); }

TEST(Includes, ArrowThatRunsUpIsFound) {
  const SourceFile error{"kernels/hip/error.hpp", ""}, rope{"kernels/rope/rope.hpp", ""},
      tile{"kernels/tile/wave.hpp", ""}, record{"results/record.hpp", ""}, verify{"verify/compare.hpp", ""},
      verbs{"runners/verbs.hpp", ""};
  const auto count = [&](const std::string& path, const std::string& target) {
    return lint_includes({error, rope, tile, record, verify, verbs, {path, "\n#include \"" + target + "\"\n"}}).size();
  };
  EXPECT_EQ(count("kernels/hip/a.cpp", "kernels/tile/wave.hpp"), 1u);
  EXPECT_EQ(count("kernels/tile/a.cpp", "kernels/rope/rope.hpp"), 1u);
  EXPECT_EQ(count("kernels/rope/a.hip", "results/record.hpp"), 1u);
  EXPECT_EQ(count("results/a.cpp", "verify/compare.hpp"), 1u);
  EXPECT_EQ(count("model/a.cpp", "runners/verbs.hpp"), 1u);
  EXPECT_EQ(count("runners/a.cpp", "kernels/hip/error.hpp"), 0u);
  EXPECT_EQ(count("kernels/rope/a.hip", "kernels/tile/wave.hpp"), 0u);
  EXPECT_EQ(count("verify/a.cpp", "results/record.hpp"), 0u);
}

TEST(Includes, FindingSaysWhereAndWhat) {
  const Findings found = lint_includes(
      {{"verify/compare.hpp", ""}, {"kernels/rope/v1.hip", "// rope\n#include \"verify/compare.hpp\"\n"}});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0],
            "kernels/rope/v1.hip:2: kernels/rope includes \"verify/compare.hpp\": an arrow that runs up (verify "
            "lies above kernels/rope)");
}

TEST(Includes, CommentedIncludeIsNone) {
  EXPECT_TRUE(
      none(lint_includes({{"verify/compare.hpp", ""}, {"kernels/hip/a.cpp", "// #include \"verify/compare.hpp\""}})));
}

TEST(Includes, FileOutsideTheTreeIsFound) {
  EXPECT_EQ(lint_includes({{"model/a.cpp", "#include \"gguf.hpp\""}}).size(), 1u) << "not from the root";
  EXPECT_EQ(lint_includes({{"newroom/a.cpp", ""}}).size(), 1u) << "a room without a layer";
}

TEST(Includes, ReferenceReachesNoRuntimeAlsoNotThroughOthers) {
  const SourceFile runtime{"kernels/hip/runtime.hpp", ""},
      rope{"kernels/rope/rope.hpp", "#include \"kernels/hip/runtime.hpp\""}, plain{"kernels/hip/dtype.hpp", ""};
  const auto count = [&](const std::string& path, const std::string& text) {
    return lint_includes({runtime, rope, plain, {path, text}}).size();
  };
  EXPECT_EQ(count("reference/rope.cpp", "#include \"kernels/hip/runtime.hpp\""), 1u);
  EXPECT_EQ(count("reference/rope.cpp", "#include \"kernels/rope/rope.hpp\""), 1u);
  EXPECT_EQ(count("kernels/rope/rope_problem.hpp", "#include \"kernels/rope/rope.hpp\""), 1u);
  EXPECT_EQ(count("reference/rope.cpp", "#include \"kernels/hip/dtype.hpp\""), 0u);
}

TEST(Includes, CircleOfOperatorsIsFound) {
  const SourceFile a{"kernels/a/a.hpp", "#include \"kernels/b/b.hpp\""},
      c{"kernels/c/c.hpp", "#include \"kernels/a/a.hpp\""};
  EXPECT_EQ(lint_includes({a, c, {"kernels/b/b.hpp", ""}}).size(), 0u);
  EXPECT_EQ(lint_includes({a, c, {"kernels/b/b.hpp", "#include \"kernels/c/c.hpp\""}}).size(), 1u);
}

TEST(Includes, NoneRunsUpInThisTree) { EXPECT_TRUE(none(lint_includes(tree()))); }

TEST(CommandLineLibrary, SecondFileThatIncludesItIsFound) {
  const std::string include = "#include <CLI/CLI.hpp>\n";
  const Findings found = lint_command_line_library({{"runners/list.cpp", "\n" + include}});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].find("runners/list.cpp:2: '#include <CLI/CLI.hpp>'"), 0u) << found[0];
  EXPECT_EQ(lint_command_line_library({{"bench/a.hpp", "  # include <CLI/App.hpp>"}}).size(), 1u);
  EXPECT_TRUE(
      none(lint_command_line_library({{"runners/command_line.cpp", include}, {"model/a.cpp", "// " + include}})));
}

TEST(CommandLineLibrary, OneFileOfThisTreeIncludesIt) { EXPECT_TRUE(none(lint_command_line_library(tree()))); }

TEST(Length, LongFileIsFound) {
  std::string text(kMaxLines, '\n');
  EXPECT_TRUE(none(lint_length({{"model/a.cpp", text}})));
  EXPECT_EQ(lint_length({{"model/a.cpp", text + "\n"}}).size(), 1u);
}

TEST(Length, WideLineIsFound) {
  EXPECT_TRUE(none(lint_length({{"model/a.cpp", std::string(kMaxColumns - 1, 'a') + "\u00e4\n"}})));
  EXPECT_EQ(lint_length({{"model/a.cpp", "\n" + std::string(kMaxColumns + 1, 'a')}}).size(), 1u);
}

TEST(Length, NoneInThisTree) { EXPECT_TRUE(none(lint_length(tree()))); }

TEST(QuietKernels, LoudOneIsFound) {
  for (const char* call : {"printf(\"x\");", "std::cout << 1;", "fmt::print(\"x\");", "std::getenv(\"X\");", "exit(1);",
                           "std::abort();", "_exit ( 2 );", "fprintf(stderr, \"x\");"})
    EXPECT_EQ(lint_quiet_kernels({{"kernels/rope/v1.hip", call}}).size(), 1u) << call;
  EXPECT_TRUE(none(lint_quiet_kernels({{"kernels/rope/v1.hip", "// printf\nsnprintf(a, 2, \"exit(1)\"); exit_code();"},
                                       {"kernels/tile/exp2_test.cpp", "printf(\"x\");"},
                                       {"runners/test.cpp", "printf(\"x\");"}})));
}

TEST(QuietKernels, NoneInThisTree) { EXPECT_TRUE(none(lint_quiet_kernels(tree()))); }

// clang-format is a lint with a program of its own; versions differ in taste, so only the one of .clang-format counts.
class Formatting : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"clang-format-14", "clang-format"}) {
      const ChildResult r = run_child(
          {.argv = {name, "--version"}, .limit_s = 20, .folder = {}, .environment = {}, .file_size_limit = {}});
      if (r.exited_with(0) && r.out.find("version 14.") != std::string::npos) program_ = name;
    }
    if (program_.empty()) GTEST_SKIP() << "no clang-format 14 on this machine";
  }
  ChildResult check(std::vector<std::string> paths) const {
    std::vector<std::string> argv = {program_, "--dry-run", "-Werror", "--ferror-limit=3", "--style=file"};
    argv.insert(argv.end(), paths.begin(), paths.end());
    return run_child(
        {.argv = argv, .limit_s = 300, .folder = GRETA_SOURCE_DIR, .environment = {}, .file_size_limit = {}});
  }
  std::string program_;
};

TEST_F(Formatting, MisformattedTextIsFound) {
  const ChildResult r =
      run_child({.argv = {"sh", "-c",
                          "printf 'int  a ;\\n' | " + program_ + " --dry-run -Werror --assume-filename=runners/a.hip"},
                 .folder = GRETA_SOURCE_DIR,
                 .environment = {},
                 .file_size_limit = {}});
  EXPECT_TRUE(r.exited_with(1)) << r.how_it_ended() << r.err;
}

TEST_F(Formatting, ThisTreeIsFormatted) {
  std::vector<std::string> paths;
  for (const SourceFile& file : tree()) paths.push_back(file.path);
  const ChildResult r = check(paths);
  EXPECT_TRUE(r.exited_with(0)) << "next: clang-format -i on these files\n" << last_lines(r.err, 60);
}

}  // namespace
}  // namespace greta::runners
