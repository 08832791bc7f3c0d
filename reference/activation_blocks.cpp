#include "reference/activation_blocks.hpp"

#include <algorithm>

#include "reference/quant_blocks.hpp"

namespace greta::reference {

std::vector<uint8_t> activation_block_bytes(DType type, std::span<const float> rows, int64_t width) {
  std::vector<uint8_t> bytes;
  const auto append = [&](const auto& blocks) {
    const auto* begin = reinterpret_cast<const uint8_t*>(blocks.data());
    bytes.insert(bytes.end(), begin, begin + blocks.size() * sizeof blocks[0]);
  };
  const auto step = static_cast<size_t>(width);
  for (size_t at = 0; at < rows.size(); at += step) {
    if (type == DType::kQ8Act256)
      append(quantise_activations_256(rows.subspan(at, step)));
    else
      append(quantise_activations_32(rows.subspan(at, step)));
  }
  return bytes;
}

std::vector<Bounded> activation_block_oracle(DType type, const Bounded& values) {
  const auto block = static_cast<size_t>(dtype_block_values(type));
  Bounded d, q, sums;
  for (size_t first = 0; first < values.value.size(); first += block) {
    double largest = 0, error = 0;
    for (size_t i = first; i < first + block; ++i) {
      largest = std::max(largest, std::abs(values.value[i]));
      error = std::max(error, values.bound[i]);
    }
    d.value.push_back(largest / 127);
    d.bound.push_back((error + kUnitF32 * (largest + error)) / 127);
    for (size_t i = first; i < first + block; ++i) {
      const double h = std::abs(values.value[i]);
      const bool known = largest > error;
      q.value.push_back(largest > 0 ? values.value[i] * 127 / largest : 0);
      q.bound.push_back(largest == 0 && error == 0 ? 0
                        : known                    ? 0.5 + 3 * kUnitF32 * 127 +
                                      127 * (values.bound[i] + h * error / largest) / (largest - error)
                                : 254);
      if ((i - first) % 16 == 0) sums.value.push_back(0), sums.bound.push_back(0);
      sums.value.back() += q.value.back(), sums.bound.back() += q.bound.back();
    }
  }
  std::vector<Bounded> out = {std::move(d), std::move(q)};
  if (type == DType::kQ8Act256) out.push_back(std::move(sums));
  return out;
}

}  // namespace greta::reference
