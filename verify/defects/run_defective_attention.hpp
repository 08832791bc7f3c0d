// The wrong attention kernel on problems and data of the verify room.
#pragma once

#include <string>
#include <vector>

#include "verify/defects/defective_kernels.hpp"
#include "verify/operator.hpp"

namespace greta::verify {

/// prefill_attention_defective() on the data that the operator "prefill_attention" draws for that problem line; the
/// output as Operator::run() returns it.
std::vector<Output> run_defective_attention(AttentionMistake mistake, const std::string& problem, const Data& data);

}  // namespace greta::verify
