// Residual add: oracle and twin. Formula: kernels/residual_add/residual_add_problem.hpp.
//
// x, y [n_rows, width] f32; the result is x's new content. Bound: one rounding, 2^-24 |x + y|.
#pragma once

#include "kernels/residual_add/residual_add_problem.hpp"
#include "reference/rounding.hpp"

namespace greta::reference {

Bounded residual_add_oracle(const ResidualAddProblem& problem, std::span<const float> x, std::span<const float> y);
std::vector<float> residual_add_twin(const ResidualAddProblem& problem, std::span<const float> x,
                                     std::span<const float> y);

}  // namespace greta::reference
