#include "kernels/rms_norm/rms_norm.hpp"

#include <limits>

#include "kernels/tile/kernel_testing.hpp"

namespace greta {
namespace {
using namespace testing_support;

/// The definition in rms_norm_problem.hpp, in its order, as plain loops.
std::vector<float> plain(const RmsNormProblem& p, const std::vector<float>& x, const std::vector<float>& w) {
  std::vector<float> y(x.size());
  for (int64_t i = 0; i < p.n_rows; ++i) {
    const float* row = x.data() + i * p.width;
    std::vector<float> sums(256, 0.0f);
    for (int64_t c = 0; c < p.width; ++c) {
      float& acc = sums[static_cast<size_t>(c % 1024 / 4)];
      acc = std::fma(row[c], row[c], acc);
    }
    for (size_t distance = 1; distance < 256; distance *= 2)
      for (size_t t = 0; t < 256; t += 2 * distance) sums[t] = sums[t] + sums[t + distance];
    const float mean = sums[0] / static_cast<float>(p.width);
    const float r = 1.0f / std::sqrt(mean + p.eps);
    for (int64_t c = 0; c < p.width; ++c) y[i * p.width + c] = rounded(p.y, (row[c] * r) * w[c]);
  }
  return y;
}

std::vector<float> run(const RmsNormProblem& p, const std::vector<float>& x, const std::vector<float>& w,
                       size_t offset = 0, const RmsNormRung& rung = rms_norm_ladder().front()) {
  hip::Stream stream;
  std::vector<float> shifted(offset, 0.0f);
  shifted.insert(shifted.end(), x.begin(), x.end());
  const auto xs = buffer_of(stream, "x", shifted), ws = buffer_of(stream, "weight", w);
  hip::DeviceTensor y("y", p.y, x.size());
  rms_norm(stream, rung, p, {xs.cview().slice(offset, x.size()), ws.cview(), y.view()});
  return floats_of(stream, y);
}

TEST(RmsNorm, SameBitsAsPlainLoops) {
  for (const int64_t width : {1, 3, 4, 255, 256, 1000, 1024, 1028, 4096})
    for (const DType y : {DType::kF32, DType::kF16, DType::kBF16}) {
      const RmsNormProblem p{.n_rows = 3, .width = width, .y = y};
      const auto x = random_values(static_cast<size_t>(p.elements()), 1),
                 w = random_values(static_cast<size_t>(width), 2);
      const auto want = plain(p, x, w);
      for_every_schedule([&](const std::string& label) {
        EXPECT_EQ(difference(want, run(p, x, w)), "") << to_line(p) << " " << label;
      });
      // A buffer that does not start on 16 bytes takes the element-wise kernel.
      EXPECT_EQ(difference(want, run(p, x, w, 1)), "") << to_line(p) << " unaligned";
    }
}

TEST(RmsNorm, SecondRungHasTheSameBits) {
  const RmsNormRung& v2 = find_rung("rms_norm", rms_norm_ladder(), "v2");
  for (const int64_t width : {4, 256, 1000, 1024, 1028, 4096, 5000, 8192})
    for (const DType y : {DType::kF32, DType::kF16, DType::kBF16}) {
      const RmsNormProblem p{.n_rows = 3, .width = width, .y = y};
      const auto x = random_values(static_cast<size_t>(p.elements()), 1),
                 w = random_values(static_cast<size_t>(width), 2);
      const auto want = plain(p, x, w);
      for_every_schedule([&](const std::string& label) {
        EXPECT_EQ(difference(want, run(p, x, w, 0, v2)), "") << to_line(p) << " " << label;
      });
    }
  EXPECT_NE(v2.accepts({.width = 1001}), "");
  EXPECT_NE(v2.accepts({.width = 8196}), "");
  expect_refused([&] { run({.width = 16}, random_values(16, 1), random_values(16, 2), 1, v2); }, {"x", "16 bytes"});
}

TEST(RmsNorm, NanStaysInItsRow) {
  const RmsNormProblem p{.n_rows = 3, .width = 300, .y = DType::kF16};
  auto x = random_values(900, 3);
  x[450] = std::numeric_limits<float>::quiet_NaN();
  for (const RmsNormRung& rung : rms_norm_ladder()) {
    const auto y = run(p, x, std::vector<float>(300, 1.0f), 0, rung);
    for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(y[i]), i / 300 == 1) << rung.name << " " << i;
  }
}

TEST(RmsNorm, CostsByHand) {
  const RmsNormProblem p{.n_rows = 2, .width = 8, .y = DType::kF16};
  EXPECT_EQ(p.flops(), 4 * 16);
  EXPECT_EQ(p.bytes(), 16 * 4 + 16 * 2 + 8 * 4);  // x, y, weight
}

TEST(RmsNorm, LinesAndRefusals) {
  const RmsNormProblem p{.n_rows = 7, .width = 96, .eps = 1e-6f, .y = DType::kBF16};
  EXPECT_EQ(to_line(from_line<RmsNormProblem>(to_line(p))), to_line(p));
  expect_refused([] { validate(RmsNormProblem{.n_rows = 0}); }, {"n_rows", "at least 1", "got 0"});
  expect_refused([] { validate(RmsNormProblem{.width = -4}); }, {"width", "got -4"});
  expect_refused([] { validate(RmsNormProblem{.y = DType::kQ4K}); }, {"y", "f16", "q4_k"});
  expect_refused([] { validate(RmsNormProblem{.eps = std::nanf("")}); }, {"eps"});
  hip::Stream stream;
  const auto x = buffer_of(stream, "x", std::vector<float>(10, 1.0f));
  hip::DeviceTensor y("y", DType::kF16, 100);
  expect_refused(
      [&] {
        rms_norm(stream, rms_norm_ladder().front(), {.n_rows = 1, .width = 100}, {x.cview(), x.cview(), y.view()});
      },
      {"rms_norm_v1", "'x'", "100"});
  expect_refused(
      [&] {
        rms_norm(stream, rms_norm_ladder().front(), {.n_rows = 1, .width = 10, .y = DType::kF32},
                 {x.cview(), x.cview(), y.view()});
      },
      {"y", "f32", "f16"});
}

}  // namespace
}  // namespace greta
