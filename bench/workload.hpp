// What most operators' workloads share: rotated tensors, slots and footprint.
#pragma once

#include <deque>

#include "bench/bench_case.hpp"
#include "bench/rotation.hpp"
#include "verify/draw.hpp"

namespace greta::bench {

class RotatedWorkload : public Workload {
 public:
  int64_t slots() const override { return slots_; }
  double footprint() const override { return bytes_touched_ * static_cast<double>(slots_); }

 protected:
  /// Bytes that one launch touches, and that one slot's tensors take (0: the same).
  explicit RotatedWorkload(double bytes_touched, double bytes_a_slot = 0)
      : bytes_touched_(bytes_touched), slots_(slots_for(bytes_touched, bytes_a_slot)) {}

  /// Every slot holds the tensor.
  RotatedTensor& input(const verify::Tensor& tensor) { return tensors_.emplace_back(fill_, tensor, slots_); }
  /// Poisoned.
  RotatedTensor& output(const verify::Tensor& shape) {
    return tensors_.emplace_back("bench." + shape.name, shape.dtype, shape.count(), slots_);
  }

  hip::Stream fill_{"bench.fill"};

 private:
  double bytes_touched_;
  int64_t slots_;
  std::deque<RotatedTensor> tensors_;
};

/// A float tensor of rows.
inline verify::Tensor rows_tensor(const char* name, DType dtype, int64_t rows, int64_t width) {
  return verify::Tensor(name, dtype, {{"row", rows}, {"c", width}});
}

/// The check of operators whose output rows depend on the same row of the input and are the same for every slot:
/// sampled rows of one slot against want(row) (the row's values), then all of that slot against two others.
template <class Want>
std::string check_rows(hip::Stream& stream, const RotatedTensor& output, const char* name, DType dtype, int64_t rows,
                       int64_t width, std::span<const int64_t> launches, Want want) {
  const auto slots = sampled_slots(launches, 3);
  for (const int64_t row : sampled_rows(rows, 4, 1)) {
    const verify::Tensor got = output.download(stream, slots.back(), rows_tensor(name, dtype, 1, width), row * width);
    const std::vector<float> wanted = want(row);
    if (const auto wrong = differs(got, wanted); !wrong.empty()) return "row " + std::to_string(row) + ": " + wrong;
  }
  return slots_differ(stream, output, rows_tensor(name, dtype, rows, width), slots);
}

/// Values [row * width, (row + 1) * width) of a row-major tensor, as float.
inline std::vector<float> row_floats(const verify::Tensor& tensor, int64_t row) {
  const int64_t width = tensor.count() / tensor.dims[0].size;
  std::vector<float> values;
  for (int64_t c = 0; c < width; ++c) values.push_back(static_cast<float>(tensor.number(row * width + c)));
  return values;
}

}  // namespace greta::bench
