#include "runners/isa/code_object.hpp"

#include <cxxabi.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <map>
#include <memory>
#include <sstream>

#include "kernels/hip/error.hpp"
#include "runners/child_process.hpp"

namespace greta::runners::isa {
namespace {

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::string output_of(const std::vector<std::string>& argv, const std::string& path) {
  ChildResult result = run_child({.argv = argv,
                                  .limit_s = 120,
                                  .folder = {},
                                  .environment = {},
                                  .file_size_limit = {},
                                  .output_limit = size_t{256} << 20});
  if (!result.exited_with(0))
    throw_invalid(
        fmt::format("{}: {} ended with {}: {}", path, argv[0], result.how_it_ended(), last_lines(result.err, 5)));
  return std::move(result.out);
}

/// A kernel's keys, one a line at an indent of four ("    .vgpr_count:     32"); those of its arguments stand deeper.
using Keys = std::map<std::string, std::string>;

std::vector<Keys> metadata(const std::string& notes) {
  std::vector<Keys> kernels;
  bool inside = false;
  std::istringstream in(notes);
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("amdhsa.kernels:", 0) == 0) {
      inside = true;
      continue;
    }
    if (!inside) continue;
    if (!line.empty() && line[0] != ' ') break;
    const bool first = line.rfind("  - .", 0) == 0;
    if (first) kernels.emplace_back();
    if (kernels.empty() || (!first && (line.rfind("    .", 0) != 0))) continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    std::string value(trimmed(std::string_view(line).substr(colon + 1)));
    if (value.size() >= 2 && value.front() == '\'' && value.back() == '\'') value = value.substr(1, value.size() - 2);
    kernels.back()[line.substr(5, colon - 5)] = value;
  }
  return kernels;
}

struct Fields {
  const Keys& keys;
  const std::string& path;
  std::string text(const char* key) const {
    const auto found = keys.find(key);
    if (found == keys.end()) throw_invalid(fmt::format("{}: a kernel's metadata lacks .{}", path, key));
    return found->second;
  }
  int64_t number(const char* key) const {
    const std::string value = text(key);
    int64_t n = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), n);
    if (error != std::errc{} || end != value.data() + value.size())
      throw_invalid(fmt::format("{}: .{} is '{}', no number", path, key, value));
    return n;
  }
};

uint64_t hex(std::string_view text) {
  uint64_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n, 16);
  return n;
}

/// "\tmnemonic operands   // 000000004900: C00E0200 00000000 <symbol+0x360>"
std::optional<Instruction> instruction(const std::string& line, uint64_t function) {
  const size_t comment = line.find("// ");
  if (line.empty() || line[0] != '\t' || comment == std::string::npos) return std::nullopt;
  Instruction i;
  const std::string_view text = trimmed(std::string_view(line).substr(0, comment));
  const size_t space = text.find(' ');
  i.mnemonic = std::string(text.substr(0, space));
  if (space != std::string_view::npos) i.operands = std::string(trimmed(text.substr(space)));
  const size_t colon = line.find(':', comment);
  if (colon == std::string::npos) return std::nullopt;
  i.address = hex(trimmed(std::string_view(line).substr(comment + 3, colon - comment - 3)));
  const size_t angle = line.find('<', colon);
  std::istringstream words(line.substr(colon + 1, angle == std::string::npos ? angle : angle - colon - 1));
  for (std::string word; words >> word;) i.bytes += static_cast<uint32_t>(word.size() / 2);
  if (angle != std::string::npos && i.mnemonic.find("branch") != std::string::npos) {
    const size_t plus = line.rfind("+0x");
    i.target =
        function + (plus == std::string::npos || plus < angle ? 0 : hex(std::string_view(line).substr(plus + 3)));
    // from_chars stops at '>'
  }
  return i;
}

std::map<std::string, std::vector<Instruction>> functions(const std::string& disassembly) {
  std::map<std::string, std::vector<Instruction>> out;
  std::vector<Instruction>* code = nullptr;
  uint64_t start = 0;
  std::istringstream in(disassembly);
  for (std::string line; std::getline(in, line);) {
    if (!line.empty() && line[0] != '\t' && line.size() > 2 && line.ends_with(">:")) {
      const size_t open = line.find('<');
      start = hex(trimmed(line.substr(0, open)));
      code = &out[line.substr(open + 1, line.size() - open - 3)];
    } else if (code) {
      if (auto i = instruction(line, start)) code->push_back(*std::move(i));
    }
  }
  for (auto& [name, instructions] : out) {  // what follows the last end is padding
    while (!instructions.empty() && instructions.back().mnemonic != "s_endpgm") instructions.pop_back();
  }
  return out;
}

}  // namespace

std::string short_name(const std::string& symbol) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> demangled(
      abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status), &std::free);
  if (status != 0 || !demangled) return symbol;
  std::string name = demangled.get();
  for (const std::string_view drop : {"greta::", "(anonymous namespace)::", "hip::", "gpu::", "void "})
    for (size_t at; (at = name.find(drop)) != std::string::npos;) name.erase(at, drop.size());
  int depth = 0;
  for (size_t i = 0; i < name.size(); ++i) {  // to the parameters: the first parenthesis outside <>
    if (name[i] == '<') ++depth;
    if (name[i] == '>') --depth;
    if (name[i] == '(' && depth == 0) {
      name.resize(i);
      break;
    }
  }
  return name;
}

std::vector<Kernel> kernels_from(const std::string& notes, const std::string& disassembly, const std::string& path) {
  std::map<std::string, std::vector<Instruction>> code = functions(disassembly);
  std::vector<Kernel> kernels;
  for (const Keys& keys : metadata(notes)) {
    const Fields f{keys, path};
    Kernel k;
    k.symbol = f.text("name");
    k.name = short_name(k.symbol);
    k.resources = {f.number("vgpr_count"),
                   f.number("agpr_count"),
                   f.number("sgpr_count"),
                   f.number("vgpr_spill_count"),
                   f.number("sgpr_spill_count"),
                   f.number("private_segment_fixed_size"),
                   f.number("group_segment_fixed_size"),
                   f.number("max_flat_workgroup_size"),
                   f.text("uses_dynamic_stack") != "false"};
    k.code = std::move(code[k.symbol]);
    if (k.code.empty()) throw_invalid(fmt::format("{}: kernel {} has no code", path, k.symbol));
    kernels.push_back(std::move(k));
  }
  if (kernels.empty()) throw_invalid(fmt::format("{}: no kernel in it", path));
  std::sort(kernels.begin(), kernels.end(), [](const Kernel& a, const Kernel& b) { return a.symbol < b.symbol; });
  return kernels;
}

CodeObject read_code_object(const Toolchain& tools, const std::string& name, const std::string& path) {
  CodeObject object{name, path, {}};
  object.kernels = kernels_from(output_of({tools.readelf, "--notes", path}, path),
                                output_of({tools.objdump, "-d", path}, path), path);
  return object;
}

}  // namespace greta::runners::isa
