// The launcher at the root, tried on small trees of its own: a CMake project whose program prints its arguments.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

#include "runners/child_process.hpp"

namespace greta::runners {
namespace {

namespace fs = std::filesystem;
using Environment = std::vector<std::pair<std::string, std::string>>;

class LauncherTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::access("/usr/bin/cmake", X_OK) != 0 || ::access("/usr/bin/ninja", X_OK) != 0)
      GTEST_SKIP() << "needs cmake and ninja, to build what the launcher is to start";
    tree_ = fs::temp_directory_path() / ("greta_launcher_test_" + std::to_string(::getpid()));
    fs::remove_all(tree_);
    for (const char* room : {"cmake", "kernels", "reference", "verify", "bench", "model/samples", "runners", "results"})
      fs::create_directories(tree_ / room);
    fs::copy_file(fs::path(GRETA_SOURCE_DIR) / "greta", tree_ / "greta");
    write("CMakePresets.json",
          R"({"version": 3, "configurePresets": [{"name": "host", "generator": "Ninja",
              "binaryDir": "${sourceDir}/build/${presetName}"}]})");
    write("CMakeLists.txt",
          "cmake_minimum_required(VERSION 3.22)\nproject(small LANGUAGES C)\n"
          "set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)\n"
          "add_executable(greta runners/main.c)\n");
    write("runners/main.c",
          "#include <stdio.h>\nint main(int n, char** a) {\n"
          "  for (int i = 1; i < n; ++i) puts(a[i]);\n  return n > 1 && a[1][0] == 'r' ? 1 : 0;\n}\n");
  }
  void TearDown() override { fs::remove_all(tree_); }

  void write(const std::string& path, const std::string& text) const { std::ofstream(tree_ / path) << text; }
  /// An executable that stands before the real ones in the PATH of greta(..., faked()).
  void fake(const std::string& name, const std::string& script) const {
    fs::create_directories(tree_ / "fakes");
    write("fakes/" + name, "#!/bin/sh\n" + script + "\n");
    fs::permissions(tree_ / "fakes" / name, fs::perms::owner_all);
  }
  Environment faked() const { return {{"PATH", (tree_ / "fakes").string() + ":/usr/bin:/bin"}}; }

  ChildResult greta(std::vector<std::string> arguments, Environment environment = {}) const {
    arguments.insert(arguments.begin(), (tree_ / "greta").string());
    return run_child(
        {.argv = arguments, .limit_s = 120, .folder = "/", .environment = environment, .file_size_limit = {}});
  }
  fs::path tree_;
};

bool says(const ChildResult& r, const std::string& text) { return r.err.find(text) != std::string::npos; }

TEST_F(LauncherTest, BuildsOnceAndHandsEverythingOn) {
  const ChildResult first =
      greta({"--platform", "host", "model", "tokenize", "--text", "--no-install", "two words", ""});
  EXPECT_TRUE(first.exited_with(0)) << first.how_it_ended() << first.err;
  EXPECT_EQ(first.out, "model\ntokenize\n--text\n--no-install\ntwo words\n\n") << "stdout is the program's";
  EXPECT_TRUE(says(first, "building host"));
  const ChildResult second = greta({"red", "--platform=host"});
  EXPECT_TRUE(second.exited_with(1)) << "the program's exit code";
  EXPECT_FALSE(says(second, "building"));
}

TEST_F(LauncherTest, UpToDateTreeStartsAtOnce) {
  ASSERT_TRUE(greta({"--platform", "host", "x"}).exited_with(0));
  double best = 1;
  for (int i = 0; i < 10; ++i) best = std::min(best, greta({"--platform", "host", "x"}).seconds);
  EXPECT_LT(best, 0.050 + 0.020) << "50 ms, and one poll interval of run_child";
}

TEST_F(LauncherTest, EveryKindOfChangeIsSeen) {
  ASSERT_TRUE(greta({"x", "--platform", "host"}).exited_with(0));
  write("kernels/new.hpp", "// new");
  EXPECT_TRUE(says(greta({"x", "--platform", "host"}), "building")) << "a file added";
  fs::remove(tree_ / "kernels/new.hpp");
  EXPECT_TRUE(says(greta({"x", "--platform", "host"}), "building")) << "a file removed";
  write("old.c", "int main(void) { return 3; }\n");
  fs::last_write_time(tree_ / "old.c", fs::file_time_type::clock::now() - std::chrono::hours(1000));
  fs::rename(tree_ / "old.c", tree_ / "runners/main.c");
  EXPECT_TRUE(greta({"x", "--platform", "host"}).exited_with(3)) << "an older file moved into place";
  write("results/rows.jsonl", "{}");
  EXPECT_FALSE(says(greta({"x", "--platform", "host"}), "building")) << "rows are no sources";
  write("results/room.cpp", "// new");
  EXPECT_TRUE(says(greta({"x", "--platform", "host"}), "building")) << "a file added beside rows";
  EXPECT_FALSE(says(greta({"x", "--platform", "host"}), "building"));
  fs::remove(tree_ / "results/room.cpp");
  EXPECT_TRUE(says(greta({"x", "--platform", "host"}), "building")) << "a file removed beside rows";
}

TEST_F(LauncherTest, TreeThatMovedIsBuiltAnew) {
  ASSERT_TRUE(greta({"x", "--platform", "host"}).exited_with(0));
  const fs::path before = tree_;
  tree_ += "_moved";
  fs::remove_all(tree_);
  fs::rename(before, tree_);
  const ChildResult r = greta({"x", "--platform", "host"});
  EXPECT_TRUE(r.exited_with(0)) << r.err;
  EXPECT_TRUE(says(r, "another folder"));
}

TEST_F(LauncherTest, BuildFailureShowsTheErrorAndExits4) {
  write("runners/main.c", "int main(void) { return nonsense_here; }\n");
  const ChildResult r = greta({"x", "--platform", "host"});
  EXPECT_TRUE(r.exited_with(4)) << r.how_it_ended();
  EXPECT_TRUE(says(r, "nonsense_here")) << r.err;
  EXPECT_TRUE(says(r, "build.log"));
  EXPECT_EQ(r.out, "");
  write("runners/main.c", "int main(void) { return 0; }\n");
  EXPECT_TRUE(greta({"x", "--platform", "host"}).exited_with(0)) << "a failed build leaves no stamp";
  write("CMakeLists.txt", "cmake_minimum_required(VERSION 3.22)\nproject(x LANGUAGES C)\nnonsense_there()\n");
  fs::remove_all(tree_ / "build");
  const ChildResult configure = greta({"x", "--platform", "host"});
  EXPECT_TRUE(configure.exited_with(4));
  EXPECT_TRUE(says(configure, "nonsense_there")) << configure.err;
  EXPECT_TRUE(greta({"x", "--platform", "host"}).exited_with(4)) << "and stays red";
}

TEST_F(LauncherTest, TwoAtOnceBuildOnce) {
  ChildResult results[2];
  std::thread other([&] { results[1] = greta({"x", "--platform", "host"}); });
  results[0] = greta({"x", "--platform", "host"});
  other.join();
  for (const ChildResult& r : results) EXPECT_TRUE(r.exited_with(0)) << r.err;
  EXPECT_NE(says(results[0], "building"), says(results[1], "building")) << results[0].err << "----\n" << results[1].err;
}

TEST_F(LauncherTest, UnknownPlatformIsAUsageError) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--platform", "opencl", "x"}, {"--platform=", "x"}, {"x", "--platform"}}) {
    const ChildResult r = greta(arguments);
    EXPECT_TRUE(r.exited_with(2)) << r.how_it_ended();
    EXPECT_TRUE(says(r, "host-asan")) << "names what there is: " << r.err;
  }
}

TEST_F(LauncherTest, MissingPackagesAreNamedAndRefusedWithoutInstalling) {
  fake("dpkg-query", "case \"$*\" in *libfmt-dev*) exit 1;; *) echo 'install ok installed';; esac");
  fake("apt-get", "touch " + (tree_ / "apt-get-was-called").string());
  const ChildResult r = greta({"--no-install", "x", "--platform", "host"}, faked());
  EXPECT_TRUE(r.exited_with(4)) << r.how_it_ended();
  EXPECT_TRUE(says(r, "libfmt-dev             messages")) << r.err;
  EXPECT_FALSE(says(r, "libcli11-dev")) << "only what is missing: " << r.err;
  EXPECT_FALSE(fs::exists(tree_ / "apt-get-was-called"));
  EXPECT_FALSE(fs::exists(tree_ / "build/host/build.ninja"));
}

TEST_F(LauncherTest, MissingPackagesAreInstalled) {
  const std::string log = (tree_ / "apt.log").string();
  fake("dpkg-query", "case \"$*\" in *libfmt-dev*) exit 1;; *) echo 'install ok installed';; esac");
  fake("apt-get", "echo \"$*\" >>" + log);
  fake("sudo", "exec \"$@\"");
  const ChildResult r = greta({"x", "--platform", "host"}, faked());
  EXPECT_TRUE(r.exited_with(0)) << r.err;
  std::ifstream in(log);
  std::string update, install;
  std::getline(in, update), std::getline(in, install);
  EXPECT_NE(update.find(" update"), std::string::npos) << update;
  EXPECT_NE(install.find(" install --no-install-recommends libfmt-dev"), std::string::npos) << install;
}

TEST_F(LauncherTest, InstallationThatFailsExits4) {
  fake("dpkg-query", "case \"$*\" in *libfmt-dev*) exit 1;; *) echo 'install ok installed';; esac");
  fake("apt-get", "echo 'E: no such thing' >&2; exit 100");
  fake("sudo", "exec \"$@\"");
  const ChildResult r = greta({"x", "--platform", "host"}, faked());
  EXPECT_TRUE(r.exited_with(4)) << r.how_it_ended();
  EXPECT_TRUE(says(r, "E: no such thing")) << r.err;
}

TEST_F(LauncherTest, PlatformWithoutItsCompilerExits4) {
  Environment environment = faked();
  environment.emplace_back("CUDA_HOME", "/nonexistent");
  fake("dpkg-query", "case \"$*\" in *libamdhip64-dev*) exit 1;; *) echo 'install ok installed';; esac");
  const ChildResult cuda = greta({"x", "--platform", "cuda"}, environment);
  EXPECT_TRUE(cuda.exited_with(4)) << cuda.how_it_ended();
  EXPECT_TRUE(says(cuda, "no nvcc")) << cuda.err;
  environment.emplace_back("ROCM_PATH", "/nonexistent");
  const ChildResult rocm = greta({"x", "--platform", "rocm", "--no-install"}, environment);
  EXPECT_TRUE(rocm.exited_with(4)) << rocm.how_it_ended();
  EXPECT_TRUE(says(rocm, "libamdhip64-dev")) << rocm.err;
}

}  // namespace
}  // namespace greta::runners
