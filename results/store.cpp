#include "results/store.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <random>

#include "kernels/hip/error.hpp"

namespace greta::results {
namespace {

std::string utc_now() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  return fmt::format("{}.{:03}Z", text, ms);
}

std::string new_run_id() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}", device(), device());
}

/// Writes all of it, or returns the errno that stopped it.
int write_all(int file, const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::write(file, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    done += static_cast<size_t>(n);
  }
  return 0;
}

class FileLock {
 public:
  explicit FileLock(int file) : file_(file) {
    ::flock(file_, LOCK_EX);
  }  // not every file system locks; then we do without
  ~FileLock() { ::flock(file_, LOCK_UN); }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int file_;
};

/// A process that died in the middle of a line left no newline; ours must not be glued to its end.
bool ends_in_torn_line(const std::string& path, const struct stat& status) {
  if (!S_ISREG(status.st_mode) || status.st_size == 0) return false;
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  char last = '\n';
  const bool read = ::pread(file, &last, 1, status.st_size - 1) == 1;
  ::close(file);
  return read && last != '\n';
}

}  // namespace

Store::Store(std::string path, Environment environment, std::vector<std::string> invocation)
    : path_(std::move(path)), environment_(std::move(environment)), run_id_(new_run_id()) {
  if (!path_.empty()) {
    file_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (file_ < 0) {
      const int error = errno;
      const bool no_space = error == ENOSPC || error == EDQUOT || error == EROFS || error == EIO;
      throw Error(no_space ? ErrorKind::kIo : ErrorKind::kInvalidArgument,
                  fmt::format("results file '{}' cannot be opened for appending: {}; next: --json with a file in a "
                              "folder that exists and may be written",
                              path_, std::strerror(error)));
    }
  }
  try {
    write(Json{{"schema", kSchemaVersion},
               {"event", "run"},
               {"run", run_id_},
               {"time", utc_now()},
               {"invocation", invocation},
               {"platform", environment_.platform},
               {"device", environment_.device},
               {"toolchain", environment_.toolchain},
               {"commit", environment_.commit},
               {"matrix_model", environment_.matrix_model}});
  } catch (...) {
    if (file_ >= 0) ::close(file_);
    throw;
  }
}

Store::~Store() {
  if (file_ >= 0) ::close(file_);
}

void Store::plan(int64_t cases) {
  const std::lock_guard lock(mutex_);
  planned_ += cases;
  write(Json{{"schema", kSchemaVersion}, {"event", "plan"}, {"run", run_id_}, {"cases", cases}});
}

Store::CaseId Store::begin(const Record& record) {
  const std::lock_guard lock(mutex_);
  const CaseId id = ++last_id_;
  open_[id] = Clock::now();
  Json line{{"schema", kSchemaVersion}, {"event", "start"}, {"run", run_id_}, {"id", id}, {"time", utc_now()}};
  line.update(start_line(record, environment_));
  write(std::move(line));
  return id;
}

void Store::end(CaseId id, const Record& record) {
  const std::lock_guard lock(mutex_);
  const auto open = open_.find(id);
  if (open == open_.end()) throw_invalid(fmt::format("Store::end({}): that case is not open", id));
  const double seconds = std::chrono::duration<double>(Clock::now() - open->second).count();
  Json line{{"schema", kSchemaVersion}, {"event", "end"},    {"run", run_id_}, {"id", id},
            {"time", utc_now()},        {"seconds", seconds}};
  line.update(end_line(record, environment_));
  open_.erase(open);
  ended_.push_back(record.outcome);
  write(std::move(line));
}

std::vector<Outcome> Store::outcomes() const {
  const std::lock_guard lock(mutex_);
  std::vector<Outcome> all = ended_;
  all.insert(all.end(), open_.size(), {Verdict::kIncomplete, "started and not finished"});
  while (static_cast<int64_t>(all.size()) < planned_) all.push_back({Verdict::kIncomplete, "planned and not started"});
  return all;
}

int64_t Store::lines_written() const {
  const std::lock_guard lock(mutex_);
  return lines_;
}

void Store::write(Json line) {
  if (file_ < 0) return;
  const std::string text = to_line(line);
  int error = 0;
  {
    const FileLock lock(file_);
    struct stat before {};
    ::fstat(file_, &before);
    error = write_all(file_, (ends_in_torn_line(path_, before) ? "\n" : "") + text + "\n");
    // Half a line would spoil the file for every reader. Where truncating fails (no regular file) there is none to
    // spoil.
    if (error && S_ISREG(before.st_mode)) [[maybe_unused]]
      const int ignored = ::ftruncate(file_, before.st_size);
  }
  if (error)
    throw Error(ErrorKind::kIo,
                fmt::format("results file '{}': {}; {} lines of this run are in it, and this one is not:\n{}\n"
                            "  next: make room, or --json on another file system",
                            path_, std::strerror(error), lines_, text));
  ++lines_;
}

}  // namespace greta::results
