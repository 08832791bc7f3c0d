// Inside kernels/hip: a copy whose bounds are checked, on its way to the platform past the log of copies.
#pragma once

#include "kernels/hip/copy_log.hpp"
#include "kernels/hip/registry.hpp"

namespace greta::hip::neutral {

struct CheckedCopy {
  CopyRecord::Kind kind;
  void* to;
  const void* from;
  size_t bytes;                   ///< not 0
  size_t element;                 ///< bytes
  size_t to_offset, from_offset;  ///< in the buffers; 0 for host memory
  const Entry* to_entry;          ///< null: host memory
  const Entry* from_entry;
};
void carry_out(Stream& stream, const CheckedCopy& copy);

}  // namespace greta::hip::neutral
