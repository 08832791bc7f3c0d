// The shape of a Llama model, from the metadata of its GGUF file, checked against the tensors that are there.
//
// Keys of architecture "llama" ("*" stands for "llama."); a default in brackets
//   general.architecture             "llama"
//   *block_count  *context_length  *embedding_length  *feed_forward_length  *attention.head_count
//   *attention.head_count_kv         [head_count]                   one number for all layers
//   *attention.key_length            [embedding_length / head_count]
//   *attention.value_length          [key_length]                   must equal key_length
//   *attention.layer_norm_rms_epsilon
//   *rope.freq_base                  [10000]
//   *rope.dimension_count            [key_length]
//   *rope.scaling.type               [linear]  none or linear;  *rope.scaling.factor (or *rope.scale_linear)  [1]
//   *vocab_size                      [number of tokenizer tokens, or rows of token_embd.weight]
// Refused, because a result computed without them would be wrong: other architectures, rope.scaling.type yarn and
// longrope, rope.scaling.attn_factor other than 1, expert_count above 0, an array for head_count_kv, split files, and
// tensors that the architecture does not know (a bias, for instance).
// Tensors  [dims as the file gives them: row length first]; q_dim = n_heads head_dim, kv_dim = n_kv_heads head_dim
//   token_embd.weight [dim, vocab]   output_norm.weight [dim] f32   output.weight [dim, vocab], absent when tied
//   blk.N.attn_norm.weight, ffn_norm.weight [dim] f32        blk.N.attn_q.weight [dim, q_dim]
//   blk.N.attn_k.weight, attn_v.weight [dim, kv_dim]         blk.N.attn_output.weight [q_dim, dim]
//   blk.N.ffn_gate.weight, ffn_up.weight [dim, ffn_dim]      blk.N.ffn_down.weight [ffn_dim, dim]
//   rope_freqs.weight [rope_dim / 2] f32, optional: frequency factors of Llama 3.1
// RoPE rotates the pairs (2i, 2i+1) of a head; query head h reads kv head h / (n_heads / n_kv_heads).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/gguf.hpp"
#include "reference/rope_table.hpp"

namespace greta::model {

inline constexpr int64_t kMaxVocab = 1 << 20;

struct LlamaConfig {
  std::string name;  ///< general.name, or ""
  int64_t n_layers = 0;
  int64_t context_length = 0;
  int64_t dim = 0;
  int64_t ffn_dim = 0;
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t vocab_size = 0;
  double rms_eps = 0;  ///< as stored (f32), widened
  double rope_freq_base = 10000;
  int64_t rope_dim = 0;           ///< values of a head that are rotated
  double rope_scale = 1;          ///< positions are divided by this (linear scaling)
  std::vector<float> rope_freqs;  ///< frequency factors, rope_dim / 2 or none
  bool tied_output = false;       ///< output.weight is token_embd.weight

  int64_t q_dim() const { return n_heads * head_dim; }
  int64_t kv_dim() const { return n_kv_heads * head_dim; }
  int64_t group() const { return n_heads / n_kv_heads; }
  reference::RopeAngles rope_angles() const;
  /// Throws kInvalidArgument naming the field when the numbers cannot be a model; `where` starts the message.
  void check(const std::string& where) const;
};

/// A tensor that a model of some shape has.
struct TensorSpec {
  enum class Role { kTokenEmbd, kOutput, kNorm, kRopeFreqs, kAttnQ, kAttnK, kAttnV, kAttnOutput, kGate, kUp, kDown };
  std::string name;
  Role role;
  int64_t layer;  ///< -1 outside the layers
  std::vector<int64_t> dims;
};
/// Every tensor of the shape, in the usual order of a file.
std::vector<TensorSpec> llama_tensors(const LlamaConfig& config);
/// Multiply-add weights and norms: the number that gives a model its name.
int64_t n_parameters(const LlamaConfig& config);

/// Reads and checks everything above. Errors name the key or tensor, what it holds and what is wanted.
LlamaConfig read_config(const GgufFile& file);

}  // namespace greta::model
