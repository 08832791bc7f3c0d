// Faults planted on purpose, each with what its report must name: the proof that fault finding finds. `greta verify`
// and the tests run them; a checker that stays silent on one is broken.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "kernels/hip/runtime.hpp"

namespace greta::hip {

struct PlantedFault {
  /// Where the fault is found: before or after the launch on every platform; by the host executor; by its shadow
  /// memory.
  enum class FoundBy { kAnyPlatform, kHost, kHostRaces };

  const char* name;   ///< "write_past_end"
  const char* plant;  ///< what is wrong, in a few words
  FoundBy found_by;
  ErrorKind kind;  ///< of the error that run() throws
  /// Runs it; throws when the fault is found. On return it was missed. Leaves the sticky fault set.
  void (*run)(Stream& stream);
  /// Parts that the message must contain: kernel, buffer or array, place, source line.
  std::vector<std::string> must_name;
};

const std::vector<PlantedFault>& planted_faults();

/// Why this build does not find it; empty when it must.
std::string reason_to_skip(const PlantedFault& fault);

/// Runs one and says what is wrong with its report; empty when the fault was found and everything named. Clears the
/// sticky fault.
std::string check_planted_fault(const PlantedFault& fault, Stream& stream);

}  // namespace greta::hip
