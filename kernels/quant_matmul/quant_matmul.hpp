// Quantised matmul on the device: activation quantiser, launch functions, ladder. Problem and arithmetic:
// quant_matmul_problem.hpp.
#pragma once

#include <span>

#include "kernels/hip/ladder.hpp"
#include "kernels/hip/tensor.hpp"
#include "kernels/quant_matmul/quant_matmul_problem.hpp"

namespace greta {

struct QuantMatmulArgs {
  hip::AnyView weights;  ///< [n_out, n_in / block] of problem.weights
  /// Quantised weights: activation blocks [m, activation_blocks_per_row()] made by quantize_activations().
  /// Float weights: X itself, [m, n_in] of problem.x.
  hip::AnyView x;
  hip::AnyView y;  ///< [m, n_out] of problem.y
};

/// X [m, n_in] of problem.x to blocks [m, activation_blocks_per_row()] of problem.activation_blocks(); only for
/// quantised weights.
void quantize_activations(hip::Stream& stream, const QuantMatmulProblem& problem, hip::AnyView x, hip::AnyView blocks);

using QuantMatmulLaunch = void (*)(hip::Stream&, const QuantMatmulProblem&, const QuantMatmulArgs&);
using QuantMatmulRung = Rung<QuantMatmulProblem, QuantMatmulLaunch>;

/// "gemv_*" rungs stream weights once for few rows, "gemm_*" rungs share a weight tile among many rows; each arithmetic
/// id has rungs of both.
std::span<const QuantMatmulRung> quant_matmul_ladder();
/// The rung the model uses: by types and shape, never by data; m decides gemv or gemm, not the arithmetic: it is that
/// of the last rung that accepts the problem. GPUs run the last rung of that arithmetic (gemm v3 where it is the
/// faster: few rows of X, or few workgroups of v2), host the first: lane exchanges and matrix tiles, which the GPUs
/// have in hardware, cost it several times what plain loops do. The bits are the same.
const QuantMatmulRung& quant_matmul_default_rung(const QuantMatmulProblem& problem);

void quant_matmul(hip::Stream& stream, const QuantMatmulRung& rung, const QuantMatmulProblem& problem,
                  const QuantMatmulArgs& args);

}  // namespace greta
