#include "kernels/residual_add/residual_add.hpp"

#include "kernels/tile/kernel_testing.hpp"

namespace greta {
namespace {
using namespace testing_support;

TEST(ResidualAdd, SameBitsAsPlainLoops) {
  for (const int64_t width : {1, 3, 1023, 1024, 4099})
    for (const size_t offset : {size_t{0}, size_t{1}}) {  // 1: buffers that are not aligned to 16 bytes
      const ResidualAddProblem p{.n_rows = 3, .width = width};
      const auto n = static_cast<size_t>(p.elements());
      const auto x = random_values(n + offset, 1), y = random_values(n + offset, 2, 1e-3f);
      std::vector<float> want = x;
      for (size_t i = offset; i < want.size(); ++i) want[i] += y[i];
      for_every_schedule([&](const std::string& label) {
        hip::Stream stream;
        auto xs = buffer_of(stream, "x", x);
        const auto ys = buffer_of(stream, "y", y);
        residual_add(stream, residual_add_ladder().front(), p,
                     {xs.view().slice(offset, n), ys.cview().slice(offset, n)});
        EXPECT_EQ(difference(want, xs.to_host(stream)), "") << to_line(p) << " " << label;
      });
    }
}

TEST(ResidualAdd, CostsLinesAndRefusals) {
  const ResidualAddProblem p{.n_rows = 2, .width = 5};
  EXPECT_EQ(p.flops(), 10);
  EXPECT_EQ(p.bytes(), 3 * 10 * 4);  // x read and written, y read
  EXPECT_EQ(to_line(from_line<ResidualAddProblem>(to_line(p))), to_line(p));
  expect_refused([] { validate(ResidualAddProblem{.width = 0}); }, {"width", "got 0"});
  hip::Stream stream;
  auto x = buffer_of(stream, "x", std::vector<float>(256, 1.0f));
  expect_refused(
      [&] {
        residual_add(stream, residual_add_ladder().front(), {}, {x.view(), x.cview()});
      },
      {"residual_add_v1", "overlap"});
}

}  // namespace
}  // namespace greta
