// A model in F32, F16 or BF16 to a quantised one: metadata, names and order kept, matrices in the types of the mix.
// How values become blocks: reference/quant_blocks.hpp.
// Errors: kInvalidArgument for a file that is no llama or whose matrices are quantised already, for a NaN or infinity
// (naming tensor and row) and for weights beyond the range of the format; kIo when the output cannot be written.
#pragma once

#include <string>
#include <vector>

#include "model/config.hpp"
#include "model/weight_mix.hpp"

namespace greta::model {

struct QuantizedTensor {
  std::string name, shape;
  DType from, to;
  int64_t n_values = 0;
  double relative_rmse = 0;  ///< sqrt(sum (w' - w)^2 / sum w^2); 0 for tensors that are copied
};
struct QuantizeReport {
  std::vector<QuantizedTensor> tensors;
  std::vector<std::string> notes;  ///< types that fell back because of a row length
  uint64_t bytes_before = 0, bytes_after = 0;
};

/// Uses n_workers threads (0: one per core); the output is the same for any number.
QuantizeReport quantize_model(const std::string& from, const std::string& to, WeightMix mix, int n_workers);

}  // namespace greta::model
