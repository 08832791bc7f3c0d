// Cost of decode attention against hand counts; lines; refusals; workspace.
#include "kernels/decode_attention/decode_attention_problem.hpp"

#include <gtest/gtest.h>

#include "kernels/decode_attention/decode_attention.hpp"

namespace greta {
namespace {

DecodeAttentionProblem problem(int64_t batch, int64_t n_kv, int64_t n_heads, int64_t n_kv_heads) {
  DecodeAttentionProblem p;
  p.batch = batch, p.n_kv = n_kv, p.n_heads = n_heads, p.n_kv_heads = n_kv_heads;
  return p;
}

std::string refusal(const DecodeAttentionProblem& p) {
  try {
    validate(p);
    return {};
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInvalidArgument);
    return e.what();
  }
}
bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

TEST(DecodeAttentionProblem, HandCounts) {
  DecodeAttentionProblem p = problem(3, 5, 4, 2);
  int64_t pairs = 0;
  for (int64_t sequence_and_head = 0; sequence_and_head < 3 * 4; ++sequence_and_head)
    for (int64_t j = 0; j < 5; ++j) ++pairs;
  EXPECT_EQ(p.flops(), static_cast<double>(pairs) * 2 * (64 + 64));
  EXPECT_EQ(p.bytes(), 2.0 * (2 * 3 * 4 * 64 + 2 * 3 * 5 * 2 * 64));  // Q, O and K, V in 16 bits
  p.kv_capacity = 100;                                                // none of the further rows is read
  EXPECT_EQ(p.bytes(), 2.0 * (2 * 3 * 4 * 64 + 2 * 3 * 5 * 2 * 64));
  EXPECT_EQ(p.kv_elements(), 3 * 100 * 2 * 64);
  // Llama-3-8B: 4096 bytes of K and V and 4 * 32 * 128 flop a position.
  DecodeAttentionProblem llama = problem(1, 32768, 32, 8);
  llama.head_dim = 128;
  EXPECT_EQ(llama.flops(), 4.0 * 32 * 128 * 32768);
  EXPECT_EQ(llama.bytes(), 4096.0 * 32768 + 2.0 * 2 * 32 * 128);
}

TEST(DecodeAttentionProblem, PagesByHand) {
  DecodeAttentionProblem p = problem(3, 33, 4, 2);
  EXPECT_EQ(p.table_width(), 0);
  p.page_size = 16;
  EXPECT_EQ(p.table_width(), 3);  // 16 + 16 + 1 keys
  EXPECT_EQ(p.pages(), 9);
  EXPECT_EQ(p.kv_elements(), 9 * 16 * 2 * 64);
  EXPECT_EQ(p.bytes(), 2.0 * (2 * 3 * 4 * 64 + 2 * 3 * 33 * 2 * 64) + 4.0 * 3 * 3);
  p.kv_capacity = 100;  // a longer row of the table, of which the first 3 entries are read
  EXPECT_EQ(p.table_width(), 7);
  EXPECT_EQ(p.bytes(), 2.0 * (2 * 3 * 4 * 64 + 2 * 3 * 33 * 2 * 64) + 4.0 * 3 * 3);
  p.n_pages = 5;  // sequences share pages
  EXPECT_EQ(p.kv_elements(), 5 * 16 * 2 * 64);
  EXPECT_EQ(refusal(p), "");
}

TEST(DecodeAttentionProblem, WorkspaceHoldsEverySplitAndUpTo4096KeysEveryScore) {
  for (const auto& [n_kv, tiles] : {std::pair{1, 1}, {64, 1}, {65, 2}, {512, 8}, {513, 9}, {4096, 64}})
    EXPECT_EQ(decode_attention_workspace(problem(3, n_kv, 4, 2)), size_t{3 * 4} * tiles * (64 + 4)) << n_kv;
  for (const auto& [n_kv, splits] : {std::pair{4097, 9}, {4608, 9}, {4609, 10}})
    EXPECT_EQ(decode_attention_workspace(problem(3, n_kv, 4, 2)), size_t{3 * 4} * splits * (64 + 2)) << n_kv;
  DecodeAttentionProblem wide = problem(3, 1, 4, 2);  // a split is more than the scores of one tile
  wide.head_dim = 128;
  EXPECT_EQ(decode_attention_workspace(wide), size_t{3 * 4} * (128 + 2));
}

TEST(DecodeAttentionProblem, LineReadsBack) {
  DecodeAttentionProblem p = problem(2, 5, 8, 2);
  p.head_dim = 128, p.kv_capacity = 9, p.head_map = 1, p.page_size = 16, p.n_pages = 7;
  p.dtype = DType::kBF16;
  const std::string line = to_line(p);
  EXPECT_EQ(
      line,
      "batch=2 n_kv=5 n_heads=8 n_kv_heads=2 head_dim=128 kv_capacity=9 head_map=1 page_size=16 n_pages=7 dtype=bf16");
  EXPECT_EQ(to_line(from_line<DecodeAttentionProblem>(line)), line);
  EXPECT_THROW(from_line<DecodeAttentionProblem>("n_tokens=1"), Error);
}

TEST(DecodeAttentionProblem, RefusalsNameFieldGotAndWanted) {
  EXPECT_EQ(refusal(problem(1, 1, 1, 1)), "");
  EXPECT_TRUE(contains(refusal(problem(0, 1, 1, 1)), "batch must be at least 1, got 0"));
  EXPECT_TRUE(contains(refusal(problem(1, 0, 1, 1)), "n_kv must be at least 1, got 0"));
  EXPECT_TRUE(contains(refusal(problem(1, 1, 3, 2)), "n_heads must be a multiple of n_kv_heads, got 3"));
  EXPECT_TRUE(contains(refusal(problem(1, 1, 1, 0)), "n_kv_heads must be at least 1, got 0"));
  DecodeAttentionProblem p = problem(1, 5, 1, 1);
  p.kv_capacity = 4;
  EXPECT_TRUE(contains(refusal(p), "kv_capacity must be at least n_kv, got 4"));
  for (const int64_t bad : {-16, 8, 24, 1 << 21}) {
    p = problem(1, 1, 1, 1), p.page_size = bad;
    EXPECT_TRUE(contains(refusal(p), "page_size must be 0 (contiguous) or a power of two from 16 to 2^20")) << bad;
  }
  p = problem(1, 1, 1, 1), p.n_pages = 3;
  EXPECT_TRUE(contains(refusal(p), "n_pages must be 0 without pages, got 3"));
  p.page_size = 16, p.n_pages = -1;
  EXPECT_TRUE(contains(refusal(p), "n_pages must be at least 1"));
  p = problem(1, 1, 1, 1), p.dtype = DType::kF32;
  EXPECT_TRUE(contains(refusal(p), "dtype must be f16 or bf16, got f32"));
}

}  // namespace
}  // namespace greta
