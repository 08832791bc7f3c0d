#include "reference/argmax.hpp"

#include <cmath>

namespace greta::reference {

std::vector<int32_t> argmax(const ArgmaxProblem& p, std::span<const float> logits) {
  std::vector<int32_t> out;
  for (int64_t row = 0; row < p.n_rows; ++row) {
    const float* v = logits.data() + row * p.width;
    int64_t best = 0;
    for (int64_t c = 0; c < p.width; ++c) {
      if (std::isnan(v[c])) {
        best = -1 - c;
        break;
      }
      if (v[c] > v[best]) best = c;
    }
    out.push_back(static_cast<int32_t>(best));
  }
  return out;
}

}  // namespace greta::reference
