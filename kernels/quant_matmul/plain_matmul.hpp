// For tests of this operator and of the embedding gather only: the definitions of quant_matmul_problem.hpp and
// quant_blocks.hpp as plain loops over single values, in their order, sharing nothing with the kernels. HIP-free.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/hip/matrix_model.hpp"
#include "kernels/quant_matmul/quant_matmul_problem.hpp"
#include "kernels/tile/kernel_testing.hpp"
#include "kernels/tile/operand_tile_layout.hpp"
#include "kernels/tile/quant_blocks.hpp"

namespace greta::testing_support {

/// Storage bytes of a weight matrix: random bits, but finite scales of both signs.
inline std::vector<uint8_t> random_weights(DType type, size_t n_elements, uint64_t seed) {
  const auto block_bytes = static_cast<size_t>(dtype_block_bytes(type));
  std::vector<uint8_t> bytes = random_bytes(n_elements * block_bytes, seed);
  const auto scales = random_values(2 * n_elements, seed + 1, 0.05f);
  for (size_t b = 0; b < n_elements; ++b) {
    uint8_t* const block = bytes.data() + b * block_bytes;
    const half_t d = half_from_float(scales[2 * b]), dmin = half_from_float(scales[2 * b + 1]);
    if (type == DType::kQ4K) std::memcpy(block, &d, 2), std::memcpy(block + 2, &dmin, 2);
    if (type == DType::kQ6K) std::memcpy(block + 208, &d, 2);
    if (type == DType::kQ8_0) std::memcpy(block, &d, 2);
    const float v = scales[2 * b] * 20.0f;
    if (type == DType::kF32) std::memcpy(block, &v, 4);
    const half_t f16 = half_from_float(v);
    const bf16_t bf16 = bf16_from_float(v);
    if (type == DType::kF16) std::memcpy(block, &f16, 2);
    if (type == DType::kBF16) std::memcpy(block, &bf16, 2);
  }
  return bytes;
}

/// One value of a quantised row, in integers: w = d * scale * (q - zero) - dmin * min.
struct PlainWeight {
  float d, dmin;
  int scale, min, q;  ///< q less its zero
};
inline PlainWeight plain_weight(DType type, const uint8_t* row, int64_t c) {
  const uint8_t* b = row + c / dtype_block_values(type) * dtype_block_bytes(type);
  const int v = static_cast<int>(c % dtype_block_values(type));
  const auto half = [&](int at) {
    half_t h;
    std::memcpy(&h, b + at, 2);
    return half_to_float(h);
  };
  if (type == DType::kQ8_0) return {half(0), 0, 1, 0, static_cast<int8_t>(b[2 + v])};
  if (type == DType::kQ6K) {
    const int h = v / 128, l = v % 128;
    const uint8_t ql = b[64 * h + l % 64], qh = b[128 + 32 * h + l % 32];
    const int low = l < 64 ? ql & 15 : ql >> 4, high = (qh >> (2 * (l / 32))) & 3;
    return {half(208), 0, static_cast<int8_t>(b[192 + v / 16]), 0, (low | high << 4) - 32};
  }
  const uint8_t* s = b + 4;
  const int j = v / 32;
  const int sc = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
  const int mn = j < 4 ? s[j + 4] & 63 : (s[j + 4] >> 4) | (s[j] >> 6) << 4;
  const uint8_t byte = b[16 + 32 * (j / 2) + v % 32];
  return {half(0), half(2), sc, mn, j % 2 ? byte >> 4 : byte & 15};
}

/// One row of X as blocks of `block` values.
struct PlainActivations {
  std::vector<float> d;
  std::vector<int> q;
};
inline PlainActivations plain_quantise(const float* x, int64_t n, int block) {
  PlainActivations a;
  for (int64_t b = 0; b < n; b += block) {
    float amax = 0;
    bool finite = true;
    for (int i = 0; i < block; ++i) {
      finite = finite && std::isfinite(x[b + i]);
      amax = std::max(amax, std::abs(x[b + i]));
    }
    const float r = 127.0f / amax;
    const bool zero = amax == 0 || std::isinf(r);
    a.d.push_back(!finite ? std::nanf("") : zero ? 0.0f : amax / 127.0f);
    for (int i = 0; i < block; ++i) a.q.push_back(!finite || zero ? 0 : static_cast<int>(std::nearbyint(x[b + i] * r)));
  }
  return a;
}

inline float plain_value(DType type, const uint8_t* row, int64_t c) {
  float f;
  half_t h;
  bf16_t b;
  if (type == DType::kF32) return std::memcpy(&f, row + 4 * c, 4), f;
  if (type == DType::kF16) return std::memcpy(&h, row + 2 * c, 2), half_to_float(h);
  return std::memcpy(&b, row + 2 * c, 2), bf16_to_float(b);
}

/// The machine whose matrix tiles "mma_f32" runs on.
struct PlainMachine {
  MatrixModel model = MatrixModel::kCdna3;
  int wave = 64;
};

/// One output of "mma_f32" before its rounding.
inline float plain_mma_output(const QuantMatmulProblem& p, const uint8_t* row, const float* x, PlainMachine machine) {
  std::vector<uint16_t> a, b;
  const auto bits = [&](float v) {
    return p.weights == DType::kF16 ? half_from_float(v).bits : bf16_from_float(v).bits;
  };
  for (int64_t run = 0; run < p.n_in; run += 32)
    for (int half = 0; half < 2; ++half)
      for (int position = 0; position < 16; ++position) {
        const int64_t c = run + run_column(machine.wave, half, position);
        a.push_back(c < p.n_in ? bits(x[c]) : 0);
        b.push_back(c < p.n_in ? bits(plain_value(p.weights, row, c)) : 0);
      }
  return matrix_dot(machine.model, p.weights, static_cast<int>(a.size()), a.data(), b.data(), 0.0f);
}

/// One output before its rounding to y's type.
inline float plain_output(const QuantMatmulProblem& p, const uint8_t* row, const float* x) {
  if (!p.quantised()) {
    std::vector<float> lanes(64, 0.0f);
    for (int64_t c = 0; c < p.n_in; ++c) {
      float& acc = lanes[static_cast<size_t>(c % 256 / 4)];
      acc = std::fma(x[c], plain_value(p.weights, row, c), acc);
    }
    for (size_t distance = 1; distance < 64; distance *= 2)
      for (size_t l = 0; l < 64; l += 2 * distance) lanes[l] = lanes[l] + lanes[l + distance];
    return lanes[0];
  }
  const int block = p.weights == DType::kQ8_0 ? 32 : 256;
  const PlainActivations a = plain_quantise(x, p.n_in, block);
  float acc = 0, part = 0;
  for (int64_t b = 0; b < p.n_in; b += block) {
    int64_t isum = 0, msum = 0;
    for (int i = 0; i < block; ++i) {
      const PlainWeight w = plain_weight(p.weights, row, b + i);
      isum += w.scale * w.q * a.q[static_cast<size_t>(b + i)];
      msum += w.min * a.q[static_cast<size_t>(b + i)];
    }
    const PlainWeight w = plain_weight(p.weights, row, b);
    const float dx = a.d[static_cast<size_t>(b / block)];
    if (p.weights == DType::kQ8_0) {
      part = std::fma(w.d * dx, static_cast<float>(isum), part);
      if (b % 256 == 224 || b + block == p.n_in) acc = acc + part, part = 0;
    } else {
      acc = std::fma(w.d * dx, static_cast<float>(isum), acc);
      if (p.weights == DType::kQ4K) acc = std::fma(-(w.dmin * dx), static_cast<float>(msum), acc);
    }
  }
  return acc;
}

inline std::vector<float> plain_matmul(const QuantMatmulProblem& p, const std::vector<uint8_t>& weights,
                                       const std::vector<float>& x, bool on_matrix_tiles = false,
                                       PlainMachine machine = {}) {
  std::vector<float> y;
  const int64_t row_bytes = p.weight_blocks_per_row() * dtype_block_bytes(p.weights);
  for (int64_t i = 0; i < p.m; ++i)
    for (int64_t r = 0; r < p.n_out; ++r) {
      const uint8_t* const row = weights.data() + r * row_bytes;
      const float* const of_x = x.data() + i * p.n_in;
      y.push_back(rounded(p.y, on_matrix_tiles ? plain_mma_output(p, row, of_x, machine) : plain_output(p, row, of_x)));
    }
  return y;
}

}  // namespace greta::testing_support
