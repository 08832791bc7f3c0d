#include "results/store.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "kernels/hip/error.hpp"

namespace greta::results {
namespace {

namespace fs = std::filesystem;

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("greta_store_test_" + std::to_string(::getpid()));
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }
  std::string file(const char* name) const { return (dir_ / name).string(); }
  static std::string text(const std::string& path) {
    std::stringstream all;
    all << std::ifstream(path).rdbuf();
    return all.str();
  }
  fs::path dir_;
};

Environment here() { return {"host", "some CPU", "GNU 12", "0123456789ab", "unverified"}; }

Record named(const std::string& name, Verdict verdict = Verdict::kPass, const std::string& reason = "") {
  Record r;
  r.kind = "test";
  r.case_name = name;
  r.measured["value"] = 1.5;
  r.outcome = {verdict, reason};
  return r;
}

TEST_F(StoreTest, WhatWasWrittenIsRead) {
  const std::string path = file("a.jsonl");
  {
    Store store(path, here(), {"verify", "--seed", "3"});
    store.plan(2);
    const auto one = store.begin(named("one"));
    store.end(one, named("one"));
    const auto two = store.begin(named("two"));
    store.end(two, named("two", Verdict::kSkip, "no such device"));
    EXPECT_EQ(store.exit_code(), 0);
    EXPECT_EQ(store.lines_written(), 6);
  }
  const StoredFile stored = read_records(path);
  EXPECT_TRUE(stored.bad_lines.empty());
  ASSERT_EQ(stored.runs.size(), 1u);
  const StoredRun& run = stored.runs[0];
  EXPECT_EQ(run.invocation, (std::vector<std::string>{"verify", "--seed", "3"}));
  EXPECT_EQ(run.environment.device, "some CPU");
  EXPECT_EQ(run.planned, 2);
  ASSERT_EQ(run.cases.size(), 2u);
  EXPECT_EQ(run.cases[0].record.case_name, "one");
  EXPECT_EQ(run.cases[0].record.measured.at("value"), 1.5);
  EXPECT_EQ(run.cases[1].record.outcome.reason, "no such device");
  EXPECT_EQ(exit_code(run.outcomes()), 0);
}

TEST_F(StoreTest, EveryLineIsThereBeforeTheCallReturns) {
  const std::string path = file("flushed.jsonl");
  Store store(path, here());
  store.plan(1);
  store.begin(named("one"));
  EXPECT_NE(text(path).find("\"event\":\"start\""), std::string::npos);
}

TEST_F(StoreTest, CaseThatNeverEndedIsIncomplete) {
  const std::string path = file("crash.jsonl");
  if (const pid_t child = ::fork(); child == 0) {
    Store store(path, here());
    store.plan(3);
    store.end(store.begin(named("fine")), named("fine"));
    store.begin(named("crashes"));
    ::_exit(0);  // as a crash would leave it: no destructor, no flush
  } else {
    ::waitpid(child, nullptr, 0);
  }
  const StoredFile stored = read_records(path);
  ASSERT_EQ(stored.runs.size(), 1u);
  ASSERT_EQ(stored.runs[0].cases.size(), 2u);
  EXPECT_EQ(stored.runs[0].cases[1].record.case_name, "crashes");
  EXPECT_EQ(stored.runs[0].cases[1].record.outcome.verdict, Verdict::kIncomplete);
  const Tally t = tally(stored.runs[0].outcomes());
  EXPECT_EQ(t.passed, 1);
  EXPECT_EQ(t.incomplete, 2) << "the one that crashed and the one that was planned";
  EXPECT_EQ(exit_code(t), 5);
}

TEST_F(StoreTest, PlannedAndNotRunIsIncomplete) {
  Store store("", here());
  store.plan(2);
  EXPECT_EQ(store.exit_code(), 5);
  store.end(store.begin(named("one")), named("one"));
  EXPECT_EQ(store.exit_code(), 5);
  store.end(store.begin(named("two")), named("two"));
  EXPECT_EQ(store.exit_code(), 0);
  store.begin(named("three"));
  EXPECT_EQ(store.exit_code(), 5) << "started and not finished";
}

TEST_F(StoreTest, RunWithoutAPlanIsIncomplete) {
  const std::string path = file("no_plan.jsonl");
  { Store store(path, here()); }
  const StoredFile stored = read_records(path);
  ASSERT_EQ(stored.runs.size(), 1u);
  EXPECT_EQ(exit_code(stored.runs[0].outcomes()), 5);
}

TEST_F(StoreTest, FileIsAppendedTo) {
  const std::string path = file("twice.jsonl");
  for (int i = 0; i < 2; ++i) {
    Store store(path, here());
    store.plan(1);
    store.end(store.begin(named("one")), named("one"));
  }
  EXPECT_EQ(read_records(path).runs.size(), 2u);
}

TEST_F(StoreTest, TornLastLineIsReportedAndNotGluedToTheNext) {
  const std::string path = file("torn.jsonl");
  std::ofstream(path) << "{\"schema\":1,\"event\":\"sta";
  {
    Store store(path, here());
    store.plan(1);
    store.end(store.begin(named("one")), named("one"));
  }
  const StoredFile stored = read_records(path);
  ASSERT_EQ(stored.bad_lines.size(), 1u);
  EXPECT_NE(stored.bad_lines[0].find("line 1"), std::string::npos);
  ASSERT_EQ(stored.runs.size(), 1u);
  EXPECT_EQ(exit_code(stored.runs[0].outcomes()), 0);
}

TEST_F(StoreTest, LinesThatContradictEachOtherAreBad) {
  const std::string path = file("odd.jsonl");
  {
    Store store(path, here());
    store.plan(1);
    store.end(store.begin(named("one")), named("one"));
  }
  const std::string good = text(path);
  std::ofstream(path, std::ios::app) << good.substr(good.rfind('\n', good.size() - 2) + 1)  // ends a second time
                                     << "{\"schema\":1,\"event\":\"end\",\"run\":\"x\",\"id\":1}\n"
                                     << "{\"schema\":99,\"event\":\"run\",\"run\":\"y\"}\n"
                                     << "[]\n";
  EXPECT_EQ(read_records(path).bad_lines.size(), 3u) << "an unknown case, a foreign schema, no object";
}

TEST_F(StoreTest, FullDeviceIsAnInfrastructureError) {
  try {
    Store store("/dev/full", here());
    FAIL() << "the run line must not seem written";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kIo);
    EXPECT_EQ(error.exit_code(), 4);
    EXPECT_NE(std::string(error.what()).find("/dev/full"), std::string::npos);
  }
}

TEST_F(StoreTest, WhenSpaceRunsOutWholeLinesAreKeptAndTheLostOneIsShown) {
  const std::string path = file("limited.jsonl");
  if (const pid_t child = ::fork(); child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4000, 4000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    int ended = 0;
    try {
      Store store(path, here());
      store.plan(1000);
      for (int i = 0; i < 1000; ++i, ++ended)
        store.end(store.begin(named("case_" + std::to_string(i))), named("case_" + std::to_string(i)));
    } catch (const Error& error) {
      const bool shown = std::string(error.what()).find("case_" + std::to_string(ended)) != std::string::npos;
      ::_exit(error.exit_code() == 4 && shown && ended > 0 ? 44 : 1);
    }
    ::_exit(2);
  } else {
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
    EXPECT_EQ(WEXITSTATUS(status), 44);
  }
  const std::string kept = text(path);
  EXPECT_LE(kept.size(), 4000u);
  ASSERT_FALSE(kept.empty());
  EXPECT_EQ(kept.back(), '\n') << "no half line stays";
  const StoredFile stored = read_records(path);
  EXPECT_TRUE(stored.bad_lines.empty());
  ASSERT_EQ(stored.runs.size(), 1u);
  EXPECT_GT(tally(stored.runs[0].outcomes()).passed, 0);
  EXPECT_EQ(exit_code(stored.runs[0].outcomes()), 5);
}

TEST_F(StoreTest, FileThatCannotBeOpenedIsTheCallersMistake) {
  for (const std::string& path : {file("no/such/folder.jsonl"), dir_.string()}) {
    try {
      Store store(path, here());
      FAIL() << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), 2) << path;
    }
  }
  EXPECT_THROW(read_records(file("missing.jsonl")), Error);
}

TEST_F(StoreTest, CasesOfManyThreadsAndProcessesDoNotMix) {
  const std::string path = file("many.jsonl");
  const auto work = [&path] {
    Store store(path, here());
    store.plan(80);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&store] {
        for (int i = 0; i < 20; ++i) store.end(store.begin(named("case")), named("case"));
      });
    for (std::thread& thread : threads) thread.join();
  };
  const pid_t child = ::fork();
  work();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  const StoredFile stored = read_records(path);
  EXPECT_TRUE(stored.bad_lines.empty());
  ASSERT_EQ(stored.runs.size(), 2u);
  for (const StoredRun& run : stored.runs) EXPECT_EQ(tally(run.outcomes()).passed, 80);
}

TEST_F(StoreTest, EndingACaseThatIsNotOpenIsRefused) {
  Store store("", here());
  const auto id = store.begin(named("one"));
  store.end(id, named("one"));
  EXPECT_THROW(store.end(id, named("one")), Error);
  EXPECT_THROW(store.end(7, named("one")), Error);
}

}  // namespace
}  // namespace greta::results
