// Who is to blame for a fault: runs a command of the program in fresh child processes, as asked, then with a wait after
// every launch, then with waits after ever fewer launches, until one launch is named or the fault proves to need
// asynchrony.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/hip/fault.hpp"
#include "kernels/hip/progress.hpp"
#include "runners/child_process.hpp"

namespace greta::runners {

/// One run of the command and what it left behind.
struct FaultRun {
  std::string how;  ///< "as asked", "waiting after every launch", "waiting after each of launches #1..#63"
  ChildResult child;
  std::optional<hip::FaultReport> report;
  std::optional<hip::Flight> flight;
  /// A device fault, a refused launch, a signal, or no end within the limit. An exit code alone is no fault: a gate may
  /// be red.
  bool faulted() const { return report.has_value() || child.signal != 0 || child.timed_out; }
  /// "#137 plant_shift ...; finished up to #136", from the flight recorder.
  std::string last_launch() const;
};

struct Attribution {
  enum class Kind {
    kNone,          ///< no run faulted
    kNamed,         ///< one launch is to blame: launch, kernel, argument, buffer, offset as far as known
    kBetween,       ///< the process died outside launches; `report.text` says after which
    kHang,          ///< a launch that does not end
    kAsynchronous,  ///< reproduces only without waits: lifetime or ordering; `candidates`
    kUnstable,      ///< seen, and then neither with waits nor without
  };
  Kind kind = Kind::kNone;
  hip::FaultReport report;
  std::vector<std::string> candidates;  ///< of kAsynchronous: the launch that must be waited for, and what follows it
  std::vector<FaultRun> runs;           ///< in order
  std::string text() const;             ///< one paragraph for people
};

/// `argv` without the program; `limit_s` for each run. Throws kIo when no child can be started.
Attribution attribute_fault(const std::vector<std::string>& argv, double limit_s);

std::string attribution_name(Attribution::Kind kind);

}  // namespace greta::runners
