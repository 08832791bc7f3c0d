// Variants of GEMM outside the ladder: shapes with the bits of their rung, and sums in any order near them.
#include "kernels/quant_matmul/gemm_variants.hpp"

#include <algorithm>

#include "kernels/quant_matmul/plain_matmul.hpp"

namespace greta {
namespace {
using namespace testing_support;

struct Case {
  QuantMatmulProblem p;
  std::vector<uint8_t> weights;
  std::vector<float> x;
};
Case make_case(QuantMatmulProblem p) {
  return {p, random_weights(p.weights, static_cast<size_t>(p.weight_elements()), 5),
          rounded(p.x, random_values(static_cast<size_t>(p.m * p.n_in), 6))};
}
/// Y, of `launches` launches into one buffer.
template <class Launch>
std::vector<float> run(const Case& c, Launch launch, int launches = 1) {
  const QuantMatmulProblem& p = c.p;
  hip::Stream stream;
  hip::DeviceTensor weights("weights", p.weights, static_cast<size_t>(p.weight_elements()));
  weights.upload_bytes(stream, c.weights.data(), c.weights.size());
  const hip::DeviceTensor x = tensor_of(stream, "x", p.x, c.x);
  const hip::DeviceTensor blocks("blocks", p.activation_blocks(),
                                 static_cast<size_t>(p.m * p.activation_blocks_per_row()));
  quantize_activations(stream, p, x.view(), blocks.view());
  hip::DeviceTensor y("y", p.y, static_cast<size_t>(p.m * p.n_out));
  for (int i = 0; i < launches; ++i) launch(stream, p, QuantMatmulArgs{weights.view(), blocks.view(), y.view()});
  return floats_of(stream, y);
}

/// Far below what one of 40 blocks of a row adds.
void expect_near(const std::vector<float>& want, const std::vector<float>& got, const std::string& label) {
  float largest = 0, apart = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    largest = std::max(largest, std::abs(want[i]));
    apart = std::max(apart, std::abs(got[i] - want[i]));
    ASSERT_TRUE(std::isfinite(got[i])) << i << " of " << label;
  }
  EXPECT_LT(apart, 1e-5f * largest) << label;
}

constexpr DType kQuantised[] = {DType::kQ4K, DType::kQ6K, DType::kQ8_0};

TEST(QuantMatmulVariants, ShapesHaveTheBitsOfPlainLoopsUnderEverySchedule) {
  for (const DType weights : kQuantised) {
    const bool q8 = weights == DType::kQ8_0;
    for (const QuantMatmulProblem& p : {QuantMatmulProblem{.m = 5, .n_out = 67, .n_in = 512, .weights = weights},
                                        {.m = 130, .n_out = 3, .n_in = 256, .weights = weights, .y = DType::kBF16},
                                        // More superblocks than waves; a row of Q8_0 ends inside one.
                                        {.m = 50, .n_out = 19, .n_in = 6 * 256 - (q8 ? 32 : 0), .weights = weights}}) {
      const Case c = make_case(p);
      const std::vector<float> want = plain_matmul(p, c.weights, c.x);
      for_every_schedule([&](const std::string& label) {
        EXPECT_EQ(difference(want, run(c, gemm_v2_narrow)), "") << label << " " << to_line(p);
        EXPECT_EQ(difference(want, run(c, gemm_v2_tall)), "") << label << " " << to_line(p);
        EXPECT_EQ(difference(want, run(c, gemm_v3_wide)), "") << label << " " << to_line(p);
      });
    }
  }
}

TEST(QuantMatmulVariants, AnySplitsAreNearPlainLoops) {
  for (const DType weights : kQuantised)
    for (const int64_t m : {3, 20, 40, 70}) {  // a row for each tile
      // Rows of Q8_0 end inside a superblock.
      const Case c = make_case({.m = m,
                                .n_out = 66,
                                .n_in = weights == DType::kQ8_0 ? 5 * 256 - 32 : 5 * 256,
                                .weights = weights,
                                .y = DType::kF32});
      const std::vector<float> want = plain_matmul(c.p, c.weights, c.x);
      for (const auto& [name, gemm] : {std::pair{"v2 ", &gemm_v2_free}, std::pair{"v4 ", &gemm_v4_free}}) {
        if (gemm == &gemm_v4_free && (m > 64 || weights == DType::kQ8_0)) continue;
        for (const int64_t splits : {0, 1, 2, 3, 5, 9}) {
          const auto got = run(
              c, [&, gemm = gemm](hip::Stream& s, const auto& p, const auto& args) { gemm(s, p, args, splits); }, 2);
          const std::string label = name + std::to_string(splits) + " splits, " + to_line(c.p);
          if (splits == 1)
            EXPECT_EQ(difference(want, got), "") << label;
          else
            expect_near(want, got, label);
        }
      }
      expect_near(want, run(c, gemm_v3_free, 2), "a chain a wave, " + to_line(c.p));
    }
}

TEST(QuantMatmulVariants, SplitsByHand) {
  EXPECT_EQ(gemm_v2_free_splits(1000, 16, 100), 1) << "ten rounds: splitting only adds beginnings";
  EXPECT_EQ(gemm_v2_free_splits(100, 16, 100), 1) << "one full round";
  EXPECT_EQ(gemm_v2_free_splits(50, 16, 100), 2) << "half a round";
  EXPECT_EQ(gemm_v2_free_splits(1, 16, 100), 16) << "a superblock each";
  EXPECT_EQ(gemm_v2_free_splits(1, 1, 100), 1);
  EXPECT_EQ(gemm_v2_free_splits(110, 16, 100), 2) << "2 rounds of 18 superblocks are 36, 3 of 10 are 30, 4 of 8 are 32";
}

TEST(QuantMatmulVariants, Refusals) {
  const Case c = make_case({.m = 2, .n_out = 3, .n_in = 512});
  expect_refused([&] { run(c, [](auto& s, const auto& p, const auto& a) { gemm_v2_free(s, p, a); }); },
                 {"y", "f32", "f16"});
  expect_refused([&] { run(c, [](auto& s, const auto& p, const auto& a) { gemm_v2_free(s, p, a, -1); }); },
                 {"splits", "-1"});
  expect_refused([&] { run(c, [](auto& s, const auto& p, const auto& a) { gemm_v4_free(s, p, a); }); },
                 {"y", "f32", "f16"});
  const auto v4_free = [](auto& s, const auto& p, const auto& a) { gemm_v4_free(s, p, a); };
  expect_refused([&] { run(make_case({.m = 65, .n_out = 3, .n_in = 512}), v4_free); }, {"m must", "64", "65"});
  expect_refused([&] { run(make_case({.m = 2, .n_out = 3, .n_in = 512, .weights = DType::kQ8_0}), v4_free); },
                 {"weights", "q4_k", "q6_k", "q8_0"});
}

}  // namespace
}  // namespace greta
