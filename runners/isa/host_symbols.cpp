#include "runners/isa/host_symbols.hpp"

#include <elf.h>
#include <fmt/format.h>
#include <link.h>

#include <cstring>
#include <fstream>

#include "kernels/hip/error.hpp"

namespace greta::runners::isa {
namespace {

/// How far the program was moved when it was loaded; the first module is the program itself.
uintptr_t load_offset() {
  uintptr_t offset = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* out) {
        *static_cast<uintptr_t*>(out) = info->dlpi_addr;
        return 1;
      },
      &offset);
  return offset;
}

template <class T>
T read_at(std::ifstream& in, uint64_t offset) {
  T value{};
  in.seekg(static_cast<std::streamoff>(offset));
  in.read(reinterpret_cast<char*>(&value), sizeof value);
  return value;
}

std::vector<char> read_bytes(std::ifstream& in, uint64_t offset, uint64_t size) {
  std::vector<char> bytes(size);
  in.seekg(static_cast<std::streamoff>(offset));
  in.read(bytes.data(), static_cast<std::streamsize>(size));
  return bytes;
}

}  // namespace

HostSymbols::HostSymbols() {
  std::ifstream in("/proc/self/exe", std::ios::binary);
  const auto header = read_at<Elf64_Ehdr>(in, 0);
  const uintptr_t offset = load_offset();
  for (int i = 0; in && i < header.e_shnum; ++i) {
    const auto section = read_at<Elf64_Shdr>(in, header.e_shoff + static_cast<uint64_t>(i) * header.e_shentsize);
    if (section.sh_type != SHT_SYMTAB) continue;
    const auto strings = read_at<Elf64_Shdr>(in, header.e_shoff + uint64_t{section.sh_link} * header.e_shentsize);
    std::vector<char> text = read_bytes(in, strings.sh_offset, strings.sh_size);
    text.push_back(0);
    const std::vector<char> table = read_bytes(in, section.sh_offset, section.sh_size);
    for (size_t at = 0; at + sizeof(Elf64_Sym) <= table.size(); at += sizeof(Elf64_Sym)) {
      Elf64_Sym symbol;
      std::memcpy(&symbol, table.data() + at, sizeof symbol);
      if (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && symbol.st_value && symbol.st_name < text.size())
        names_[symbol.st_value + offset].emplace_back(text.data() + symbol.st_name);
    }
  }
  if (names_.empty())
    throw_invalid(
        "greta isa: this program has no symbol table (stripped?), and kernels are found by their names; next: "
        "build it anew");
}

const std::vector<std::string>& HostSymbols::at(const void* address) const {
  const auto found = names_.find(reinterpret_cast<uintptr_t>(address));
  if (found == names_.end()) throw_invalid(fmt::format("greta isa: no function of this program starts at {}", address));
  return found->second;
}

}  // namespace greta::runners::isa
