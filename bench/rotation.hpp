// Tensors in many copies, so that every timed launch reads memory and not a cache.
#pragma once

#include <string>
#include <vector>

#include "kernels/hip/tensor.hpp"
#include "reference/rounding.hpp"
#include "verify/tensor.hpp"

namespace greta::bench {

/// How many slots make launches cold that touch that many bytes: twice the last-level cache goes round. At least 2 and
/// at most 4096, and no more than a quarter of the device's memory when a slot takes `bytes_a_slot` (0: what is
/// touched).
int64_t slots_for(double bytes_touched, double bytes_a_slot = 0);
/// Whether that many bytes going round are twice the last-level cache: else rows are labelled warm.
bool is_cold(double footprint);

/// One tensor in `slots` copies inside one allocation, each on 256 bytes.
class RotatedTensor {
 public:
  /// Poisoned, as an output.
  RotatedTensor(std::string name, DType dtype, int64_t count, int64_t slots);
  /// Every slot holds the tensor's bytes.
  RotatedTensor(hip::Stream& stream, const verify::Tensor& tensor, int64_t slots);

  hip::AnyView view(int64_t slot) const;
  int64_t count() const { return count_; }
  int64_t slots() const { return slots_; }
  double bytes() const { return static_cast<double>(buffer_.bytes()); }
  void poison(hip::Stream& stream) { buffer_.poison(stream); }

  /// Elements [first, first + shape.count()) of a slot, into a tensor of that shape.
  verify::Tensor download(hip::Stream& stream, int64_t slot, verify::Tensor shape, int64_t first = 0) const;

 private:
  DType dtype_;
  int64_t count_, stride_, slots_;
  hip::DeviceTensor buffer_;
};

/// Rows to look at of n: the first, the last and some between, ascending, no duplicates, the same for the same seed.
std::vector<int64_t> sampled_rows(int64_t n, int64_t most, uint64_t seed);

/// Slots to look at: launched ones, the first and last of them among `most`.
std::vector<int64_t> sampled_slots(std::span<const int64_t> launches, int64_t most);

/// Empty when got has the bits of want (an answer that is all alike does not count), else where it differs.
std::string differs(const verify::Tensor& got, std::span<const float> want);

/// Empty when got is within the oracle's bound, else where it is not.
std::string outside(const verify::Tensor& got, const reference::Bounded& oracle);

/// Empty when whole outputs of launched slots are alike in every byte; outputs of slots that had the same inputs.
std::string slots_differ(hip::Stream& stream, const RotatedTensor& output, const verify::Tensor& shape,
                         std::span<const int64_t> slots);

}  // namespace greta::bench
