// The part of a kernel whose figures count: its hot loop or, in a kernel without one, its main path.
#pragma once

#include <vector>

#include "runners/isa/instruction_class.hpp"

namespace greta::runners::isa {

struct Region {
  bool loop = false;
  std::vector<char> inside;  ///< of each instruction of the kernel, whether it belongs to the region
  /// What a wave that does the common work issues: the way through the region with most matrix operations and widest
  /// loads and least of everything else, which leaves out the mask of a last tile and ragged tails.
  std::vector<size_t> path;
  int divergent_branches = 0;  ///< forward branches on the execution mask
  uint32_t code_bytes = 0;
};

/// Hot loop: the loop that, without the loops inside it, has most MFMA passes; where there is no MFMA, most loads, wide
/// ones first; then most instructions. A kernel without loops has its whole body, and so has one whose widest loads are
/// in no loop. `whole_body` asks for the body of a kernel whose loops are not its work.
Region hot_region(const Kernel& kernel, bool whole_body = false);

}  // namespace greta::runners::isa
