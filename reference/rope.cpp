#include "reference/rope.hpp"

#include "kernels/hip/error.hpp"

namespace greta::reference {
namespace {

/// Calls f(index of a, index of b, index of cos in the table) for every pair.
template <class F>
void for_each_pair(const RopeProblem& p, std::span<const int32_t> positions, F&& f) {
  const int64_t half = p.head_dim / 2;
  for (int64_t t = 0; t < p.n_tokens; ++t) {
    const int64_t position = positions[static_cast<size_t>(t)];
    if (position < 0 || position >= p.n_positions)
      throw_invalid("rope reference: position " + std::to_string(position) + " of token " + std::to_string(t) +
                    " is outside the table of " + std::to_string(p.n_positions) + " rows");
    for (int64_t h = 0; h < p.n_heads; ++h)
      for (int64_t i = 0; i < half; ++i) {
        const int64_t head = (t * p.n_heads + h) * p.head_dim;
        const int64_t a = head + (p.half_split ? i : 2 * i);
        const int64_t b = head + (p.half_split ? i + half : 2 * i + 1);
        f(static_cast<size_t>(a), static_cast<size_t>(b), static_cast<size_t>((position * half + i) * 2));
      }
  }
}

}  // namespace

std::vector<float> rope_table(int64_t n_positions, int64_t head_dim, double freq_base) {
  std::vector<float> table;
  table.reserve(static_cast<size_t>(n_positions * head_dim));
  for (int64_t position = 0; position < n_positions; ++position)
    for (int64_t i = 0; i < head_dim / 2; ++i) {
      const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(head_dim);
      const double angle = static_cast<double>(position) * std::pow(freq_base, exponent);
      table.push_back(static_cast<float>(std::cos(angle)));
      table.push_back(static_cast<float>(std::sin(angle)));
    }
  return table;
}

Bounded rope_oracle(const RopeProblem& p, std::span<const float> x, std::span<const int32_t> positions,
                    std::span<const float> table) {
  Bounded out{std::vector<double>(x.size()), std::vector<double>(x.size())};
  const auto put = [&](size_t i, double first, double second) {
    const double magnitude = std::abs(first) + std::abs(second);
    const double error = gamma(2) * magnitude + 2 * kTinyF32;
    out.value[i] = first + second;
    out.bound[i] = error + output_rounding(p.dtype, std::abs(out.value[i]) + error);
  };
  for_each_pair(p, positions, [&](size_t ia, size_t ib, size_t entry) {
    const double a = x[ia], b = x[ib], cos = table[entry], sin = table[entry + 1];
    put(ia, a * cos, -b * sin);
    put(ib, a * sin, b * cos);
  });
  return out;
}

std::vector<float> rope_twin(const RopeProblem& p, std::span<const float> x, std::span<const int32_t> positions,
                             std::span<const float> table) {
  std::vector<float> out(x.size());
  for_each_pair(p, positions, [&](size_t ia, size_t ib, size_t entry) {
    const float a = x[ia], b = x[ib], cos = table[entry], sin = table[entry + 1];
    const float b_sin = b * sin, b_cos = b * cos;
    out[ia] = round_to(p.dtype, std::fmaf(a, cos, -b_sin));
    out[ib] = round_to(p.dtype, std::fmaf(a, sin, b_cos));
  });
  return out;
}

}  // namespace greta::reference
