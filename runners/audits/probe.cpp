#include "runners/audits/probe.hpp"

#include <fmt/format.h>

#include <random>

#include "reference/quant_blocks.hpp"
#include "reference/rounding.hpp"

namespace greta::runners {

std::vector<float> probe_activations(int64_t m, int64_t n_in, uint64_t seed) {
  std::mt19937_64 random(seed * 0x9e3779b97f4a7c15ull + 0x51ed);
  std::vector<float> x(static_cast<size_t>(m * n_in));
  for (float& v : x) {
    // The sum of four uniform numbers: near enough to normal, and the same on every platform.
    double sum = 0;
    for (int i = 0; i < 4; ++i) sum += static_cast<double>(random() >> 11) * 0x1p-53 - 0.5;
    v = to_f32(from_f32<half_t>(static_cast<float>(sum * 1.7)));
  }
  return x;
}

ProbeResult probe_matmul(hip::Stream& stream, const model::DeviceMatrix& w, const QuantMatmulRung& rung,
                         const std::vector<float>& x, int64_t m) {
  QuantMatmulProblem p;
  p.m = m, p.n_out = w.rows, p.n_in = w.cols, p.weights = w.dtype(), p.x = DType::kF32, p.y = DType::kF32;
  hip::DeviceTensor input("probe.x", DType::kF32, x.size()),
      out("probe.y", DType::kF32, static_cast<size_t>(m * w.rows));
  input.upload_bytes(stream, x.data(), x.size() * sizeof(float));
  hip::DeviceTensor blocks;
  hip::AnyView seen = input.view();
  if (p.quantised()) {
    blocks = hip::DeviceTensor("probe.blocks", p.activation_blocks(),
                               static_cast<size_t>(m * p.activation_blocks_per_row()));
    quantize_activations(stream, p, input.view(), blocks.view());
    seen = blocks.view();
  }
  ProbeResult result;
  {
    hip::LaunchLog log;
    quant_matmul(stream, rung, p, {.weights = w.data.view(), .x = seen, .y = out.view()});
    stream.synchronize();
    const auto launched = log.rows();
    if (launched.size() != 1)
      throw Error(ErrorKind::kDeviceFault, fmt::format("probe of {}: rung {} launched {} kernels, wanted one",
                                                       to_line(p), rung.name, launched.size()));
    result.symbol = launched.front().kernel, result.rows = launched.front().rows;
  }
  result.y.resize(static_cast<size_t>(m * w.rows));
  out.download_bytes(stream, result.y.data(), result.y.size() * sizeof(float));
  return result;
}

std::vector<double> seen_activations(DType weights, const std::vector<float>& x, int64_t m, int64_t n_in) {
  std::vector<double> out(x.begin(), x.end());
  QuantMatmulProblem p;
  p.weights = weights;
  if (!p.quantised()) return out;
  const auto n = static_cast<size_t>(n_in);
  for (size_t i = 0; i < static_cast<size_t>(m); ++i) {
    const std::span<const float> row(x.data() + i * n, n);
    const std::span<double> to(out.data() + i * n, n);
    if (weights == DType::kQ8_0)
      reference::dequantise_activations(reference::quantise_activations_32(row), to);
    else
      reference::dequantise_activations(reference::quantise_activations_256(row), to);
  }
  return out;
}

FileValues::FileValues(const model::GgufTensor& tensor)
    : tensor_(tensor), rows_(tensor.n_rows()), cols_(tensor.row_length()), block_(dtype_block_values(tensor.type)) {
  block_values_.resize(static_cast<size_t>(block_));
}

std::vector<double> FileValues::row(int64_t r) const {
  std::vector<double> out(static_cast<size_t>(cols_));
  const size_t bytes = reference::row_bytes(tensor_.type, cols_);
  reference::dequantise_row(tensor_.type, tensor_.data.data() + static_cast<size_t>(r) * bytes, std::span<double>(out));
  return out;
}

double FileValues::at(int64_t i) const {
  if (const int64_t block = i / block_; block != cached_) {
    reference::dequantise_row(tensor_.type,
                              tensor_.data.data() + static_cast<size_t>(block * dtype_block_bytes(tensor_.type)),
                              std::span<double>(block_values_));
    cached_ = block;
  }
  return block_values_[static_cast<size_t>(i % block_)];
}

}  // namespace greta::runners
