// A weight matrix on the device, asked what it is: the engine's matmul on random activations, and what rows of the file
// say it must give, in double. Activations count as the kernel sees them (8-bit blocks where weights are quantised), so
// that the distance holds no quantisation error: a right row is met to f32 rounding, a wrong one is nowhere near.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/quant_matmul/quant_matmul.hpp"
#include "model/gguf.hpp"
#include "model/weights.hpp"

namespace greta::runners {

/// m rows of n_in activations, normal, rounded to f16.
std::vector<float> probe_activations(int64_t m, int64_t n_in, uint64_t seed);

struct ProbeResult {
  std::vector<float> y;  ///< [m, n_out]
  std::string symbol;    ///< of the matmul kernel that was launched
  int64_t rows = 0;      ///< M as launched
};
/// Y = X W^T by that rung as the engine would run it; throws kDeviceFault when no or several matmuls were launched.
ProbeResult probe_matmul(hip::Stream& stream, const model::DeviceMatrix& w, const QuantMatmulRung& rung,
                         const std::vector<float>& x, int64_t m);

/// The activations as the matmul of these weights sees them, in double.
std::vector<double> seen_activations(DType weights, const std::vector<float>& x, int64_t m, int64_t n_in);

/// Values of a tensor of the file, dequantised block by block when asked for.
class FileValues {
 public:
  explicit FileValues(const model::GgufTensor& tensor);
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  std::vector<double> row(int64_t r) const;
  /// Value i of all values as one list, row after row.
  double at(int64_t i) const;

 private:
  const model::GgufTensor& tensor_;
  int64_t rows_, cols_, block_;
  mutable int64_t cached_ = -1;
  mutable std::vector<double> block_values_;
};

}  // namespace greta::runners
