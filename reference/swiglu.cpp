#include "reference/swiglu.hpp"

#include "kernels/tile/exp2_portable.hpp"

namespace greta::reference {

Bounded swiglu_oracle(const SwigluProblem& p, ExpMode exp, std::span<const float> gate, std::span<const float> up) {
  Bounded out;
  for (size_t i = 0; i < static_cast<size_t>(p.elements()); ++i) {
    const double g = gate[i], u = up[i];
    const double y = g / (1 + std::exp(-g)) * u;
    const double share = 1 / (1 + std::exp(g));  // e / (1 + e) without overflow
    const double relative = compound(share * (std::expm1(gamma(2) * std::abs(g)) + exp2_relative_error(exp)), gamma(3));
    double error = relative * std::abs(y) + kExp2Absolute * std::abs(y) + 2 * kTinyF32 * (1 + std::abs(u));
    if (g < -88) error += std::abs(g * u) * 0x1p-126;
    out.value.push_back(y);
    out.bound.push_back(error + output_rounding(p.dtype, std::abs(y) + error));
  }
  return out;
}

std::vector<float> swiglu_twin(const SwigluProblem& p, std::span<const float> gate, std::span<const float> up) {
  constexpr float kLog2e = 0x1.715476p0f;
  std::vector<float> y(static_cast<size_t>(p.elements()));
  for (size_t i = 0; i < y.size(); ++i) {
    const float e = exp2_portable(gate[i] * -kLog2e);
    const float s = gate[i] / (1.0f + e);
    y[i] = round_to(p.dtype, s * up[i]);
  }
  return y;
}

}  // namespace greta::reference
