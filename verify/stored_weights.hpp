// Weight rows as a GGUF file stores them, for tables and matmuls.
#pragma once

#include "verify/tensor.hpp"

namespace greta::verify {

/// rows x row_length values of a weights type; dimensions {row, block}.
Tensor weights_shape(std::string name, DType type, int64_t rows, int64_t row_length);

/// Even rows look like a model's weights (normal, sigma 0.05); odd rows hold any bits: extreme scales, all quants.
Tensor random_weights(Tensor shape, uint64_t seed);

/// Weights whose values are whole multiples of 2^-6 (quantised types) or whole numbers from -2 to 2 (float types).
/// `values` gets each weight times 64 (quantised) or as it is, row by row.
Tensor whole_weights(Tensor shape, uint64_t seed, std::vector<int32_t>& values);
/// What one whole number of whole_weights() stands for: 2^-6 or 1.
double whole_unit(DType type);

}  // namespace greta::verify
