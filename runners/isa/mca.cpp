// llvm-mca's opinion of a hot loop.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "kernels/hip/error.hpp"
#include "runners/child_process.hpp"
#include "runners/isa/figures.hpp"

namespace greta::runners::isa {
namespace {

constexpr int kIterations = 100;

/// A file of its own for each call, gone with it.
class ScratchFile {
 public:
  ScratchFile() {
    std::string pattern = (std::filesystem::temp_directory_path() / "greta_mca_XXXXXX").string();
    const int file = ::mkstemp(pattern.data());
    if (file < 0) throw Error(ErrorKind::kIo, fmt::format("no file like {}: {}", pattern, std::strerror(errno)));
    ::close(file);
    path = pattern;
  }
  ~ScratchFile() { ::unlink(path.c_str()); }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  std::string path;
};

/// llvm-mca 19 ends with an assertion on buffer_*: the same access as global_*. "buffer_load_dwordx4 v[0:3], v4,
/// s[8:11], 0 offen offset:16" becomes "global_load_dwordx4 v[0:3], v4, s[8:9]".
std::string without_buffers(const Instruction& i) {
  static const std::regex load(R"(^(v\[?[0-9:]+\]?|a\[?[0-9:]+\]?), (v[0-9]+), s\[([0-9]+):[0-9]+\].*)");
  const std::string mnemonic = "global_" + i.mnemonic.substr(7);
  std::smatch m;
  if (!std::regex_match(i.operands, m, load)) return "";
  const int base = std::stoi(m[3]);
  const bool store = i.mnemonic.find("_store_") != std::string::npos;
  const std::string address = fmt::format("s[{}:{}]", base, base + 1);
  return store ? fmt::format("{} {}, {}, {}", mnemonic, m[2].str(), m[1].str(), address)
               : fmt::format("{} {}, {}, {}", mnemonic, m[1].str(), m[2].str(), address);
}

}  // namespace

Mca run_mca(const Toolchain& tools, const Kernel& k, const Region& region) {
  const ScratchFile file;
  {
    std::ofstream out(file.path);
    for (const size_t index : region.path) {
      const Instruction& i = k.code[index];
      const Class c = class_of(i);
      if (c == Class::kBranch || c == Class::kBarrier || i.mnemonic == "s_endpgm") continue;
      if (i.mnemonic.rfind("buffer_", 0) == 0) {
        if (const std::string line = without_buffers(i); !line.empty()) out << line << "\n";
        continue;
      }
      out << i.mnemonic << " " << i.operands << "\n";
    }
  }
  Mca mca;
  // A hot loop takes it a second. llvm-mca 19 never ends on some waits for loads before a chain of matrix instructions:
  // such a kernel has no figures of it, which only a class that asks for them minds.
  constexpr double kLimitS = 20;
  const ChildResult result =
      run_child({.argv = {tools.mca, "-mtriple=amdgcn-amd-amdhsa", "-mcpu=gfx942",
                          fmt::format("-iterations={}", kIterations), "-instruction-info=0", file.path},
                 .limit_s = kLimitS,
                 .folder = {},
                 .environment = {},
                 .file_size_limit = {},
                 .output_limit = size_t{16} << 20});
  if (!result.exited_with(0)) {
    mca.error = fmt::format("llvm-mca ended with {}: {}", result.how_it_ended(), last_lines(result.err, 2));
    return mca;
  }
  // "Total Cycles:      9100", "[6]   - HWXDL", and below "Resource pressure per iteration:" a row of names and one of
  // numbers, "-" for none.
  std::istringstream in(result.out);
  int xdl = -1, unit = -1;
  bool pressure = false;
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("Total Cycles:", 0) == 0) mca.cycles = std::stod(line.substr(13)) / kIterations;
    if (!pressure && line[0] == '[' && line.find("- HW") != std::string::npos) {
      ++unit;
      if (line.find("HWXDL") != std::string::npos) xdl = unit;
    }
    if (line.rfind("Resource pressure per iteration:", 0) == 0) {
      std::getline(in, line), std::getline(in, line);
      std::istringstream words(line);
      std::string word;
      for (int n = 0; words >> word; ++n)
        if (n == xdl && word != "-") mca.xdl = std::stod(word);
      break;
    }
  }
  if (mca.cycles <= 0 || xdl < 0) {
    mca.cycles = 0;
    mca.error = "llvm-mca printed no cycles or no matrix unit";
  }
  return mca;
}

}  // namespace greta::runners::isa
