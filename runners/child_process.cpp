#include "runners/child_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "kernels/hip/error.hpp"

namespace greta::runners {
namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
  int read = -1, write = -1;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
      throw Error(ErrorKind::kIo, fmt::format("no pipe for a child process: {}", std::strerror(errno)));
    read = ends[0], write = ends[1];
  }
  ~Pipe() { close_read(), close_write(); }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_read() {
    if (read >= 0) ::close(read);
    read = -1;
  }
  void close_write() {
    if (write >= 0) ::close(write);
    write = -1;
  }
};

// After fork, in the child: only async-signal-safe calls, for the parent may have threads.
[[noreturn]] void become(const ChildCommand& command, char* const* argv, char* const* environment, int out, int err,
                         int failure) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // nobody would be left to enforce the limit
  const int null = ::open("/dev/null", O_RDONLY);
  if (null >= 0) ::dup2(null, 0);
  ::dup2(out, 1);
  ::dup2(err, 2);
  ::signal(SIGXFSZ, SIG_DFL);
  ::signal(SIGPIPE, SIG_DFL);
  if (command.file_size_limit) {
    const rlimit limit{*command.file_size_limit, *command.file_size_limit};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  if (command.folder.empty() || ::chdir(command.folder.c_str()) == 0) ::execvpe(argv[0], argv, environment);
  const int error = errno;
  [[maybe_unused]] const ssize_t ignored = ::write(failure, &error, sizeof error);
  ::_exit(127);
}

/// Appends what is there; false at the end of the stream.
bool drain(int file, std::string& text, size_t limit) {
  std::array<char, 65536> chunk;
  const ssize_t n = ::read(file, chunk.data(), chunk.size());
  if (n < 0) return errno == EINTR || errno == EAGAIN;
  if (n == 0) return false;
  text.append(chunk.data(), static_cast<size_t>(n));
  if (text.size() > 2 * limit) text.erase(0, text.size() - limit);
  return true;
}

std::vector<std::string> environment_with(const std::vector<std::pair<std::string, std::string>>& additions) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view text = *entry;
    bool replaced = false;
    for (const auto& [name, value] : additions) replaced = replaced || text.substr(0, text.find('=')) == name;
    if (!replaced) all.emplace_back(text);
  }
  for (const auto& [name, value] : additions) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

std::string ChildResult::how_it_ended() const {
  if (!error.empty()) return "cannot be started: " + error;
  if (timed_out) return fmt::format("no end within {:.0f} s", seconds);
  if (signal) return fmt::format("killed by signal {} ({})", signal, strsignal(signal));
  return fmt::format("exit {}", exit_code);
}

ChildResult run_child(const ChildCommand& command) {
  if (command.argv.empty()) throw_invalid("run_child: no command");
  std::vector<std::string> words = command.argv, environment_words = environment_with(command.environment);
  const std::vector<char*> argv = pointers_to(words), environment = pointers_to(environment_words);
  Pipe out, err, failure;
  const auto start = Clock::now();
  const pid_t child = ::fork();
  if (child < 0) throw Error(ErrorKind::kIo, fmt::format("no child process: {}", std::strerror(errno)));
  if (child == 0) become(command, argv.data(), environment.data(), out.write, err.write, failure.write);
  ::setpgid(child, child);  // both sides do, so that neither has to wait for the other
  out.close_write(), err.close_write(), failure.close_write();

  ChildResult result;
  const auto elapsed = [&start] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  int status = 0;
  rusage usage{};
  bool ended = false;
  // The child's children may hold the pipes open after its end: then its end counts, and what is in the pipes by then.
  while (out.read >= 0 || err.read >= 0 || !ended) {
    if (!ended && ::wait4(child, &status, WNOHANG, &usage) == child) ended = true;
    if (!ended && !result.timed_out && elapsed() > command.limit_s) {
      result.timed_out = true;
      ::kill(-child, SIGKILL);
    }
    std::array<pollfd, 2> waits{pollfd{out.read, POLLIN, 0}, pollfd{err.read, POLLIN, 0}};
    const int ready = ::poll(waits.data(), waits.size(), ended ? 0 : 20);
    if (ready > 0 && waits[0].revents && !drain(out.read, result.out, command.output_limit)) out.close_read();
    if (ready > 0 && waits[1].revents && !drain(err.read, result.err, command.output_limit)) err.close_read();
    if (ended && ready <= 0) break;
  }
  result.seconds = elapsed();
  ::kill(-child, SIGKILL);  // what it left behind
  for (std::string* text : {&result.out, &result.err})
    if (text->size() > command.output_limit) text->erase(0, text->size() - command.output_limit);

  int error = 0;
  if (::read(failure.read, &error, sizeof error) == sizeof error)
    result.error = fmt::format("{}{}: {}", command.argv.front(), command.folder.empty() ? "" : " in " + command.folder,
                               std::strerror(error));
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  result.peak_rss_kib = usage.ru_maxrss;
  return result;
}

std::string last_lines(const std::string& text, int lines) {
  size_t end = text.size();
  while (end > 0 && text[end - 1] == '\n') --end;
  size_t begin = end;
  while (begin > 0 && (text[begin - 1] != '\n' || --lines > 0)) --begin;
  return text.substr(begin, end - begin);
}

std::string shell_quoted(const std::string& word) {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || std::strchr("_-+=./:,@%", c) != nullptr;
  };
  bool quote = word.empty();
  std::string quoted = "'";
  for (const char c : word) {
    quote = quote || !plain(c);
    quoted += c == '\'' ? "'\\''" : std::string(1, c);
  }
  return quote ? quoted + "'" : word;
}

std::string shell_line(const std::vector<std::string>& argv) {
  std::string line;
  for (const std::string& word : argv) line += (line.empty() ? "" : " ") + shell_quoted(word);
  return line;
}

}  // namespace greta::runners
