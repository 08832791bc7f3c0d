// What this program was built from and how; part of every record.
#pragma once

#include <string>

namespace greta::results {

struct BuildInfo {
  std::string compiler;         ///< host code: "GNU 12.2.0"
  std::string kernel_compiler;  ///< kernels, where another compiler makes them (hipcc, clang, nvcc); else empty
  std::string flags;            ///< of host code, as given to the compiler
  std::string build_type;       ///< "Release"
  std::string platform;         ///< "host", "rocm" or "cuda"
  std::string preset;           ///< build folder's name: "host", "host-asan", ...
  std::string commit;           ///< twelve hex digits, "+dirty" when the tree differed from it; "unknown" without git
};

/// Fixed when the program was built.
const BuildInfo& build_info();

/// "GNU 12.2.0 Release -O3 ...", one line, with the kernels' compiler where there is one.
std::string toolchain();

/// "greta 3f2a... (host; GNU 12.2.0 Release)": what --version prints.
std::string build_line();

}  // namespace greta::results
