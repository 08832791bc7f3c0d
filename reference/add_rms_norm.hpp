// Residual add + RMSNorm + quantiser: oracle and twin, from those of the three operators. Arithmetic:
// kernels/add_rms_norm/add_rms_norm_problem.hpp.
//
// x, addend [n_rows, width], w [width] f32. Outputs, in order: with problem.add the new x; then y, or the fields of y's
// blocks (reference/activation_blocks.hpp).
//
// Bound      The sum is rounded once; the norm is held to the rounded sum, which is what the residual stream holds and
//            therefore the operator's own intermediate result; then rms_norm's bound; then the quantiser's.
#pragma once

#include "kernels/add_rms_norm/add_rms_norm_problem.hpp"
#include "reference/activation_blocks.hpp"

namespace greta::reference {

std::vector<Bounded> add_rms_norm_oracle(const AddRmsNormProblem& problem, std::span<const float> x,
                                         std::span<const float> addend, std::span<const float> w);

struct AddRmsNormTwin {
  std::vector<float> x;         ///< after the addition
  std::vector<float> y;         ///< rounded to problem.y
  std::vector<uint8_t> blocks;  ///< of y, when problem.quantised()
};
AddRmsNormTwin add_rms_norm_twin(const AddRmsNormProblem& problem, std::span<const float> x,
                                 std::span<const float> addend, std::span<const float> w);

}  // namespace greta::reference
