// Cost of prefill attention against hand counts and a brute-force count of pairs; lines; refusals.
#include "kernels/prefill_attention/prefill_attention_problem.hpp"

#include <gtest/gtest.h>

namespace greta {
namespace {

PrefillAttentionProblem problem(int64_t batch, int64_t n_tokens, int64_t n_kv, int64_t n_heads, int64_t n_kv_heads) {
  PrefillAttentionProblem p;
  p.batch = batch, p.n_tokens = n_tokens, p.n_kv = n_kv, p.n_heads = n_heads, p.n_kv_heads = n_kv_heads;
  return p;
}

TEST(PrefillAttentionProblem, PairsAsCountedOneByOne) {
  for (const int64_t n_kv : {1, 2, 7, 64, 65})
    for (int64_t n_tokens = 1; n_tokens <= n_kv; n_tokens += 3) {
      const PrefillAttentionProblem p = problem(3, n_tokens, n_kv, 4, 2);
      int64_t pairs = 0;
      for (int64_t sequence_and_head = 0; sequence_and_head < p.batch * p.n_heads; ++sequence_and_head)
        for (int64_t t = 0; t < n_tokens; ++t)
          for (int64_t j = 0; j < n_kv; ++j) pairs += j <= n_kv - n_tokens + t;
      EXPECT_EQ(p.pairs(), static_cast<double>(pairs)) << to_line(p);
      EXPECT_EQ(p.flops(), 4.0 * 64.0 * static_cast<double>(pairs)) << to_line(p);
    }
}

TEST(PrefillAttentionProblem, HandCounts) {
  PrefillAttentionProblem p = problem(2, 3, 5, 4, 2);  // queries see 3, 4 and 5 keys: 12 pairs a head
  EXPECT_EQ(p.pairs(), 2 * 4 * 12.0);
  EXPECT_EQ(p.flops(), 2 * 4 * 12.0 * 2 * (64 + 64));                     // two products of 64 multiply-adds a pair
  EXPECT_EQ(p.q_elements(), 2 * 3 * 4 * 64);                              // and as many of O
  EXPECT_EQ(p.bytes(), 2.0 * (2 * 2 * 3 * 4 * 64 + 2 * 2 * 5 * 2 * 64));  // Q, O and K, V in 16 bits
  p.kv_capacity = 100;                                                    // more rows in the cache, none of them read
  EXPECT_EQ(p.kv_elements(), 2 * 100 * 2 * 64);
  EXPECT_EQ(p.bytes(), 2.0 * (2 * 2 * 3 * 4 * 64 + 2 * 2 * 5 * 2 * 64));
  // Llama-3-8B at 4096 tokens: 2 * 32 heads * 4096^2 * 128, plus the diagonal's half.
  PrefillAttentionProblem llama = problem(1, 4096, 4096, 32, 8);
  llama.head_dim = 128;
  EXPECT_EQ(llama.flops(), 2.0 * 32 * 4096.0 * 4097.0 * 128);
}

TEST(PrefillAttentionProblem, LineReadsBack) {
  PrefillAttentionProblem p = problem(2, 3, 5, 8, 2);
  p.head_dim = 128, p.kv_capacity = 9, p.head_map = 1, p.dtype = DType::kBF16;
  const std::string line = to_line(p);
  EXPECT_EQ(line, "batch=2 n_tokens=3 n_kv=5 n_heads=8 n_kv_heads=2 head_dim=128 kv_capacity=9 head_map=1 dtype=bf16");
  EXPECT_EQ(to_line(from_line<PrefillAttentionProblem>(line)), line);
  EXPECT_EQ(from_line<PrefillAttentionProblem>("n_kv=5").n_tokens, 1);  // others keep their defaults
  EXPECT_THROW(from_line<PrefillAttentionProblem>("n_keys=5"), Error);
}

/// The message that validate() refuses p with; empty when it accepts.
std::string refusal(const PrefillAttentionProblem& p) {
  try {
    validate(p);
    return {};
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInvalidArgument);
    return e.what();
  }
}
bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

TEST(PrefillAttentionProblem, RefusalsNameFieldGotAndWanted) {
  EXPECT_EQ(refusal(problem(1, 1, 1, 1, 1)), "");
  EXPECT_TRUE(contains(refusal(problem(0, 1, 1, 1, 1)), "batch must be at least 1, got 0"));
  EXPECT_TRUE(contains(refusal(problem(1, 0, 1, 1, 1)), "n_tokens must be at least 1, got 0"));
  EXPECT_TRUE(contains(refusal(problem(1, 6, 5, 1, 1)), "n_kv must be at least n_tokens, got 5"));
  EXPECT_TRUE(contains(refusal(problem(1, 1, 1, 3, 2)), "n_heads must be a multiple of n_kv_heads, got 3"));
  EXPECT_TRUE(contains(refusal(problem(1, 1, 1, 0, 1)), "n_heads must be"));
  EXPECT_TRUE(contains(refusal(problem(1, 1, 1, 1, 0)), "n_kv_heads must be at least 1, got 0"));
  PrefillAttentionProblem p = problem(1, 1, 5, 1, 1);
  p.kv_capacity = 4;
  EXPECT_TRUE(contains(refusal(p), "kv_capacity must be at least n_kv, got 4"));
  p = problem(1, 1, 1, 1, 1), p.head_map = 2;
  EXPECT_TRUE(contains(refusal(p), "head_map must be 0 (grouped) or 1 (interleaved), got 2"));
  p = problem(1, 1, 1, 1, 1), p.dtype = DType::kF32;
  EXPECT_TRUE(contains(refusal(p), "dtype must be f16 or bf16, got f32"));
}

}  // namespace
}  // namespace greta
