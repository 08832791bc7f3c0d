#include "kernels/argmax/argmax.hpp"

#include <limits>

#include "kernels/tile/kernel_testing.hpp"

namespace greta {
namespace {
using namespace testing_support;

constexpr float kInf = std::numeric_limits<float>::infinity();
const float kNan = std::nanf("");

std::vector<int32_t> run(const ArgmaxProblem& p, const std::vector<float>& logits) {
  hip::Stream stream;
  const auto x = buffer_of(stream, "logits", logits);
  hip::DeviceBuffer<int32_t> index("index", static_cast<size_t>(p.n_rows));
  argmax(stream, argmax_ladder().front(), p, {x.cview(), index.view()});
  return index.to_host(stream);
}

TEST(Argmax, EveryColumnCanWin) {
  for (const int64_t width : {1, 5, 255, 1024, 1030, 4096}) {
    // Row r holds its maximum at a column of its own, once more further right.
    const ArgmaxProblem p{.n_rows = 9, .width = width};
    auto logits = random_values(static_cast<size_t>(p.elements()), 5);
    std::vector<int32_t> want;
    for (int64_t r = 0; r < p.n_rows; ++r) {
      const int64_t at = r * (width - 1) / (p.n_rows - 1);
      logits[r * width + at] = 100.0f;
      logits[r * width + (at + width - 1) / 2] = 100.0f;
      want.push_back(static_cast<int32_t>(at));
    }
    for_every_schedule([&](const std::string& label) { EXPECT_EQ(run(p, logits), want) << width << " " << label; });
  }
}

TEST(Argmax, TiesZerosInfinitiesNan) {
  const auto one = [](std::vector<float> row) {
    return run({.n_rows = 1, .width = static_cast<int64_t>(row.size())}, row).front();
  };
  EXPECT_EQ(one({3, 3, 3, 3, 3, 3}), 0);
  EXPECT_EQ(one({-1, -0.0f, 0.0f}), 1);
  EXPECT_EQ(one({-kInf, -kInf, -kInf}), 0);
  EXPECT_EQ(one({-kInf, -5, kInf, kInf}), 2);
  EXPECT_EQ(one({1, 2, kNan, 9, kNan}), -1 - 2);
  EXPECT_EQ(one({kNan, kInf}), -1);
  std::vector<float> wide(3000, 0.0f);
  wide[2999] = kNan, wide[1500] = -kNan;
  EXPECT_EQ(one(wide), -1 - 1500);
  // A NaN concerns its own row only.
  EXPECT_EQ(run({.n_rows = 3, .width = 2}, {0, 1, kNan, 1, 1, 0}), (std::vector<int32_t>{1, -1, 0}));
}

TEST(Argmax, CostsLinesAndRefusals) {
  const ArgmaxProblem p{.n_rows = 3, .width = 7};
  EXPECT_EQ(p.flops(), 21);
  EXPECT_EQ(p.bytes(), 21 * 4 + 3 * 4);
  EXPECT_EQ(to_line(from_line<ArgmaxProblem>(to_line(p))), to_line(p));
  expect_refused([] { validate(ArgmaxProblem{.width = 0}); }, {"width", "got 0"});
  hip::Stream stream;
  const auto x = buffer_of(stream, "logits", std::vector<float>(4, 0.0f));
  hip::DeviceBuffer<int32_t> index("index", 1);
  expect_refused(
      [&] {
        argmax(stream, argmax_ladder().front(), {.width = 5}, {x.cview(), index.view()});
      },
      {"argmax_v1", "'logits'", "5"});
  expect_refused(
      [&] {
        argmax(stream, argmax_ladder().front(), {.width = int64_t{1} << 31}, {x.cview(), index.view()});
      },
      {"width", "2147483648"});
}

}  // namespace
}  // namespace greta
