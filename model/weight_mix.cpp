#include "model/weight_mix.hpp"

#include <fmt/format.h>

#include "kernels/hip/error.hpp"

namespace greta::model {
namespace {

struct MixRow {
  WeightMix mix;
  std::string_view name;
  uint32_t file_type;
  DType matrix;
};
constexpr MixRow kMixes[] = {
    {WeightMix::kF32, "f32", 0, DType::kF32},     {WeightMix::kF16, "f16", 1, DType::kF16},
    {WeightMix::kBF16, "bf16", 32, DType::kBF16}, {WeightMix::kQ8_0, "q8_0", 7, DType::kQ8_0},
    {WeightMix::kQ4K, "q4_k", 14, DType::kQ4K},  // the pure mix, under the number of "Q4_K small"
    {WeightMix::kQ6K, "q6_k", 18, DType::kQ6K},   {WeightMix::kQ4KM, "q4_k_m", 15, DType::kQ4K},
};

const MixRow& row(WeightMix mix) { return kMixes[static_cast<size_t>(mix)]; }

}  // namespace

std::string_view weight_mix_name(WeightMix mix) { return row(mix).name; }
uint32_t weight_mix_file_type(WeightMix mix) { return row(mix).file_type; }

WeightMix weight_mix_from_name(std::string_view name) {
  std::string known;
  for (const MixRow& r : kMixes) {
    if (r.name == name) return r.mix;
    known += known.empty() ? "" : ", ";
    known += r.name;
  }
  throw_invalid(fmt::format("unknown weight type {}; wanted one of {}", quoted(name), known));
}

bool more_bits(int64_t layer, int64_t n_layers) {
  const int64_t eighth = n_layers / 8;
  return layer < eighth || layer >= 7 * n_layers / 8 || (layer - eighth) % 3 == 2;
}

ChosenType choose_type(WeightMix mix, const TensorSpec& tensor, const LlamaConfig& config) {
  using Role = TensorSpec::Role;
  if (tensor.role == Role::kNorm || tensor.role == Role::kRopeFreqs) return {DType::kF32, std::nullopt};
  DType type = row(mix).matrix;
  if (mix == WeightMix::kQ4KM) {
    const bool is_output = tensor.role == Role::kOutput || (tensor.role == Role::kTokenEmbd && config.tied_output);
    const bool is_sensitive = tensor.role == Role::kAttnV || tensor.role == Role::kDown;
    if (is_output || (is_sensitive && more_bits(tensor.layer, config.n_layers))) type = DType::kQ6K;
  }
  if (tensor.dims[0] % dtype_block_values(type) == 0) return {type, std::nullopt};
  return {tensor.dims[0] % dtype_block_values(DType::kQ8_0) == 0 ? DType::kQ8_0 : DType::kF16, type};
}

}  // namespace greta::model
