#include "reference/rms_norm.hpp"

#include <Eigen/Core>

namespace greta::reference {
namespace {

constexpr int kThreads = 256;  ///< logical threads of a row
constexpr int kColumns = 4;    ///< consecutive columns a thread takes at once

}  // namespace

Bounded rms_norm_oracle(const RmsNormProblem& p, std::span<const float> x, std::span<const float> w) {
  const double steps = std::ceil(static_cast<double>(p.width) / (kThreads * kColumns));
  const double chain = gamma(kColumns / 2 * steps + 9);
  const auto eps = static_cast<double>(p.eps);
  const Eigen::Map<const Eigen::ArrayXf> weight(w.data(), p.width);
  Bounded out;
  out.value.resize(static_cast<size_t>(p.elements()));
  out.bound.resize(out.value.size());
  for (int64_t row = 0; row < p.n_rows; ++row) {
    const Eigen::ArrayXd v = Eigen::Map<const Eigen::ArrayXf>(x.data() + row * p.width, p.width).cast<double>();
    const double mean = v.square().sum() / static_cast<double>(p.width);
    const double relative = chain + 0.5 * kTinyF32 / (mean + eps);
    const Eigen::ArrayXd y = v * weight.cast<double>() / std::sqrt(mean + eps);
    for (int64_t c = 0; c < p.width; ++c) {
      const double magnitude = std::abs(y[c]);
      const double error = relative * magnitude + kTinyF32 * (2 + std::abs(static_cast<double>(weight[c])));
      out.value[static_cast<size_t>(row * p.width + c)] = y[c];
      out.bound[static_cast<size_t>(row * p.width + c)] = error + output_rounding(p.y, magnitude + error);
    }
  }
  return out;
}

std::vector<float> rms_norm_twin(const RmsNormProblem& p, std::span<const float> x, std::span<const float> w) {
  std::vector<float> y(static_cast<size_t>(p.elements()));
  std::vector<float> partial(kThreads);
  for (int64_t row = 0; row < p.n_rows; ++row) {
    const float* in = x.data() + row * p.width;
    float* out = y.data() + row * p.width;
    for (int64_t t = 0; t < kThreads; ++t) {
      float sum = 0.0f;
      for (int64_t begin = t * kColumns; begin < p.width; begin += kThreads * kColumns)
        for (int64_t c = begin; c < std::min(begin + kColumns, p.width); ++c) sum = std::fmaf(in[c], in[c], sum);
      partial[static_cast<size_t>(t)] = sum;
    }
    const float mean = tree_sum(partial) / static_cast<float>(p.width);
    const float r = 1.0f / std::sqrt(mean + p.eps);
    for (int64_t c = 0; c < p.width; ++c) out[c] = round_to(p.y, (in[c] * r) * w[static_cast<size_t>(c)]);
  }
  return y;
}

}  // namespace greta::reference
