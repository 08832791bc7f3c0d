#include "kernels/add_rms_norm/add_rms_norm_problem.hpp"

#include <fmt/format.h>

namespace greta {

void validate(const AddRmsNormProblem& p) {
  validate(p.norm());  // n_rows, width, eps, y
  if (p.add != 0 && p.add != 1)
    throw_invalid(fmt::format("add_rms_norm: add must be 0 or 1, got {} ({})", p.add, to_line(p)));
  if (!p.quantised() && p.out != p.y)
    throw_invalid(fmt::format("add_rms_norm: out must be q8_act256, q8_act32 or y's type {}, got {} ({})",
                              dtype_name(p.y), dtype_name(p.out), to_line(p)));
  if (const int block = dtype_block_values(p.out); p.width % block)
    throw_invalid(fmt::format("add_rms_norm: width must be a multiple of the {} values of a {} block, got {} ({})",
                              block, dtype_name(p.out), p.width, to_line(p)));
}

}  // namespace greta
