#include "kernels/swiglu_quantize/swiglu_quantize_problem.hpp"

#include <fmt/format.h>

namespace greta {

void validate(const SwigluQuantizeProblem& p) {
  validate(p.product());
  if (p.out != DType::kQ8Act256 && p.out != DType::kQ8Act32)
    throw_invalid(
        fmt::format("swiglu_quantize: out must be q8_act256 or q8_act32, got {} ({})", dtype_name(p.out), to_line(p)));
  if (const int block = dtype_block_values(p.out); p.width % block)
    throw_invalid(fmt::format("swiglu_quantize: width must be a multiple of the {} values of a {} block, got {} ({})",
                              block, dtype_name(p.out), p.width, to_line(p)));
}

}  // namespace greta
