// gfx942 code objects as the compiler's own tools show them: metadata by llvm-readelf, instructions by llvm-objdump.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace greta::runners::isa {

/// Where the build keeps code objects and which tools belong to the compiler (<build>/gfx942/index.txt, written by
/// cmake/GretaGfx942.cmake).
struct Toolchain {
  std::string folder;    ///< <build>/gfx942
  std::string missing;   ///< not empty: what to install; then nothing else is set
  std::string compiler;  ///< first line of its --version
  std::string readelf, objdump, mca;
  std::vector<std::string> objects;  ///< "swiglu/v1_elementwise": from kernels/, without .hip
};
/// The index as the last configuration wrote it.
Toolchain read_toolchain();
/// Brings code objects up to date (target gfx942_objects or gfx942_defects) and returns the index; configures again
/// when something was missing. Throws kNoDevice (exit 4) saying what to install, or what the compiler said.
Toolchain build_objects(const std::string& target);

struct Instruction {
  uint64_t address = 0;
  uint32_t bytes = 0;
  std::string mnemonic;            ///< "global_load_dwordx4"
  std::string operands;            ///< "v[0:3], v[0:1], off"
  std::optional<uint64_t> target;  ///< of branches: an address
};

/// What the metadata says of a kernel; every field is there or the object is refused.
struct Resources {
  int64_t vgprs = 0;  ///< total, AGPRs included
  int64_t agprs = 0, sgprs = 0, vgpr_spills = 0, sgpr_spills = 0;
  int64_t scratch_bytes = 0;  ///< private segment of a lane
  int64_t lds_bytes = 0;      ///< static
  int64_t max_threads = 0;    ///< of a workgroup
  bool dynamic_stack = false;
};

struct Kernel {
  std::string symbol;  ///< mangled
  std::string name;    ///< demangled, without return type, namespaces and parameters: "swiglu_kernel<...>"
  Resources resources;
  std::vector<Instruction> code;  ///< to the last s_endpgm
};

struct CodeObject {
  std::string name;  ///< as in Toolchain::objects
  std::string path;
  std::vector<Kernel> kernels;  ///< by symbol
};
/// Throws kInvalidArgument naming file and what is not as expected.
CodeObject read_code_object(const Toolchain& tools, const std::string& name, const std::string& path);

/// "swiglu_kernel<float, (ExpMode)0, true>" of the mangled name.
std::string short_name(const std::string& symbol);

/// For tests: the same from texts.
std::vector<Kernel> kernels_from(const std::string& notes, const std::string& disassembly, const std::string& path);

}  // namespace greta::runners::isa
