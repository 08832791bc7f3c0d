#include "model/weights.hpp"

#include <fmt/format.h>

#include "reference/quant_blocks.hpp"

namespace greta::model {
namespace {

const GgufTensor& tensor_of(const GgufFile& file, const std::string& name) {
  if (const GgufTensor* t = file.find_tensor(name)) return *t;
  file.fail(fmt::format("tensor '{}' is missing", name));
}

}  // namespace

std::shared_ptr<const Weights> load_weights(const GgufFile& file, hip::Stream& stream, Defect defect) {
  return load_weights(file, stream, load_fault_of(defect));
}

std::shared_ptr<const Weights> load_weights(const GgufFile& file, hip::Stream& stream, const LoadFault& fault) {
  auto weights = std::make_shared<Weights>();
  weights->config = read_config(file);
  const LlamaConfig& c = weights->config;

  const auto upload = [&](const std::string& name, const GgufTensor& t) {
    hip::DeviceTensor out(name, t.type, static_cast<size_t>(t.n_values() / dtype_block_values(t.type)));
    if (fault.touches(name)) {
      const std::vector<char> bytes = damaged_bytes(file, t, fault);
      out.upload_bytes(stream, bytes.data(), bytes.size());
    } else {
      out.upload_bytes(stream, t.data.data(), t.data.size());
    }
    weights->device_bytes += t.data.size();
    return out;
  };
  const auto matrix = [&](const std::string& name) {
    const GgufTensor& t = tensor_of(file, name);
    DeviceMatrix m;
    m.cols = t.row_length(), m.rows = t.n_rows();
    m.data = upload(name, t);
    return m;
  };
  // Norm weights are read in f32 by the kernel; a file that stores them as f16 or bf16 is widened here, exactly.
  const auto vector_f32 = [&](const std::string& name) {
    const GgufTensor& t = tensor_of(file, name);
    if (t.type == DType::kF32) return upload(name, t);
    std::vector<float> values(static_cast<size_t>(t.n_values()));
    reference::dequantise_row(t.type, t.data.data(), std::span<float>(values));
    hip::DeviceTensor out(name, DType::kF32, values.size());
    out.upload_bytes(stream, values.data(), values.size() * sizeof(float));
    return out;
  };

  weights->token_embd = matrix("token_embd.weight");
  for (int64_t i = 0; i < c.n_layers; ++i) {
    const std::string blk = fmt::format("blk.{}.", i);
    LayerWeights layer;
    layer.attn_norm = vector_f32(blk + "attn_norm.weight");
    layer.wq = matrix(blk + "attn_q.weight");
    layer.wk = matrix(blk + "attn_k.weight");
    layer.wv = matrix(blk + "attn_v.weight");
    layer.wo = matrix(blk + "attn_output.weight");
    layer.ffn_norm = vector_f32(blk + "ffn_norm.weight");
    layer.gate = matrix(blk + "ffn_gate.weight");
    layer.up = matrix(blk + "ffn_up.weight");
    layer.down = matrix(blk + "ffn_down.weight");
    weights->layers.push_back(std::move(layer));
  }
  weights->output_norm = vector_f32("output_norm.weight");
  const bool dropped = fault.damage == WeightDamage::kDropped;
  if (dropped && (c.tied_output || fault.tensor != "output.weight"))
    throw_invalid("planted defect of the loader: only an output matrix of its own can be dropped");
  if (!c.tied_output && !dropped) weights->output = matrix("output.weight");
  return weights;
}

}  // namespace greta::model
