#include "results/build_info.hpp"

#include <fmt/format.h>

namespace greta::results {

std::string toolchain() {
  const BuildInfo& b = build_info();
  const std::string kernels = b.kernel_compiler.empty() ? "" : fmt::format("; kernels: {}", b.kernel_compiler);
  return fmt::format("{} {} {}{}", b.compiler, b.build_type, b.flags, kernels);
}

std::string build_line() {
  const BuildInfo& b = build_info();
  const std::string kernels = b.kernel_compiler.empty() ? "" : fmt::format("; kernels: {}", b.kernel_compiler);
  return fmt::format("greta {} ({}; {} {}{})", b.commit, b.preset, b.compiler, b.build_type, kernels);
}

}  // namespace greta::results
