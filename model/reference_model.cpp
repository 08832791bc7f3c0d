#include "model/reference_model.hpp"

#include <fmt/format.h>
#include <Eigen/Core>

#include "reference/quant_blocks.hpp"

namespace greta::model {

reference::LlamaShape reference_shape(const LlamaConfig& c) {
  return {.n_layers = c.n_layers,
          .dim = c.dim,
          .n_heads = c.n_heads,
          .n_kv_heads = c.n_kv_heads,
          .head_dim = c.head_dim,
          .ffn_dim = c.ffn_dim,
          .vocab = c.vocab_size,
          .rms_eps = c.rms_eps,
          .rope_frequencies = reference::rope_frequencies(c.rope_angles())};
}

reference::WeightSource reference_weights(const GgufFile& file, const LlamaConfig& config) {
  return [file, tied = config.tied_output](std::string_view name) {
    if (tied && name == "output.weight") name = "token_embd.weight";
    const GgufTensor* tensor = file.find_tensor(name);
    if (tensor == nullptr) file.fail(fmt::format("tensor {} is missing", quoted(name)));
    reference::RowMatrix matrix(tensor->n_rows(), tensor->row_length());
    const size_t row_bytes = reference::row_bytes(tensor->type, tensor->row_length());
    for (int64_t r = 0; r < tensor->n_rows(); ++r)
      reference::dequantise_row(tensor->type, tensor->data.data() + static_cast<size_t>(r) * row_bytes,
                                std::span<double>(matrix.row(r).data(), static_cast<size_t>(tensor->row_length())));
    return matrix;
  };
}

}  // namespace greta::model
