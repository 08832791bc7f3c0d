#include "kernels/embedding/embedding_problem.hpp"

#include <fmt/format.h>

namespace greta {

void validate(const EmbeddingProblem& p) {
  const auto refuse = [&](const char* field, int64_t got, const std::string& want) {
    throw_invalid(fmt::format("embedding: {} must be {}, got {} ({})", field, want, got, to_line(p)));
  };
  if (p.n_tokens < 1) refuse("n_tokens", p.n_tokens, "at least 1");
  if (p.n_vocab < 1) refuse("n_vocab", p.n_vocab, "at least 1");
  if (const int block = dtype_block_values(p.weights); p.width < 1 || p.width % block)
    refuse("width", p.width, fmt::format("a positive multiple of {} for {} weights", block, dtype_name(p.weights)));
  const DType w = p.weights;
  if (w != DType::kQ4K && w != DType::kQ6K && w != DType::kQ8_0 && w != DType::kF16 && w != DType::kBF16 &&
      w != DType::kF32)
    throw_invalid(fmt::format("embedding: weights must be q4_k, q6_k, q8_0, f16, bf16 or f32, got {}", dtype_name(w)));
}

}  // namespace greta
