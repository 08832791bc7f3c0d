// Which type each tensor of a model gets: the mixes that models are made and quantised in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/hip/dtype.hpp"
#include "model/config.hpp"

namespace greta::model {

/// Norms and frequency factors are F32 in all of them.
///   f32, f16, bf16, q8_0, q4_k, q6_k   every matrix in that type
///   q4_k_m                             output in Q6_K (token_embd when it serves as output); attn_v and ffn_down in
///                                      Q6_K in about half of the layers (more_bits), every other matrix in Q4_K: the
///                                      recipe that llama.cpp made common
enum class WeightMix { kF32, kF16, kBF16, kQ8_0, kQ4K, kQ6K, kQ4KM };

/// "f32", ..., "q4_k_m".
std::string_view weight_mix_name(WeightMix mix);
/// kInvalidArgument listing the names there are.
WeightMix weight_mix_from_name(std::string_view name);
/// The number general.file_type holds for it (ggml's list): 0, 1, 32, 7, 14, 18, 15.
uint32_t weight_mix_file_type(WeightMix mix);

/// True for the layers whose attn_v and ffn_down get Q6_K in q4_k_m: the first and the last eighth, and every third
/// layer between, counted from the end of the first eighth.
bool more_bits(int64_t layer, int64_t n_layers);

struct ChosenType {
  DType type;
  std::optional<DType> wanted;  ///< what the mix says, when rows of this length cannot be stored in it
};
/// The type of one tensor. Rows that are no multiple of 256 fall back from Q4_K and Q6_K to Q8_0, those that are no
/// multiple of 32 to F16.
ChosenType choose_type(WeightMix mix, const TensorSpec& tensor, const LlamaConfig& config);

}  // namespace greta::model
