#include "reference/embedding.hpp"

#include "kernels/hip/error.hpp"
#include "reference/quant_blocks.hpp"

namespace greta::reference {
namespace {

const char* row_of(const EmbeddingProblem& p, std::span<const int32_t> ids, const void* table, int64_t token) {
  const int64_t id = ids[static_cast<size_t>(token)];
  if (id < 0 || id >= p.n_vocab)
    throw_invalid("embedding reference: id " + std::to_string(id) + " of token " + std::to_string(token) +
                  " is outside the vocabulary of " + std::to_string(p.n_vocab));
  return static_cast<const char*>(table) + static_cast<size_t>(id) * row_bytes(p.weights, p.width);
}

void q4_k_row(const char* row, std::span<float> y) {
  for (size_t begin = 0; begin < y.size(); begin += kSuperblock) {
    BlockQ4K block;
    std::memcpy(&block, row + begin / kSuperblock * sizeof block, sizeof block);
    const Q4KParts parts = unpack(block);
    for (size_t i = 0; i < kSuperblock; ++i) {
      const float scale = static_cast<float>(parts.d) * static_cast<float>(parts.scale[i / 32]);
      const float min = static_cast<float>(parts.dmin) * static_cast<float>(parts.min[i / 32]);
      y[begin + i] = std::fmaf(scale, static_cast<float>(parts.q[i]), -min);
    }
  }
}

void q6_k_row(const char* row, std::span<float> y) {
  for (size_t begin = 0; begin < y.size(); begin += kSuperblock) {
    BlockQ6K block;
    std::memcpy(&block, row + begin / kSuperblock * sizeof block, sizeof block);
    const Q6KParts parts = unpack(block);
    for (size_t i = 0; i < kSuperblock; ++i) {
      const float scale = static_cast<float>(parts.d) * static_cast<float>(parts.scale[i / 16]);
      y[begin + i] = scale * static_cast<float>(parts.q[i]);
    }
  }
}

}  // namespace

Bounded embedding_oracle(const EmbeddingProblem& p, std::span<const int32_t> ids, const void* table) {
  Bounded out{std::vector<double>(static_cast<size_t>(p.elements())), {}};
  for (int64_t t = 0; t < p.n_tokens; ++t)
    dequantise_row(p.weights, row_of(p, ids, table, t),
                   std::span(out.value).subspan(static_cast<size_t>(t * p.width), static_cast<size_t>(p.width)));
  const bool rounds = p.weights == DType::kQ4K;
  for (const double v : out.value) out.bound.push_back(rounds ? kUnitF32 * std::abs(v) : 0.0);
  return out;
}

std::vector<float> embedding_twin(const EmbeddingProblem& p, std::span<const int32_t> ids, const void* table) {
  std::vector<float> y(static_cast<size_t>(p.elements()));
  for (int64_t t = 0; t < p.n_tokens; ++t) {
    const char* row = row_of(p, ids, table, t);
    const auto out = std::span(y).subspan(static_cast<size_t>(t * p.width), static_cast<size_t>(p.width));
    if (p.weights == DType::kQ4K)
      q4_k_row(row, out);
    else if (p.weights == DType::kQ6K)
      q6_k_row(row, out);
    else
      dequantise_row(p.weights, row, out);  // exact in f32
  }
  return y;
}

}  // namespace greta::reference
