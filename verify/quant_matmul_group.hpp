// Several matmuls of one input in one launch, as verification sees them.
#pragma once

#include "verify/operator.hpp"

namespace greta::verify {

const Operator& quant_matmul_group_operator();

}  // namespace greta::verify
