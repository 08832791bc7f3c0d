// Inside kernels/hip: what the finder of a fault knows beside its text. Told before raise_fault() or set_fault(), which
// take it into the report (fault.hpp).
#pragma once

#include "kernels/hip/fault.hpp"
#include "kernels/hip/runtime.hpp"

namespace greta::hip::neutral {

struct Blame {
  std::string place;  ///< the words of the text that name the place; elsewhere the rest does not count
  std::string argument, direction;
  Allocation buffer;
  std::optional<int64_t> offset;
  uint64_t launch = 0;
  std::vector<std::string> candidates;
};

/// Keeps launch and candidates that were told before.
void blame_place(Blame place);
void blame_launch(uint64_t sequence);
void blame_candidates(std::vector<std::string> launches);
/// A launch that the checks refused; no sticky fault.
void note_refused(FaultReport report);

}  // namespace greta::hip::neutral
