// For the tests of attention kernels: inputs from a seed, runs that return the output's bits, and a plain double loop.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/hip/dtype.hpp"
#include "kernels/hip/tensor.hpp"

namespace greta::attention_test {

using Bits = std::vector<uint16_t>;  ///< f16 or bf16

inline uint16_t to_bits(DType dtype, float v) {
  return dtype == DType::kF16 ? from_f32<half_t>(v).bits : from_f32<bf16_t>(v).bits;
}
inline float from_bits(DType dtype, uint16_t bits) {
  return dtype == DType::kF16 ? to_f32(half_t{bits}) : to_f32(bf16_t{bits});
}

/// About normal: the sum of four uniform values, variance 1.
inline Bits random_values(DType dtype, size_t count, uint32_t seed) {
  Bits values(count);
  uint32_t state = seed * 2654435761u + 1;
  for (uint16_t& v : values) {
    float sum = 0.0f;
    for (int i = 0; i < 4; ++i) {
      state = state * 1664525u + 1013904223u;
      sum += static_cast<float>(state >> 8) * 0x1p-24f - 0.5f;
    }
    v = to_bits(dtype, sum * 1.7320508f);
  }
  return values;
}

/// Makes rows [0, n) of one cache such that their weighted sum is 0 but for rounding: key j + n/2 is key j with the
/// opposite value. In bf16, whose range holds them, the outputs are then rounding errors of the f32 sums and nothing
/// else: any other order of operations shows in most elements, where with random inputs it shows in few.
inline void leave_only_rounding(Bits& k, Bits& v, int64_t n, int64_t row_elements) {
  for (int64_t j = 0; j < n / 2; ++j)
    for (int64_t c = 0; c < row_elements; ++c) {
      k[(j + n / 2) * row_elements + c] = k[j * row_elements + c];
      v[(j + n / 2) * row_elements + c] = v[j * row_elements + c] ^ 0x8000u;
    }
  if (n % 2) std::fill_n(v.begin() + (n - 1) * row_elements, row_elements, uint16_t{0});
}

inline int count_differing(const Bits& a, const Bits& b) {
  int count = 0;
  for (size_t i = 0; i < a.size(); ++i) count += a[i] != b[i];
  return count;
}

inline hip::DeviceTensor upload(hip::Stream& stream, const char* name, DType dtype, const Bits& values, size_t count) {
  hip::DeviceTensor tensor(name, dtype, count);  // what `values` does not reach stays poison
  tensor.upload_bytes(stream, values.data(), values.size() * sizeof(uint16_t));
  return tensor;
}
inline Bits download(hip::Stream& stream, const hip::DeviceTensor& tensor) {
  Bits values(tensor.count());
  tensor.download_bytes(stream, values.data(), tensor.bytes());
  return values;
}

/// One output row in double, and the size of what was summed, channel by channel.
struct PlainRow {
  std::vector<double> o, magnitude;
};
/// key(j, c), value(j, c) in double.
template <class Key, class Value>
PlainRow plain_row(const std::vector<double>& q, int64_t n_visible, double scale, Key&& key, Value&& value) {
  const size_t d = q.size();
  std::vector<double> x(static_cast<size_t>(n_visible));
  double max = -INFINITY, l = 0.0;
  for (size_t j = 0; j < x.size(); ++j) {
    for (size_t c = 0; c < d; ++c) x[j] += q[c] * key(j, c);
    x[j] *= scale;
    if (x[j] > max) max = x[j];
  }
  PlainRow row{std::vector<double>(d), std::vector<double>(d)};
  for (size_t j = 0; j < x.size(); ++j) {
    const double p = std::exp(x[j] - max);
    l += p;
    for (size_t c = 0; c < d; ++c) row.o[c] += p * value(j, c), row.magnitude[c] += p * std::abs(value(j, c));
  }
  for (size_t c = 0; c < d; ++c) row.o[c] /= l, row.magnitude[c] /= l;
  return row;
}

/// Rounding of the output and a loose allowance for f32 inside (verify holds the kernels to derived bounds).
inline double tolerance(DType dtype, double magnitude) {
  return (dtype == DType::kF16 ? 0x1p-10 : 0x1p-7) * magnitude + 1e-6;
}

/// Sets wave, order and poison of the host executor; the old configuration comes back at the end of the scope.
class WithConfig {
 public:
  explicit WithConfig(int wave, hip::ExecConfig::Order order = hip::ExecConfig::Order::kForward, uint64_t seed = 0,
                      hip::ExecConfig::Poison poison = hip::ExecConfig::Poison::kNan)
      : saved_(hip::exec_config()) {
    hip::ExecConfig config = saved_;
    config.wave = wave, config.order = order, config.order_seed = seed, config.poison = poison;
    hip::set_exec_config(config);
  }
  ~WithConfig() { hip::set_exec_config(saved_); }
  WithConfig(const WithConfig&) = delete;
  WithConfig& operator=(const WithConfig&) = delete;

 private:
  hip::ExecConfig saved_;
};

}  // namespace greta::attention_test
