// Seeded mistakes of a loader: the bytes of one tensor on their way to the device, changed as a wrong stride, a wrong
// offset or a wrong name would change them. For gates and audits that must find them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/defects.hpp"
#include "model/gguf.hpp"

namespace greta::model {

enum class WeightDamage {
  kNone,
  kTransposed,      ///< element (r, c) is element c * rows + r of the file: column-major for row-major
  kNextRow,         ///< row r is row r + 1 of the file, the last one the first
  kNextBlock,       ///< values of a row one storage block further on, around its end (32 where a row is one block)
  kSwappedHalves,   ///< the halves of each row exchanged
  kSubBlockScales,  ///< Q4_K only: scales of sub-blocks 0 and 1 of every superblock exchanged
  kTruncated,       ///< the last quarter of the bytes never arrives: the buffer keeps its poison
  kOnes,            ///< every value is one
  kDropped,         ///< output.weight alone: it is not loaded, and token_embd serves in its place
  kOther,           ///< the bytes of tensor `other`, of the same type and size
};

struct LoadFault {
  WeightDamage damage = WeightDamage::kNone;
  std::string tensor;  ///< as the file names it
  std::string other;   ///< kOther; that tensor gets the bytes of `tensor` in turn
  bool touches(std::string_view name) const {
    return damage != WeightDamage::kNone && (name == tensor || (damage == WeightDamage::kOther && name == other));
  }
};

/// What loading with the defect does; damage kNone for defects that are not the loader's.
LoadFault load_fault_of(Defect defect);

/// What arrives on the device instead of the tensor's bytes: all of them, or fewer when truncated. Throws
/// kInvalidArgument when the damage does not fit the tensor (kSubBlockScales of other types, kOther of another
/// size).
std::vector<char> damaged_bytes(const GgufFile& file, const GgufTensor& tensor, const LoadFault& fault);

}  // namespace greta::model
