// What the benchmarks of matmuls share: weights, activation blocks, and the check of sampled outputs.
#pragma once

#include "bench/workload.hpp"
#include "kernels/quant_matmul/quant_matmul_problem.hpp"

namespace greta::bench {

/// W of the problem, random blocks of about normal values.
verify::Tensor matmul_weights(const QuantMatmulProblem& p, uint64_t seed);
/// Row-major rows of a weight matrix, side by side.
std::vector<uint8_t> rows_of_weights(const verify::Tensor& weights, const QuantMatmulProblem& p,
                                     std::span<const int64_t> rows);
/// X as the device's quantiser leaves it.
verify::Tensor activation_blocks(hip::Stream& stream, const QuantMatmulProblem& p, const verify::Tensor& x);

/// Sampled rows of X against sampled rows of W: f(i, X's row i, sampled rows of W, Y of both) says what is wrong.
template <class F>
std::string check_samples(hip::Stream& stream, const QuantMatmulProblem& p, const RotatedTensor& y, int64_t slot,
                          const verify::Tensor& x, F f) {
  const std::vector<int64_t> outs = sampled_rows(p.n_out, 24, 1);
  for (const int64_t i : sampled_rows(p.m, 3, 2)) {
    const verify::Tensor row = y.download(stream, slot, rows_tensor("y", p.y, 1, p.n_out), i * p.n_out);
    verify::Tensor got("y", p.y, {{"sampled r", static_cast<int64_t>(outs.size())}});
    for (size_t k = 0; k < outs.size(); ++k) got.set(static_cast<int64_t>(k), static_cast<float>(row.number(outs[k])));
    if (const std::string wrong = f(row_floats(x, i), outs, got); !wrong.empty())
      return "row " + std::to_string(i) + ": " + wrong;
  }
  return {};
}
/// Those samples by the twin, bit for bit.
std::string samples_differ(hip::Stream& stream, const QuantMatmulProblem& p, const RotatedTensor& y, int64_t slot,
                           const verify::Tensor& weights, const verify::Tensor& x, std::string_view arithmetic);

}  // namespace greta::bench
