// Argmax of rows: the answer. Definition: kernels/argmax/argmax_problem.hpp. Comparisons only, so there is nothing to
// bound and the answer is the twin.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/argmax/argmax_problem.hpp"

namespace greta::reference {

/// logits [n_rows, width]; the result [n_rows].
std::vector<int32_t> argmax(const ArgmaxProblem& problem, std::span<const float> logits);

}  // namespace greta::reference
