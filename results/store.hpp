// Where records go: JSON Lines, appended, one line when a case starts and one when it ends, each handed to the kernel
// before the call returns, so that a crash loses no more than the case that crashed. And the reader, which treats what
// was planned or started and not ended as INCOMPLETE.
//
//   Store store(flags.json, build_environment(device), flags.invocation);   // throws at once when FILE takes no line
//   store.plan(cases.size());
//   for (...) {
//     const auto id = store.begin(record);
//     ... measure ...
//     store.end(id, record);
//   }
//   return store.exit_code();
//
// Lines of a file:
//   {"schema":1,"event":"run","run":"9f3c...","time":"...","invocation":["verify",...], platform, device, ...}
//   {"schema":1,"event":"plan","run":"9f3c...","cases":120}
//   {"schema":1,"event":"start","run":"9f3c...","id":1,"time":"...", record}
//   {"schema":1,"event":"end","run":"9f3c...","id":1,"time":"...","seconds":0.12, record, verdict, measured values}
// Several processes may append to one file: a line is written under a lock.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "results/record.hpp"

namespace greta::results {

class Store {
 public:
  using CaseId = int64_t;

  /// Opens `path` for appending (made when missing; its folder must exist) and writes the run line. An empty path keeps
  /// outcomes in memory only. Throws kInvalidArgument when the file cannot be opened, kIo when it takes no line.
  Store(std::string path, Environment environment, std::vector<std::string> invocation = {});
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// Announces that many more cases. What is announced and does not end is INCOMPLETE. May be called again.
  void plan(int64_t cases);

  /// Both throw kIo when the line cannot be written (no space, file size limit, device gone): lines written so far stay
  /// whole, the line itself is in the message, and the outcome still counts. Any thread may call them.
  CaseId begin(const Record& record);
  void end(CaseId id, const Record& record);

  /// Of cases that ended, plus one INCOMPLETE for each that was planned or begun and did not.
  std::vector<Outcome> outcomes() const;
  Tally tally() const { return results::tally(outcomes()); }
  int exit_code() const { return results::exit_code(outcomes()); }

  /// Lines that reached the file in this run.
  int64_t lines_written() const;
  const std::string& path() const { return path_; }
  const std::string& run_id() const { return run_id_; }
  const Environment& environment() const { return environment_; }

 private:
  using Clock = std::chrono::steady_clock;
  void write(Json line);

  std::string path_;
  Environment environment_;
  std::string run_id_;
  int file_ = -1;
  int64_t lines_ = 0;
  int64_t planned_ = 0;
  CaseId last_id_ = 0;
  std::map<CaseId, Clock::time_point> open_;  ///< begun, not ended
  std::vector<Outcome> ended_;
  mutable std::mutex mutex_;
};

/// A case as a file tells it.
struct StoredCase {
  Record record;  ///< outcome kIncomplete with a reason when there is no end line
  double seconds = 0;
};

struct StoredRun {
  std::string run_id;
  std::vector<std::string> invocation;
  Environment environment;
  std::optional<int64_t> planned;  ///< none: the run never said what it was going to do
  std::vector<StoredCase> cases;   ///< in order of their start
  /// Of every case, plus one INCOMPLETE for each planned case that never started, or one for a missing plan.
  std::vector<Outcome> outcomes() const;
};

struct StoredFile {
  std::vector<StoredRun> runs;         ///< in order of their first line
  std::vector<std::string> bad_lines;  ///< "line 17: ..." for lines that are torn or no record of ours
};

/// Reads a file of records. Throws kInvalidArgument when it cannot be read; bad lines are reported, not thrown, because
/// a crash may leave one.
StoredFile read_records(const std::string& path);

}  // namespace greta::results
