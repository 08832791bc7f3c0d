// RMSNorm: oracle and twin. Formula, shapes and arithmetic: kernels/rms_norm/rms_norm_problem.hpp.
//
// x [n_rows, width], w [width], y [n_rows, width]; x and w are f32, y is rounded to problem.y.
//
// Bound      The sum of squares has positive terms, so its error is relative: a thread's chain has 4 ceil(width/1024)
//            links and the tree 8 levels, then the division and + eps: gamma(4 ceil(width/1024) + 10) of mean + eps.
//            The square root halves that, and it, the reciprocal and two products round once each:
//              |y^ - y| <= gamma(2 ceil(width/1024) + 9) |y| + u_y |y|   (+ terms for underflow)
//            Squares below 2^-126 round absolutely: width * 2^-150 against the sum, that is 2^-151 / (mean + eps) of y.
#pragma once

#include "kernels/rms_norm/rms_norm_problem.hpp"
#include "reference/rounding.hpp"

namespace greta::reference {

Bounded rms_norm_oracle(const RmsNormProblem& problem, std::span<const float> x, std::span<const float> w);
std::vector<float> rms_norm_twin(const RmsNormProblem& problem, std::span<const float> x, std::span<const float> w);

}  // namespace greta::reference
