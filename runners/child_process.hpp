// Runs a command as a child with a time limit and captured output, so that a crash or a hang costs the caller one step.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace greta::runners {

struct ChildCommand {
  std::vector<std::string> argv;                                 ///< argv[0] is looked up in PATH when it has no slash
  double limit_s = 60;                                           ///< then the child and its children are killed
  std::string folder;                                            ///< working directory; "" is the caller's
  std::vector<std::pair<std::string, std::string>> environment;  ///< set in addition to the caller's
  std::optional<uint64_t> file_size_limit;                       ///< RLIMIT_FSIZE in bytes: a disk that is soon full
  size_t output_limit = 1 << 20;                                 ///< bytes kept of each stream, the last ones
};

struct ChildResult {
  int exit_code = -1;      ///< when it exited by itself
  int signal = 0;          ///< when it was killed by one
  bool timed_out = false;  ///< when it was killed by us
  std::string error;       ///< why it could not be started
  std::string out;
  std::string err;
  double seconds = 0;
  int64_t peak_rss_kib = 0;  ///< most resident memory of the child, mapped files included

  bool exited_with(int code) const { return error.empty() && !timed_out && signal == 0 && exit_code == code; }
  /// "exit 3", "killed by signal 11 (Segmentation fault)", "no end within 60 s", "cannot be started: ...".
  std::string how_it_ended() const;
};

/// Waits for the end; throws kIo only when no process can be made at all.
ChildResult run_child(const ChildCommand& command);

/// The last `lines` lines of a text, for messages.
std::string last_lines(const std::string& text, int lines);

/// A shell word: quoted where it must be.
std::string shell_quoted(const std::string& word);
std::string shell_line(const std::vector<std::string>& argv);

}  // namespace greta::runners
