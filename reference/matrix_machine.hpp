// The machine that matrix tiles run on, for twins of rungs that use them, and the largest error of its sums.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/hip/matrix_model.hpp"

namespace greta::reference {

/// The machine whose bits matrix tiles have: its model, and the wave, which decides where the columns of a product
/// stand among the depths of a tile (kernels/tile/kv_layout.hpp, operand_tile_layout.hpp). Hopper's bits do not depend
/// on that.
struct MatrixMachine {
  MatrixModel model = MatrixModel::kCdna3;
  int wave = 64;
};

/// Error of a sum of n products on matrix tiles, in units of u times the sum of their magnitudes: the largest of the
/// models'.
inline double matrix_coefficient(int64_t n) {
  const auto steps = [n](int64_t of) { return static_cast<double>((n + of - 1) / of); };
  return std::max({8 + 2.01 * steps(8), 10.5 * steps(16), static_cast<double>(n)});
}

}  // namespace greta::reference
