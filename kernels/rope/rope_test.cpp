#include "kernels/rope/rope.hpp"

#include "kernels/tile/kernel_testing.hpp"

namespace greta {
namespace {
using namespace testing_support;

/// cos and sin of angles that are all different.
std::vector<float> rope_table(int64_t n_positions, int64_t head_dim) {
  std::vector<float> table;
  for (int64_t p = 0; p < n_positions; ++p)
    for (int64_t i = 0; i < head_dim / 2; ++i) {
      const double angle = static_cast<double>(p) / (1.0 + static_cast<double>(i));
      table.push_back(static_cast<float>(std::cos(angle)));
      table.push_back(static_cast<float>(std::sin(angle)));
    }
  return table;
}

/// rope_problem.hpp as plain loops.
std::vector<float> plain(const RopeProblem& p, std::vector<float> x, const std::vector<int32_t>& positions,
                         const std::vector<float>& table) {
  const int64_t half = p.head_dim / 2;
  for (int64_t t = 0; t < p.n_tokens; ++t)
    for (int64_t h = 0; h < p.n_heads; ++h)
      for (int64_t i = 0; i < half; ++i) {
        float* head = x.data() + (t * p.n_heads + h) * p.head_dim;
        float& a = head[p.half_split ? i : 2 * i];
        float& b = head[p.half_split ? i + half : 2 * i + 1];
        const float* row = table.data() + positions[static_cast<size_t>(t)] * p.head_dim;
        const float cos = row[2 * i], sin = row[2 * i + 1];
        const float b_sin = b * sin, b_cos = b * cos;
        const float new_a = std::fma(a, cos, -b_sin), new_b = std::fma(a, sin, b_cos);
        a = rounded(p.dtype, new_a), b = rounded(p.dtype, new_b);
      }
  return x;
}

std::vector<float> run(const RopeProblem& p, const std::vector<float>& x, const std::vector<int32_t>& positions,
                       const std::vector<float>& table, const RopeRung& rung = rope_ladder().front()) {
  hip::Stream stream;
  auto xs = tensor_of(stream, "x", p.dtype, x);
  const auto at = buffer_of(stream, "positions", positions);
  const auto cos_sin = buffer_of(stream, "table", table);
  rope(stream, rung, p, {xs.view(), at.cview(), cos_sin.cview()});
  return floats_of(stream, xs);
}

TEST(Rope, SameBitsAsPlainLoops) {
  for (const int64_t head_dim : {2, 6, 8, 20, 64, 128})
    for (const int64_t half_split : {0, 1})
      for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32}) {
        const RopeProblem p{.n_tokens = 4,
                            .n_heads = 3,
                            .head_dim = head_dim,
                            .half_split = half_split,
                            .n_positions = 40,
                            .dtype = dtype};
        const std::vector<int32_t> positions = {0, 39, 7, 8};
        const auto x = rounded(dtype, random_values(static_cast<size_t>(p.elements()), 1));
        const auto table = rope_table(p.n_positions, head_dim);
        const auto want = plain(p, x, positions, table);
        for (const RopeRung& rung : rope_ladder()) {
          if (!rung.accepts(p).empty()) continue;
          for_every_schedule([&](const std::string& label) {
            EXPECT_EQ(difference(want, run(p, x, positions, table, rung)), "")
                << rung.name << " " << to_line(p) << " " << label;
          });
        }
      }
}

TEST(Rope, SecondRungSharesAWorkgroupAmongTokensAndLoopsOverHeads) {
  // 1 head: 16 tokens of head_dim 128 a workgroup, the last one ragged; 70 heads: two rounds of 64.
  for (const int64_t n_heads : {1, 2, 5, 70})
    for (const int64_t half_split : {0, 1}) {
      const RopeProblem p{
          .n_tokens = 19, .n_heads = n_heads, .head_dim = 128, .half_split = half_split, .n_positions = 40};
      std::vector<int32_t> positions;
      for (int32_t t = 0; t < 19; ++t) positions.push_back((t * 7) % 40);
      const auto x = rounded(p.dtype, random_values(static_cast<size_t>(p.elements()), 4));
      const auto table = rope_table(p.n_positions, p.head_dim);
      const RopeRung& v2 = find_rung("rope", rope_ladder(), "v2");
      EXPECT_EQ(difference(plain(p, x, positions, table), run(p, x, positions, table, v2)), "") << to_line(p);
    }
  const RopeRung& v2 = find_rung("rope", rope_ladder(), "v2");
  EXPECT_NE(v2.accepts({.head_dim = 66}), "");
  EXPECT_NE(v2.accepts({.head_dim = 4096}), "");
  EXPECT_EQ(v2.accepts({.head_dim = 2048}), "");
  expect_refused([&] { run({.head_dim = 66}, std::vector<float>(66), {0}, rope_table(1, 66), v2); },
                 {"rope v2", "head_dim", "66"});
}

TEST(Rope, HandWorkedQuarterTurn) {
  // A table of one row: cos 0, sin 1 turns (a, b) into (-b, a).
  const RopeProblem pairs{.n_heads = 1, .head_dim = 4, .dtype = DType::kF32};
  EXPECT_EQ(run(pairs, {1, 2, 3, 4}, {0}, {0, 1, 0, 1}), (std::vector<float>{-2, 1, -4, 3}));
  const RopeProblem half{.n_heads = 1, .head_dim = 4, .half_split = 1, .dtype = DType::kF32};
  EXPECT_EQ(run(half, {1, 2, 3, 4}, {0}, {0, 1, 0, 1}), (std::vector<float>{-3, -4, 1, 2}));
}

TEST(Rope, PositionsOutsideTheTablePoisonTheirToken) {
  for (const int64_t head_dim : {6, 64}) {  // element-wise and wide kernels
    const RopeProblem p{.n_tokens = 4, .n_heads = 2, .head_dim = head_dim, .n_positions = 5};
    for (const RopeRung& rung : rope_ladder()) {
      if (!rung.accepts(p).empty()) continue;
      const auto y = run(p, std::vector<float>(static_cast<size_t>(p.elements()), 1.0f), {4, 5, -1, 2147483647},
                         rope_table(5, head_dim), rung);
      for (size_t i = 0; i < y.size(); ++i)
        EXPECT_EQ(std::isnan(y[i]), static_cast<int64_t>(i) >= 2 * head_dim) << rung.name << head_dim << " " << i;
    }
  }
}

TEST(Rope, CostsLinesAndRefusals) {
  const RopeProblem p{.n_tokens = 2, .n_heads = 3, .head_dim = 4, .half_split = 1, .n_positions = 9};
  EXPECT_EQ(p.flops(), 2 * 3 * 2 * 6);                   // 6 a pair: 2 multiplies, 2 fma
  EXPECT_EQ(p.bytes(), 2 * (24 * 2) + 2 * (4 * 4 + 4));  // x twice; a table row and a position a token
  EXPECT_EQ(to_line(from_line<RopeProblem>(to_line(p))), to_line(p));
  expect_refused([] { validate(RopeProblem{.head_dim = 7}); }, {"head_dim", "even", "got 7"});
  expect_refused([] { validate(RopeProblem{.half_split = 2}); }, {"half_split", "0 or 1"});
  expect_refused([] { validate(RopeProblem{.dtype = DType::kI8}); }, {"dtype", "i8"});
  hip::Stream stream;
  auto x = tensor_of(stream, "x", DType::kF16, std::vector<float>(64, 1.0f));
  const auto at = buffer_of(stream, "positions", std::vector<int32_t>{0});
  const auto table = buffer_of(stream, "table", rope_table(1, 64));
  expect_refused(
      [&] {
        rope(stream, rope_ladder().front(), {.n_positions = 2}, {x.view(), at.cview(), table.cview()});
      },
      {"rope_v1", "'table'", "128"});
  expect_refused(
      [&] {
        rope(stream, rope_ladder().front(), {.dtype = DType::kBF16}, {x.view(), at.cview(), table.cview()});
      },
      {"x", "bf16", "f16"});
}

}  // namespace
}  // namespace greta
