#include "bench/matmul_inputs.hpp"

#include "kernels/quant_matmul/quant_matmul.hpp"
#include "reference/quant_blocks.hpp"
#include "reference/quant_matmul.hpp"
#include "verify/matrix_calibration.hpp"

namespace greta::bench {

using verify::Tensor;

Tensor matmul_weights(const QuantMatmulProblem& p, uint64_t seed) {
  Tensor weights("weights", p.weights, {{"r", p.n_out}, {"block", p.weight_blocks_per_row()}});
  const size_t row_bytes = reference::row_bytes(p.weights, p.n_in);
  for (int64_t r = 0; r < p.n_out; ++r)
    reference::random_row(p.weights, reference::RandomBlocks::kWeights, 0.02f,
                          reference::substream(seed, static_cast<uint64_t>(r)), p.n_in,
                          weights.bytes.data() + static_cast<size_t>(r) * row_bytes);
  return weights;
}

std::vector<uint8_t> rows_of_weights(const Tensor& weights, const QuantMatmulProblem& p,
                                     std::span<const int64_t> rows) {
  const auto row_bytes = static_cast<int64_t>(reference::row_bytes(p.weights, p.n_in));
  std::vector<uint8_t> bytes;
  for (const int64_t r : rows)
    bytes.insert(bytes.end(), weights.bytes.begin() + r * row_bytes, weights.bytes.begin() + (r + 1) * row_bytes);
  return bytes;
}

Tensor activation_blocks(hip::Stream& stream, const QuantMatmulProblem& p, const Tensor& x) {
  hip::DeviceTensor values("bench.x", p.x, static_cast<size_t>(p.m * p.n_in));
  values.upload_bytes(stream, x.bytes.data(), x.bytes.size());
  Tensor blocks("blocks", p.activation_blocks(), {{"i", p.m}, {"block", p.activation_blocks_per_row()}});
  hip::DeviceTensor quantised("bench.blocks", blocks.dtype, static_cast<size_t>(blocks.count()));
  quantize_activations(stream, p, values.view(), quantised.view());
  quantised.download_bytes(stream, blocks.bytes.data(), blocks.bytes.size());
  return blocks;
}

std::string samples_differ(hip::Stream& stream, const QuantMatmulProblem& p, const RotatedTensor& y, int64_t slot,
                           const Tensor& weights, const Tensor& x, std::string_view arithmetic) {
  return check_samples(
      stream, p, y, slot, x, [&](const std::vector<float>& row, std::span<const int64_t> outs, const Tensor& got) {
        QuantMatmulProblem some = p;
        some.m = 1, some.n_out = static_cast<int64_t>(outs.size());
        return differs(got, reference::quant_matmul_twin(some, rows_of_weights(weights, p, outs).data(), row,
                                                         arithmetic, verify::matrix_machine()));
      });
}

}  // namespace greta::bench
