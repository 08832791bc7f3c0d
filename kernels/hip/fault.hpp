// The sticky fault: the first thing that went wrong on the device, quoted by everything that is refused after it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace greta::hip {

/// The text of the first device fault of this process, if there was one. Launches, copies and waits throw it from then
/// on: nothing computed after a fault can be trusted.
std::optional<std::string> sticky_fault();

/// The last fault, or launch that was refused before it ran, in parts; what is not known stays empty.
struct FaultReport {
  std::string text;       ///< the whole message, as thrown
  bool refused = false;   ///< found by the checks before a launch: nothing ran
  uint64_t launch = 0;    ///< number of the guilty launch; 0: unknown, see candidates
  std::string kernel;     ///< of that launch
  std::string argument;   ///< of the kernel, "" when the address belongs to none
  std::string direction;  ///< of the argument
  std::string buffer;     ///< name of the allocation
  uint64_t buffer_bytes = 0;
  bool buffer_freed = false;
  std::optional<int64_t> offset;        ///< in bytes from the buffer's start
  std::vector<std::string> candidates;  ///< launches an asynchronous fault can come from, described
};
std::optional<FaultReport> last_fault_report();

/// Forgets the fault. On host the executor is whole again after a fault; on a GPU only a fresh process is. For tests
/// that plant faults.
void reset_sticky_fault_for_tests();

/// Whether this build has the host platform's shadow memory (preset host-races).
bool has_race_checker();

}  // namespace greta::hip
