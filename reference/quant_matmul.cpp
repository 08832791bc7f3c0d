// The oracle of quantised matmul. The twin is quant_matmul_twin.cpp.
#include "reference/quant_matmul.hpp"

#include <Eigen/Core>

#include "reference/quant_blocks.hpp"

namespace greta::reference {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// One block of all rows of W as Y sees it: scale parts, and for q4_k the part of the minima (positive, subtracted).
struct WeightSlice {
  Matrix scaled;  ///< [n_out, block]
  Matrix minima;  ///< [n_out, block] or empty
};

template <class Block>
Block load(const void* weights, int64_t index) {
  Block block;
  std::memcpy(&block, static_cast<const char*>(weights) + static_cast<size_t>(index) * sizeof block, sizeof block);
  return block;
}

WeightSlice slice(const QuantMatmulProblem& p, const void* weights, int64_t b) {
  const int64_t values = dtype_block_values(p.weights), per_row = p.weight_blocks_per_row();
  WeightSlice s{Matrix(p.n_out, values), p.weights == DType::kQ4K ? Matrix(p.n_out, values) : Matrix()};
  for (int64_t r = 0; r < p.n_out; ++r) {
    if (p.weights == DType::kQ4K) {
      const Q4KParts parts = unpack(load<BlockQ4K>(weights, r * per_row + b));
      for (int i = 0; i < kSuperblock; ++i) {
        s.scaled(r, i) = parts.d * parts.scale[i / 32] * parts.q[i];
        s.minima(r, i) = parts.dmin * parts.min[i / 32];
      }
    } else {
      const char* row = static_cast<const char*>(weights) + static_cast<size_t>(r) * row_bytes(p.weights, p.n_in);
      dequantise_row(p.weights, row + b * dtype_block_bytes(p.weights),
                     std::span<double>(s.scaled.row(r).data(), static_cast<size_t>(values)));
    }
  }
  return s;
}

Matrix dequantised_activations(const QuantMatmulProblem& p, std::span<const float> x) {
  Matrix out(p.m, p.n_in);
  for (int64_t i = 0; i < p.m; ++i) {
    const auto row = x.subspan(static_cast<size_t>(i * p.n_in), static_cast<size_t>(p.n_in));
    const std::span<double> to(out.row(i).data(), static_cast<size_t>(p.n_in));
    if (p.activation_blocks() == DType::kQ8Act256)
      dequantise_activations(std::span<const BlockQ8Act256>(quantise_activations_256(row)), to);
    else
      dequantise_activations(std::span<const BlockQ8Act32>(quantise_activations_32(row)), to);
  }
  return out;
}

/// sum |isum| + |msum| of a block is at most this: what 2^-150 of underflow is multiplied by.
double largest_integer_sum(DType weights) {
  switch (weights) {
    case DType::kQ4K:
      return 256.0 * 127 * (63 * 15 + 63);
    case DType::kQ6K:
      return 256.0 * 127 * 128 * 32;
    default:
      return 32.0 * 127 * 128;
  }
}

/// Values and magnitude sums B.
struct Sums {
  Matrix value, magnitude;
};

Sums quantised_sums(const QuantMatmulProblem& p, const void* weights, std::span<const float> x) {
  const Matrix activations = dequantised_activations(p, x);
  const int64_t values = dtype_block_values(p.weights);
  Sums sums{Matrix::Zero(p.m, p.n_out), Matrix::Zero(p.m, p.n_out)};
  for (int64_t b = 0; b < p.weight_blocks_per_row(); ++b) {
    const WeightSlice s = slice(p, weights, b);
    const auto block = activations.middleCols(b * values, values);
    const Matrix scaled = block * s.scaled.transpose();
    sums.value += scaled;
    sums.magnitude += scaled.cwiseAbs();
    if (s.minima.size() == 0) continue;
    const Matrix minima = block * s.minima.transpose();
    sums.value -= minima;
    sums.magnitude += minima.cwiseAbs();
  }
  return sums;
}

Sums float_sums(const QuantMatmulProblem& p, const void* weights, std::span<const float> x) {
  Matrix w(p.n_out, p.n_in);
  for (int64_t r = 0; r < p.n_out; ++r)
    dequantise_row(p.weights, static_cast<const char*>(weights) + static_cast<size_t>(r) * row_bytes(p.weights, p.n_in),
                   std::span<double>(w.row(r).data(), static_cast<size_t>(p.n_in)));
  const Matrix values =
      Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(x.data(), p.m, p.n_in)
          .cast<double>();
  return {values * w.transpose(), values.cwiseAbs() * w.cwiseAbs().transpose()};
}

}  // namespace

bool matmul_on_matrix_tiles(const QuantMatmulProblem& p, std::string_view arithmetic) {
  const std::string_view plain = p.weights == DType::kQ4K   ? "q4_k_i8"
                                 : p.weights == DType::kQ6K ? "q6_k_i8"
                                 : p.quantised()            ? "q8_0_i8"
                                                            : "f32_lanes64";
  if (arithmetic.empty() || arithmetic == plain) return false;
  const bool tiles = (p.weights == DType::kF16 || p.weights == DType::kBF16) && p.x == p.weights && p.n_in % 8 == 0;
  if (tiles && arithmetic == "mma_f32") return true;
  throw_invalid("quant_matmul: unknown arithmetic id '" + std::string(arithmetic) + "'; known for this problem: " +
                std::string(plain) + (tiles ? ", mma_f32" : "") + " (" + to_line(p) + ")");
}

Bounded quant_matmul_oracle(const QuantMatmulProblem& p, const void* weights, std::span<const float> x,
                            std::string_view arithmetic) {
  const auto blocks = static_cast<double>(p.weight_blocks_per_row());
  const Sums sums = p.quantised() ? quantised_sums(p, weights, x) : float_sums(p, weights, x);
  double links = 0;
  switch (p.weights) {
    case DType::kQ4K:
      links = 2 * blocks + 2;
      break;
    case DType::kQ6K:
      links = blocks + 2;
      break;
    case DType::kQ8_0:
      links = 8 + std::ceil(blocks / 8) + 1;
      break;
    default:
      links = 4 * std::ceil(static_cast<double>(p.n_in) / 256) + 6;
  }
  if (matmul_on_matrix_tiles(p, arithmetic)) links = matrix_coefficient((p.n_in + 31) / 32 * 32);
  const double absolute =
      kTinyF32 * (p.quantised() ? blocks * largest_integer_sum(p.weights) : 2 * static_cast<double>(p.n_in));
  Bounded out;
  out.value.assign(sums.value.data(), sums.value.data() + sums.value.size());
  out.bound.reserve(out.value.size());
  for (size_t i = 0; i < out.value.size(); ++i) {
    const double error = gamma(links) * sums.magnitude.data()[i] + absolute;
    out.bound.push_back(error + output_rounding(p.y, std::abs(out.value[i]) + error));
  }
  return out;
}

}  // namespace greta::reference
