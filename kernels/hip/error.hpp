// The one error type of the tree and what its kinds mean for a program's exit status. HIP-free.
#pragma once

#include <stdexcept>
#include <string>

namespace greta {

/// What went wrong, in terms of who can mend it. The runners turn the kind into the exit code.
enum class ErrorKind {
  kInvalidArgument,  ///< the caller's problem, flag or file is not acceptable; exit 2
  kDeviceFault,      ///< a kernel read or wrote where it must not, diverged at a barrier, raced; exit 1
  kOutOfMemory,      ///< device or host memory exhausted; exit 4
  kNoDevice,         ///< no device of this platform, or the device is lost; exit 4
  kIo,               ///< results could not be written; exit 4
};

/// Messages say what, where, got, wanted and the next step; they are shown to the user as they are.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }
  int exit_code() const;

 private:
  ErrorKind kind_;
};

[[noreturn]] inline void throw_invalid(const std::string& message) {
  throw Error(ErrorKind::kInvalidArgument, message);
}

}  // namespace greta
