// Residual add: x += y, elementwise in f32. The problem, its cost. HIP-free.
#pragma once

#include "kernels/hip/problem.hpp"

namespace greta {

struct ResidualAddProblem {
  int64_t n_rows = 1;
  int64_t width = 256;

  int64_t elements() const { return n_rows * width; }
  double flops() const { return static_cast<double>(elements()); }
  double bytes() const { return 12.0 * static_cast<double>(elements()); }
};

template <class P, class V>
requires std::is_same_v<P, ResidualAddProblem>
void visit_fields(P& p, V&& visit) { visit("n_rows", p.n_rows), visit("width", p.width); }

void validate(const ResidualAddProblem& p);

}  // namespace greta
