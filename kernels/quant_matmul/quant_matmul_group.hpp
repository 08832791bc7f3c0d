// Matmuls of one input in one launch on the device. Problem and arithmetic: quant_matmul_group_problem.hpp.
#pragma once

#include "kernels/quant_matmul/quant_matmul.hpp"
#include "kernels/quant_matmul/quant_matmul_group_problem.hpp"

namespace greta {

struct QuantMatmulGroupArgs {
  hip::AnyView weights[kMatmulGroup];  ///< [n_out_i, n_in / block] of problem.weights; absent ones are not looked at
  hip::AnyView x;                      ///< as of quant_matmul(): activation blocks for quantised weights, else X
  hip::AnyView y[kMatmulGroup];        ///< [m, n_out_i] of problem.y
};

using QuantMatmulGroupLaunch = void (*)(hip::Stream&, const QuantMatmulGroupProblem&, const QuantMatmulGroupArgs&);
using QuantMatmulGroupRung = Rung<QuantMatmulGroupProblem, QuantMatmulGroupLaunch>;

/// Rungs of quant_matmul_ladder() that take several matrices, under the names they have there: the same kernel, whose
/// workgroups are dealt out to the matrices in turn.
std::span<const QuantMatmulGroupRung> quant_matmul_group_ladder();
/// The rung of a matmul's rung; null when that takes one matrix only.
const QuantMatmulGroupRung* quant_matmul_group_rung(const QuantMatmulRung& single);

void quant_matmul_group(hip::Stream& stream, const QuantMatmulGroupRung& rung, const QuantMatmulGroupProblem& problem,
                        const QuantMatmulGroupArgs& args);

/// A matmul as a group of one, for launch functions.
inline QuantMatmulGroupProblem group_of_one(const QuantMatmulProblem& p) {
  return {.m = p.m, .n_out = p.n_out, .n_in = p.n_in, .weights = p.weights, .x = p.x, .y = p.y};
}
inline QuantMatmulGroupArgs group_of_one(const QuantMatmulArgs& args) {
  return {.weights = {args.weights}, .x = args.x, .y = {args.y}};
}

}  // namespace greta
