#include "reference/residual_add.hpp"

namespace greta::reference {

Bounded residual_add_oracle(const ResidualAddProblem& p, std::span<const float> x, std::span<const float> y) {
  Bounded out;
  for (size_t i = 0; i < static_cast<size_t>(p.elements()); ++i) {
    const double sum = static_cast<double>(x[i]) + static_cast<double>(y[i]);
    out.value.push_back(sum);
    out.bound.push_back(kUnitF32 * std::abs(sum));  // a sum of floats that underflows is exact
  }
  return out;
}

std::vector<float> residual_add_twin(const ResidualAddProblem& p, std::span<const float> x, std::span<const float> y) {
  std::vector<float> out(static_cast<size_t>(p.elements()));
  for (size_t i = 0; i < out.size(); ++i) out[i] = x[i] + y[i];
  return out;
}

}  // namespace greta::reference
