#include "kernels/quant_matmul/quant_matmul_group_problem.hpp"

#include <fmt/format.h>

namespace greta {

void validate(const QuantMatmulGroupProblem& p) {
  if (p.n_out_1 < 0 || p.n_out_2 < 0 || (p.n_out_2 > 0 && p.n_out_1 == 0))
    throw_invalid(fmt::format(
        "quant_matmul_group: n_out_1 and n_out_2 must be 0 (absent) or at least 1, and n_out_2 only after n_out_1 ({})",
        to_line(p)));
  for (int i = 0; i < p.parts(); ++i) validate(p.part(i));
}

}  // namespace greta
