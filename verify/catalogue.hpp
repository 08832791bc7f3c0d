// The operators of this room, one function a file; operators() lists them.
#pragma once

#include "verify/operator.hpp"

namespace greta::verify {

const Operator& rms_norm_operator();

}  // namespace greta::verify
