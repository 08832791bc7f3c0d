// Argmax of each row of logits. The problem, its cost. HIP-free.
//   index[i] = the lowest c with logits[i,c] = max;  a row that holds a NaN gives -1 - (its lowest NaN's index): NaN
//   never wins silently
#pragma once

#include "kernels/hip/problem.hpp"

namespace greta {

struct ArgmaxProblem {
  int64_t n_rows = 1;
  int64_t width = 256;

  int64_t elements() const { return n_rows * width; }
  double flops() const { return static_cast<double>(elements()); }
  double bytes() const { return 4.0 * static_cast<double>(elements() + n_rows); }
};

template <class P, class V>
requires std::is_same_v<P, ArgmaxProblem>
void visit_fields(P& p, V&& visit) { visit("n_rows", p.n_rows), visit("width", p.width); }

void validate(const ArgmaxProblem& p);

}  // namespace greta
