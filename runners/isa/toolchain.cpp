// The build's index of code objects, and the build of them.
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "kernels/hip/error.hpp"
#include "runners/child_process.hpp"
#include "runners/isa/code_object.hpp"

namespace greta::runners::isa {

Toolchain read_toolchain() {
  Toolchain tools;
  tools.folder = std::string(GRETA_BUILD_DIR) + "/gfx942";
  const std::string path = tools.folder + "/index.txt";
  std::ifstream in(path);
  if (!in)
    throw Error(ErrorKind::kNoDevice, fmt::format("greta isa: no {}; next: build Greta here with ./greta --platform "
                                                  "host --build-only (the program looks at its own build folder)",
                                                  path));
  for (std::string line; std::getline(in, line);) {
    const size_t equals = line.find('=');
    const std::string key = line.substr(0, equals), value = equals == std::string::npos ? "" : line.substr(equals + 1);
    if (key == "missing") tools.missing = value;
    if (key == "compiler") tools.compiler = value;
    if (key == "readelf") tools.readelf = value;
    if (key == "objdump") tools.objdump = value;
    if (key == "mca") tools.mca = value;
    if (key == "object") tools.objects.push_back(value);
  }
  if (tools.missing.empty() && (tools.compiler.empty() || tools.readelf.empty() || tools.objdump.empty() ||
                                tools.mca.empty() || tools.objects.empty()))
    throw Error(ErrorKind::kNoDevice, fmt::format("greta isa: {} is not whole; next: cmake {}", path, GRETA_BUILD_DIR));
  return tools;
}

Toolchain build_objects(const std::string& target) {
  Toolchain tools = read_toolchain();
  if (!tools.missing.empty()) {  // perhaps installed since
    run_child(
        {.argv = {"cmake", GRETA_BUILD_DIR}, .limit_s = 300, .folder = {}, .environment = {}, .file_size_limit = {}});
    tools = read_toolchain();
  }
  if (!tools.missing.empty()) throw Error(ErrorKind::kNoDevice, "greta isa: " + tools.missing);
  if (!std::filesystem::exists(fmt::format("{}/{}.co", tools.folder, tools.objects.front())))
    fmt::print(stderr, "greta isa: compiling for gfx942, a minute or two\n");
  const ChildResult built = run_child({.argv = {"cmake", "--build", GRETA_BUILD_DIR, "--target", target},
                                       .limit_s = 1800,
                                       .folder = {},
                                       .environment = {},
                                       .file_size_limit = {}});
  if (!built.exited_with(0))
    throw Error(ErrorKind::kNoDevice,
                fmt::format("greta isa: building {} ended with {}\n{}\n{}", target, built.how_it_ended(),
                            last_lines(built.out, 30), last_lines(built.err, 10)));
  return read_toolchain();  // the build may have configured again
}

}  // namespace greta::runners::isa
