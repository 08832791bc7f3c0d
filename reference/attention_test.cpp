#include "kernels/hip/error.hpp"
#include "reference/decode_attention.hpp"
#include "reference/test_support.hpp"

namespace greta::reference {
namespace {

constexpr const char* kIds[] = {"two_pass_f32", "online_f32"};
/// The f32 nearest to ln 2: scale_log2 becomes exactly 1, so integer scores give weights that are powers of two.
constexpr float kLn2 = 0x1.62e43p-1f;

struct Data {
  std::vector<float> q, k, v;
  AttentionInputs inputs(float scale = 0.0f) const { return {.q = q, .k = k, .v = v, .scale = scale}; }
};

Data random_data(const PrefillAttentionProblem& p, uint64_t seed, float sigma = 1.0f) {
  return {random_values(p.q_elements(), sigma, seed, p.dtype), random_values(p.kv_elements(), 1, seed + 1, p.dtype),
          random_values(p.kv_elements(), 1, seed + 2, p.dtype)};
}

/// head_dim 2; channel 0 carries the score (q = 1), channel 1 nothing. v_j in channel 0 of V, 1 in channel 1.
Data scored(const std::vector<float>& scores, const std::vector<float>& values) {
  Data d{{1, 0}, {}, {}};
  for (size_t j = 0; j < scores.size(); ++j) {
    d.k.insert(d.k.end(), {scores[j], 0.0f});
    d.v.insert(d.v.end(), {values[j], 1.0f});
  }
  return d;
}
PrefillAttentionProblem one_query(int64_t n_kv) {
  return {.n_tokens = 1, .n_kv = n_kv, .head_dim = 2, .dtype = DType::kBF16};
}

TEST(AttentionReference, ScaleLog2) {
  EXPECT_EQ(attention_scale_log2(kLn2, 64), 1.0f);
  EXPECT_EQ(attention_scale_log2(0.0f, 64), static_cast<float>(0.125 * 1.4426950408889634));
  EXPECT_EQ(attention_scale_log2(0.125f, 128), attention_scale_log2(0.0f, 64));
}

TEST(AttentionReference, ByHand) {
  // Weights 2^1 : 2^0 : 2^0 over values 1, 2, 8: (2 + 2 + 8) / 4 = 3.
  const Data d = scored({1, 0, 0}, {1, 2, 8});
  for (const char* id : kIds) {
    const auto twin = prefill_attention_twin(one_query(3), id, d.inputs(kLn2));
    EXPECT_EQ(twin, (std::vector<float>{3, 1})) << id;
    const Bounded oracle = prefill_attention_oracle(one_query(3), id, ExpMode::kPortable, d.inputs(kLn2));
    EXPECT_NEAR(oracle.value[0], 3.0, 1e-7);  // kLn2 is ln 2 to 3e-9
    EXPECT_NEAR(oracle.value[1], 1.0, 1e-15);
  }
}

TEST(AttentionReference, CausalityAndHeadMapsByHand) {
  // Two queries of two heads, four keys in two KV heads; scores all equal, so O is the mean of the visible values.
  PrefillAttentionProblem p{
      .n_tokens = 2, .n_kv = 4, .n_heads = 4, .n_kv_heads = 2, .head_dim = 2, .dtype = DType::kBF16};
  Data d{std::vector<float>(16, 0.0f), std::vector<float>(16, 1.0f), {}};
  for (int j = 0; j < 4; ++j)
    for (int g = 0; g < 2; ++g) d.v.insert(d.v.end(), {static_cast<float>(g ? 16 << j : 1 << j), 0.0f});
  for (const char* id : kIds) {
    auto twin = prefill_attention_twin(p, id, d.inputs());
    const float short0 = round_to(p.dtype, 7.0f / 3), short1 = round_to(p.dtype, 112.0f / 3);
    EXPECT_EQ(twin[0], short0) << id;  // query 0 sees keys 0..2
    EXPECT_EQ(twin[2], short0) << "grouped: heads 0, 1 read KV head 0";
    EXPECT_EQ(twin[4], short1) << "grouped: heads 2, 3 read KV head 1";
    EXPECT_EQ(twin[8], 3.75f) << "query 1 sees all four keys";
    EXPECT_EQ(twin[14], 60.0f);
    p.head_map = 1;
    twin = prefill_attention_twin(p, id, d.inputs());
    EXPECT_EQ(twin[2], short1) << "interleaved: head 1 reads KV head 1";
    EXPECT_EQ(twin[4], short0);
    p.head_map = 0;
  }
}

TEST(AttentionReference, OracleAgreesWithTheFormulaInLongDouble) {
  PrefillAttentionProblem p{.batch = 2,
                            .n_tokens = 5,
                            .n_kv = 70,
                            .n_heads = 4,
                            .n_kv_heads = 2,
                            .head_dim = 64,
                            .kv_capacity = 80,
                            .dtype = DType::kF16};
  const Data d = random_data(p, 1, 3.0f);
  const std::vector<int32_t> n_tokens_of = {5, 3}, n_kv_of = {70, 41};
  AttentionInputs in = d.inputs();
  in.n_tokens_of = n_tokens_of, in.n_kv_of = n_kv_of;
  const Bounded oracle = prefill_attention_oracle(p, "online_f32", ExpMode::kPortable, in);
  const auto written = prefill_attention_written(p, in);
  for (int64_t b = 0; b < p.batch; ++b)
    for (int64_t t = 0; t < p.n_tokens; ++t)
      for (int64_t h = 0; h < p.n_heads; ++h) {
        const auto at = static_cast<size_t>(((b * 5 + t) * 4 + h) * 64);
        const bool there = t < n_tokens_of[static_cast<size_t>(b)];
        ASSERT_EQ(written[at], there ? 1 : 0);
        if (!there) continue;
        std::vector<long double> sum(65, 0);
        for (int64_t j = 0; j <= n_kv_of[static_cast<size_t>(b)] - n_tokens_of[static_cast<size_t>(b)] + t; ++j) {
          const auto key = static_cast<size_t>(((b * 80 + j) * 2 + h / 2) * 64);
          long double dot = 0;
          for (size_t c = 0; c < 64; ++c) dot += static_cast<long double>(d.q[at + c]) * d.k[key + c];
          const long double weight = std::exp(dot / 8);
          sum[64] += weight;
          for (size_t c = 0; c < 64; ++c) sum[c] += weight * d.v[key + c];
        }
        for (size_t c = 0; c < 64; ++c) ASSERT_NEAR(oracle.value[at + c], static_cast<double>(sum[c] / sum[64]), 1e-13);
      }
}

// Orders, by values that cancel: what is lost against 2^24 tells which additions met. All scores are equal, p = 1.
float first(const char* id, const std::vector<float>& values) {
  const auto n = static_cast<int64_t>(values.size());
  const Data d = scored(std::vector<float>(values.size(), 0.0f), values);
  return prefill_attention_twin(one_query(n), id, d.inputs(kLn2))[0];
}

TEST(AttentionReference, KeysAscend) {
  for (const char* id : kIds) {
    EXPECT_EQ(first(id, {0x1p24f, 1, -0x1p24f, 0}), 0.0f) << id;
    EXPECT_EQ(first(id, {0x1p24f, -0x1p24f, 1, 0}), 0.25f) << id;
  }
}

TEST(AttentionReference, SplitsAreSummedOnTheirOwn) {
  std::vector<float> values(1024, 0.0f);
  values[0] = 0x1p24f, values[512] = 1, values[513] = -0x1p24f;
  EXPECT_EQ(first("two_pass_f32", values), 0.0f);
  EXPECT_EQ(first("online_f32", values), 0x1p-10f) << "the second split is 1 - 2^24, exact, before the merge";
  // One key further left they share a split with the first value.
  std::vector<float> earlier(1024, 0.0f);
  earlier[0] = 0x1p24f, earlier[510] = 1, earlier[511] = -0x1p24f;
  EXPECT_EQ(first("online_f32", earlier), 0.0f);
}

TEST(AttentionReference, RescaleByHand) {
  // 64 keys of score 0 and value 1; key 64 has score 3 and value 10: l = 64/8 + 1 = 9, o = 64/8 + 10 = 18.
  std::vector<float> scores(65, 0.0f), values(65, 1.0f);
  scores[64] = 3, values[64] = 10;
  const Data d = scored(scores, values);
  for (const char* id : kIds) EXPECT_EQ(prefill_attention_twin(one_query(65), id, d.inputs(kLn2))[0], 2.0f) << id;
}

TEST(AttentionReference, MergeRescalesByHand) {
  // Split 0: 512 keys of score 0, value 1. Split 1: one key of score 9 (512 of theirs), value 3: (512+1536)/1024.
  std::vector<float> scores(513, 0.0f), values(513, 1.0f);
  scores[512] = 9, values[512] = 3;
  const Data d = scored(scores, values);
  EXPECT_EQ(prefill_attention_twin(one_query(513), "online_f32", d.inputs(kLn2))[0], 2.0f);
}

TEST(AttentionReference, DecodeIsTheLastRowOfPrefill) {
  for (const char* id : kIds)
    for (const int64_t n_kv : {1, 63, 64, 65, 513}) {
      PrefillAttentionProblem p{.n_tokens = std::min<int64_t>(n_kv, 7),
                                .n_kv = n_kv,
                                .n_heads = 4,
                                .n_kv_heads = 2,
                                .head_dim = 64,
                                .dtype = DType::kBF16};
      const Data d = random_data(p, 5);
      const auto all = prefill_attention_twin(p, id, d.inputs());
      DecodeAttentionProblem one{.n_kv = n_kv, .n_heads = 4, .n_kv_heads = 2, .head_dim = 64, .dtype = DType::kBF16};
      const Data last{{d.q.end() - 256, d.q.end()}, d.k, d.v};
      const auto row = decode_attention_twin(one, id, last.inputs());
      EXPECT_TRUE(std::equal(row.begin(), row.end(), all.end() - 256)) << id << " n_kv " << n_kv;
      EXPECT_LE(worst_ratio(decode_attention_oracle(one, id, ExpMode::kPortable, last.inputs()), row), 1.0);
    }
}

TEST(AttentionReference, TwinsWithinTheBound) {
  for (const char* id : kIds)
    for (const DType dtype : {DType::kF16, DType::kBF16})
      for (const int64_t n_kv : {1, 64, 65, 700, 1500})
        for (const float sigma : {1.0f, 8.0f}) {
          PrefillAttentionProblem p{.n_tokens = std::min<int64_t>(n_kv, 9),
                                    .n_kv = n_kv,
                                    .n_heads = 4,
                                    .n_kv_heads = 2,
                                    .head_dim = n_kv % 2 ? 128 : 64,
                                    .dtype = dtype};
          const Data d = random_data(p, 9, sigma);
          expect_within((std::string(id) + " n_kv=" + std::to_string(n_kv) + " sigma=" + std::to_string(sigma)).c_str(),
                        prefill_attention_oracle(p, id, ExpMode::kPortable, d.inputs()),
                        prefill_attention_twin(p, id, d.inputs()), n_kv == 1 ? 0.0 : 0.1);
        }
}

TEST(AttentionReference, RefusesWhatItDoesNotKnow) {
  const Data d = scored({0}, {1});
  EXPECT_THROW(prefill_attention_twin(one_query(1), "online_f64", d.inputs()), Error);
  const std::vector<int32_t> too_many = {2};
  AttentionInputs in = d.inputs();
  in.n_kv_of = too_many;
  EXPECT_THROW(prefill_attention_oracle(one_query(1), "online_f32", ExpMode::kPortable, in), Error);
}

}  // namespace
}  // namespace greta::reference
