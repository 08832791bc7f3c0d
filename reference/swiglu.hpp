// SwiGLU: oracle and twin. Formula, shapes and arithmetic: kernels/swiglu/swiglu_problem.hpp.
//
// gate, up, y [n_rows, width] of problem.dtype.
//
// Bound      t = -g log2(e) carries two roundings (constant, product), so e = exp2(t) is off by the factor
//            exp(gamma(2) |g|) and by exp2's own error; of that, e / (1 + e) reaches s. Sum, quotient and the product
//            with up round once each:
//              |y^ - y| <= (e/(1+e) (expm1(gamma(2) |g|) + eps_exp) + gamma(3)) |y| + u_y |y|
//            Where t leaves exp2's range: below, 1 + e is 1 all the same; above (g < -88), |s| <= |g| 2^-127 both in
//            the kernel and in truth, and their difference is bounded by that.
#pragma once

#include "kernels/swiglu/swiglu_problem.hpp"
#include "reference/exp2_error.hpp"

namespace greta::reference {

Bounded swiglu_oracle(const SwigluProblem& problem, ExpMode exp, std::span<const float> gate,
                      std::span<const float> up);
/// The bits of the portable exp2.
std::vector<float> swiglu_twin(const SwigluProblem& problem, std::span<const float> gate, std::span<const float> up);

}  // namespace greta::reference
