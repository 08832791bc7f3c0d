#include "kernels/swiglu/swiglu.hpp"

#include <limits>

#include "kernels/tile/exp2_portable.hpp"
#include "kernels/tile/kernel_testing.hpp"

namespace greta {
namespace {
using namespace testing_support;

/// swiglu_problem.hpp as a plain loop.
std::vector<float> plain(const SwigluProblem& p, const std::vector<float>& gate, const std::vector<float>& up) {
  std::vector<float> y;
  for (size_t i = 0; i < gate.size(); ++i) {
    float t = gate[i] * -0x1.715476p+0f;
    if (t < -126.0f) t = -126.0f;
    if (t > 127.0f) t = 127.0f;
    const float s = gate[i] / (1.0f + exp2_portable(t));
    y.push_back(rounded(p.dtype, s * up[i]));
  }
  return y;
}

std::vector<float> run(const SwigluProblem& p, const std::vector<float>& gate, const std::vector<float>& up,
                       size_t offset = 0) {
  hip::Stream stream;
  const size_t n = gate.size() - offset;
  const auto g = tensor_of(stream, "gate", p.dtype, gate), u = tensor_of(stream, "up", p.dtype, up);
  hip::DeviceTensor y("y", p.dtype, n);
  swiglu(stream, swiglu_ladder().front(), p, {g.view().slice(offset, n), u.view().slice(offset, n), y.view()});
  return floats_of(stream, y);
}

TEST(Swiglu, SameBitsAsPlainLoops) {
  for (const int64_t width : {1, 7, 2047, 2048, 5000})
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      const SwigluProblem p{.n_rows = 2, .width = width, .dtype = dtype};
      const auto n = static_cast<size_t>(p.elements());
      const auto gate = rounded(dtype, random_values(n, 1, 8.0f)), up = rounded(dtype, random_values(n, 2));
      const auto want = plain(p, gate, up);
      for_every_schedule([&](const std::string& label) {
        EXPECT_EQ(difference(want, run(p, gate, up)), "") << to_line(p) << " " << label;
      });
    }
  const SwigluProblem p{.n_rows = 1, .width = 99};
  const auto gate = rounded(p.dtype, random_values(100, 1, 8.0f)), up = rounded(p.dtype, random_values(100, 2));
  const auto all = plain(p, gate, up);
  EXPECT_EQ(difference({all.begin() + 1, all.end()}, run(p, gate, up, 1)), "") << "unaligned";
}

TEST(Swiglu, NearTheTruthAndAtTheEnds) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  const std::vector<float> gate = {0.0f, 1.0f, -1.0f, 20.0f, -20.0f, 200.0f, -200.0f, inf, nan, 1.0f};
  const std::vector<float> up = {1, 1, 1, 1, 1, 1, 1, 1, 1, nan};
  const auto y = run({.n_rows = 1, .width = 10, .dtype = DType::kF32}, gate, up);
  EXPECT_EQ(y[0], 0.0f);
  for (size_t i = 1; i < 6; ++i) {
    const double g = gate[i], want = g / (1.0 + std::exp(-g));
    EXPECT_NEAR(y[i], want, 1e-6 * std::abs(want)) << i;
  }
  EXPECT_LT(std::abs(y[6]), 1e-35f);
  EXPECT_EQ(y[7], inf);
  EXPECT_TRUE(std::isnan(y[8]));
  EXPECT_TRUE(std::isnan(y[9]));
}

TEST(Swiglu, CostsLinesAndRefusals) {
  const SwigluProblem p{.n_rows = 2, .width = 5, .dtype = DType::kBF16};
  EXPECT_EQ(p.flops(), 5 * 10);
  EXPECT_EQ(p.bytes(), 3 * 10 * 2);
  EXPECT_EQ(to_line(from_line<SwigluProblem>(to_line(p))), to_line(p));
  expect_refused([] { validate(SwigluProblem{.n_rows = 0}); }, {"n_rows", "got 0"});
  expect_refused([] { validate(SwigluProblem{.dtype = DType::kQ8_0}); }, {"dtype", "q8_0"});
  hip::Stream stream;
  hip::DeviceTensor x("x", DType::kF16, 256), y("y", DType::kF16, 255);
  expect_refused(
      [&] {
        swiglu(stream, swiglu_ladder().front(), {}, {x.view(), x.view(), y.view()});
      },
      {"swiglu_v1", "'y'", "256"});
  if (hip::platform_name() == "host") {
    hip::DeviceTensor z("z", DType::kF16, 256);
    expect_refused(
        [&] {
          swiglu(stream, swiglu_ladder().front(), {}, {x.view(), x.view(), z.view(), ExpMode::kHardware});
        },
        {"swiglu", "portable", "host"});
  }
}

}  // namespace
}  // namespace greta
