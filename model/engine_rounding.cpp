#include "model/engine_rounding.hpp"

#include <Eigen/Core>

#include "kernels/tile/quant_blocks.hpp"
#include "reference/quant_blocks.hpp"

namespace greta::model {
namespace {

using reference::RowMatrix;

template <class T>
void round_to(RowMatrix& rows) {
  for (int64_t i = 0; i < rows.size(); ++i) {
    double& v = rows.data()[i];
    v = static_cast<double>(to_f32(from_f32<T>(static_cast<float>(v))));
  }
}

void round_to(DType type, RowMatrix& rows) {
  switch (type) {
    case DType::kF16:
      return round_to<half_t>(rows);
    case DType::kBF16:
      return round_to<bf16_t>(rows);
    default:
      return round_to<float>(rows);
  }
}

void quantise_rows(DType weights, RowMatrix& rows) {
  if (weights != DType::kQ4K && weights != DType::kQ6K && weights != DType::kQ8_0) return;
  std::vector<float> row(static_cast<size_t>(rows.cols()));
  for (int64_t r = 0; r < rows.rows(); ++r) {
    for (int64_t c = 0; c < rows.cols(); ++c) row[static_cast<size_t>(c)] = static_cast<float>(rows(r, c));
    const std::span<double> out(rows.row(r).data(), row.size());
    if (weights == DType::kQ8_0)
      reference::dequantise_activations(reference::quantise_activations_32(row), out);
    else
      reference::dequantise_activations(reference::quantise_activations_256(row), out);
  }
}

DType storage_of(std::string_view stage, const EngineRounding& rounding) {
  for (const std::string_view kv : {"q_pre_rope", "k_pre_rope", "v", "q_post_rope", "k_post_rope", "attn_out"})
    if (stage == kv) return rounding.kv;
  for (const std::string_view activation : {"attn_in", "ffn_norm_in", "gate", "up", "gate_up", "final_norm"})
    if (stage == activation) return rounding.activations;
  return DType::kF32;
}

}  // namespace

RowMatrix reference_logits(const GgufFile& file, const LlamaConfig& config, std::span<const int32_t> ids,
                           int64_t logits_from, std::optional<EngineRounding> rounding,
                           reference::StageObserver observer) {
  reference::LlamaRun run;
  run.logits_from = logits_from;
  run.observer = std::move(observer);
  if (rounding)
    run.rounding = [&](std::string_view stage, std::string_view matrix, RowMatrix& rows) {
      if (matrix.empty()) return round_to(storage_of(stage, *rounding), rows);
      if (config.tied_output && matrix == "output.weight") matrix = "token_embd.weight";
      quantise_rows(file.find_tensor(matrix)->type, rows);
    };
  return reference::llama_logits(reference_shape(config), reference_weights(file, config), ids, run);
}

}  // namespace greta::model
