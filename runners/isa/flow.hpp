// Control flow of a kernel: basic blocks and loops.
#pragma once

#include <vector>

#include "runners/isa/code_object.hpp"

namespace greta::runners::isa {

struct Block {
  size_t first = 0, last = 0;  ///< instructions, both included
  std::vector<size_t> next;    ///< blocks
};

struct Loop {
  size_t header = 0;
  std::vector<char> blocks;  ///< of each block, whether it belongs to the loop
  bool contains(const Loop& other) const { return other.header != header && blocks[other.header]; }
};

/// Reachable blocks in reverse postorder: every edge leads to a later block, except those back to a loop's header
/// (compilers for this target make no loops with two entries). Addresses say nothing: compilers put blocks of a loop
/// before its header and behind its last branch.
struct Flow {
  std::vector<Block> blocks;
  std::vector<Loop> loops;  ///< one a header
};
Flow flow_of(const Kernel& kernel);

}  // namespace greta::runners::isa
