// RoPE: oracle, twin and the table. Formula, shapes and arithmetic: kernels/rope/rope_problem.hpp.
//
// x [n_tokens, n_heads, head_dim] of problem.dtype; positions [n_tokens]; table [n_positions, head_dim/2, {cos, sin}].
// The oracle takes the table as it is: that its entries are rounded is the definition of the operator, not an error.
//
// Bound      The first product rounds, the fma rounds: gamma(2) (|a cos| + |b sin|), then the rounding to x's type.
#pragma once

#include "kernels/rope/rope_problem.hpp"
#include "reference/rounding.hpp"

namespace greta::reference {

/// cos and sin of position * freq_base^(-2i/head_dim) in double, rounded to f32, for positions 0 .. n_positions-1.
std::vector<float> rope_table(int64_t n_positions, int64_t head_dim, double freq_base);

Bounded rope_oracle(const RopeProblem& problem, std::span<const float> x, std::span<const int32_t> positions,
                    std::span<const float> table);
std::vector<float> rope_twin(const RopeProblem& problem, std::span<const float> x, std::span<const int32_t> positions,
                             std::span<const float> table);

}  // namespace greta::reference
