// Symbols of this program by address, from its own symbol table: which kernel a pointer is.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace greta::runners::isa {

class HostSymbols {
 public:
  /// Throws kInvalidArgument when the program is stripped.
  HostSymbols();
  /// Mangled names of functions that start at `address`; throws kInvalidArgument when there is none.
  const std::vector<std::string>& at(const void* address) const;

 private:
  std::map<uintptr_t, std::vector<std::string>> names_;
};

}  // namespace greta::runners::isa
