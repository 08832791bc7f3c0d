// Embedding gather: oracle and twin. Formula and arithmetic: kernels/embedding/embedding_problem.hpp.
//
// ids [n_tokens]; table [n_vocab] rows of problem.weights, stored as reference/quant_blocks.hpp says; y [n_tokens,
// width].
//
// Bound      d has 11 bits, |sc| 7 (q6_k; -128 is a power of two) or 6, |q| 5 or 4: the products are exact in f32, and
// so
//            are all types but q4_k, whose fma of d*sc*q (21 bits) and dmin*m (17 bits) rounds when they lie far apart:
//            2^-24 |y|.
#pragma once

#include "kernels/embedding/embedding_problem.hpp"
#include "reference/rounding.hpp"

namespace greta::reference {

/// Throw kInvalidArgument for an id outside [0, n_vocab).
Bounded embedding_oracle(const EmbeddingProblem& problem, std::span<const int32_t> ids, const void* table);
std::vector<float> embedding_twin(const EmbeddingProblem& problem, std::span<const int32_t> ids, const void* table);

}  // namespace greta::reference
