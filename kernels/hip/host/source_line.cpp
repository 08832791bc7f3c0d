// Instruction addresses to source lines, through the line tables of the program (-g1) and binutils' addr2line, which
// comes with every g++. Called once a fault, never on the way of a good launch.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "kernels/hip/host/executor.hpp"
#include "kernels/hip/registry.hpp"
#include "kernels/hip/text.hpp"

namespace greta::hip::host {
namespace {

std::string hex(uintptr_t value) {
  char digits[32];
  return "0x" + std::string(digits, std::to_chars(digits, digits + sizeof digits, value, 16).ptr);
}

std::string program_path() {
  char path[4096];
  const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
  return n > 0 ? std::string(path, static_cast<size_t>(n)) : "";
}

/// First line of the command's output.
std::string output_of(const std::string& command) {
  FILE* const pipe = popen(command.c_str(), "r");
  if (!pipe) return "";
  char line[4096] = "";
  if (!std::fgets(line, sizeof line, pipe)) line[0] = 0;
  pclose(pipe);
  line[std::strcspn(line, "\n")] = 0;
  return line;
}

}  // namespace

std::string source_line(uintptr_t instruction) {
  Dl_info module{};
  if (dladdr(reinterpret_cast<void*>(instruction), &module) == 0) return concat("instruction ", hex(instruction));
  std::string path = module.dli_fname ? module.dli_fname : "";
  const std::string self = program_path();
  if (path.empty() || path.find('/') == std::string::npos) path = self;
  const auto base = reinterpret_cast<uintptr_t>(module.dli_fbase);
  if (path.find('\'') == std::string::npos) {
    // Programs that are not position-independent (base 0x400000) have absolute addresses in their tables.
    const uintptr_t offset = base == 0x400000 ? instruction : instruction - base;
    for (const char* tool : {"addr2line -e '", "llvm-symbolizer-19 --no-inlines --output-style=GNU -e '"}) {
      const std::string line = output_of(concat(tool, path, "' ", hex(offset), " 2>/dev/null"));
      const size_t colon = line.rfind(':');
      if (line.empty() || line[0] == '?' || colon == std::string::npos) continue;
      return neutral::short_location(line.substr(0, colon), static_cast<unsigned>(std::atoi(line.c_str() + colon + 1)));
    }
  }
  return concat("instruction ", hex(instruction - base), " of ", path);
}

}  // namespace greta::hip::host
