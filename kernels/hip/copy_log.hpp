// A log of every transfer, and a second look at each: for audits. While a CopyLog lives, every copy of the process is
// written down; with `verify` its destination is filled with the inverse of the source's bytes before, read back after
// and compared with the source, and the bytes about the destination with what they were. That multiplies the traffic,
// waits, and changes no result.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/hip/runtime.hpp"

namespace greta::hip {

struct CopyRecord {
  enum class Kind { kToDevice, kFromDevice, kOnDevice };
  uint64_t id = 0;     ///< 1, 2, 3, ... since the log began
  double seconds = 0;  ///< since then, when the copy was asked for
  Kind kind = Kind::kToDevice;
  std::string stream;
  std::string to, from;                 ///< names of the buffers; "host" for memory of the program
  AllocationId to_id = 0, from_id = 0;  ///< 0: host
  uintptr_t to_address = 0, from_address = 0;
  size_t to_offset = 0, from_offset = 0, bytes = 0;
  DType dtype = DType::kU8;
  int64_t step = 0;     ///< as CopyLog::step() said last
  std::string what;     ///< of that step
  std::string problem;  ///< what the second look found; empty: nothing, or there was none
  bool verified = false;
};
std::string describe(const CopyRecord& copy);

/// One at a time; throws kInvalidArgument for a second.
class CopyLog {
 public:
  explicit CopyLog(bool verify);
  ~CopyLog();
  CopyLog(const CopyLog&) = delete;
  CopyLog& operator=(const CopyLog&) = delete;
  void step(int64_t number, std::string what);
  const std::vector<CopyRecord>& rows() const;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

/// A wrong copy on purpose, for the audit's own test: transfer number `at` (from 1, counted from this call; 0: none)
/// moves half its bytes, moves them to one element beside their place, or does not take place.
enum class CopyPlant { kNone, kShort, kShifted, kLost };
void plant_copy(CopyPlant plant, uint64_t at);

}  // namespace greta::hip
