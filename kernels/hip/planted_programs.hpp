// Programs with one fault somewhere among many launches: what `greta audit fault` is proved on, and what a runner of
// child processes must survive. Each ends its process, or hangs it, the way a real fault would.
#pragma once

#include <string>
#include <vector>

#include "kernels/hip/runtime.hpp"

namespace greta::hip {

struct PlantedProgram {
  const char* name;  ///< "out-of-bounds"
  const char* what;  ///< one line for people
  void (*run)();
  bool endless = false;  ///< never returns
};
const std::vector<PlantedProgram>& planted_programs();

/// Whether the device does what it is asked: a buffer is filled by a kernel, copied and read back. Throws kNoDevice or
/// kDeviceFault saying what went wrong.
void probe_device();

}  // namespace greta::hip
