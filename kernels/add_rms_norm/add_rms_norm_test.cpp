#include "kernels/add_rms_norm/add_rms_norm.hpp"

#include <limits>

#include "kernels/quant_matmul/quant_matmul.hpp"
#include "kernels/residual_add/residual_add.hpp"
#include "kernels/rms_norm/rms_norm.hpp"
#include "kernels/tile/kernel_testing.hpp"

namespace greta {
namespace {
using namespace testing_support;

/// The new residual stream and the bytes of the output.
struct Answer {
  std::vector<float> x;
  std::vector<uint8_t> out;
  bool operator==(const Answer&) const = default;
};
std::vector<uint8_t> bytes_of(hip::Stream& stream, const hip::DeviceTensor& tensor) {
  std::vector<uint8_t> bytes(tensor.bytes());
  tensor.download_bytes(stream, bytes.data(), bytes.size());
  return bytes;
}

Answer fused(const AddRmsNormProblem& p, const std::vector<float>& x, const std::vector<float>& addend,
             const std::vector<float>& w) {
  hip::Stream stream;
  auto xs = buffer_of(stream, "x", x);
  const auto as = buffer_of(stream, "addend", addend), ws = buffer_of(stream, "weight", w);
  hip::DeviceTensor out("out", p.out, static_cast<size_t>(p.out_elements()));
  add_rms_norm(stream, add_rms_norm_ladder().front(), p, {xs.view(), as.cview(), ws.cview(), out.view()});
  return {xs.to_host(stream), bytes_of(stream, out)};
}

/// The operators it replaces, each on its first rung.
Answer in_sequence(const AddRmsNormProblem& p, const std::vector<float>& x, const std::vector<float>& addend,
                   const std::vector<float>& w) {
  hip::Stream stream;
  auto xs = buffer_of(stream, "x", x);
  const auto as = buffer_of(stream, "addend", addend), ws = buffer_of(stream, "weight", w);
  hip::DeviceTensor y("y", p.y, x.size()), out("out", p.out, static_cast<size_t>(p.out_elements()));
  if (p.add) residual_add(stream, residual_add_ladder().front(), p.addition(), {xs.view(), as.cview()});
  rms_norm(stream, rms_norm_ladder().front(), p.norm(), {xs.cview(), ws.cview(), y.view()});
  if (!p.quantised()) return {xs.to_host(stream), bytes_of(stream, y)};
  const QuantMatmulProblem matmul{.m = p.n_rows,
                                  .n_out = 1,
                                  .n_in = p.width,
                                  .weights = p.out == DType::kQ8Act256 ? DType::kQ4K : DType::kQ8_0,
                                  .x = p.y};
  quantize_activations(stream, matmul, y.view(), out.view());
  return {xs.to_host(stream), bytes_of(stream, out)};
}

TEST(AddRmsNorm, TheBitsOfTheSequence) {
  for (const int64_t width : {256, 768, 1024, 1280, 4096, 8192})
    for (const DType y : {DType::kF32, DType::kF16, DType::kBF16})
      for (const DType out : {y, DType::kQ8Act256, DType::kQ8Act32})
        for (const int64_t add : {0, 1}) {
          const AddRmsNormProblem p{.n_rows = 3, .width = width, .add = add, .y = y, .out = out};
          auto x = random_values(static_cast<size_t>(p.elements()), 1),
               w = random_values(static_cast<size_t>(width), 2);
          const auto addend = random_values(static_cast<size_t>(p.elements()), 3);
          for (int64_t c = 0; c < width; ++c)
            x[static_cast<size_t>(width + c)] = -addend[static_cast<size_t>(width + c)];
          const Answer want = in_sequence(p, x, addend, w);  // row 1 sums to zero: blocks of zeros
          for_every_schedule([&](const std::string& label) {
            EXPECT_TRUE(fused(p, x, addend, w) == want) << to_line(p) << " " << label;
          });
        }
}

TEST(AddRmsNorm, NanAndInfinityAsTheSequenceHasThem) {
  const AddRmsNormProblem p{.n_rows = 4, .width = 512};
  auto x = random_values(2048, 1);
  const auto addend = random_values(2048, 2), w = random_values(512, 3);
  x[512 + 7] = std::numeric_limits<float>::quiet_NaN();
  x[1024 + 300] = std::numeric_limits<float>::infinity();
  const Answer got = fused(p, x, addend, w), want = in_sequence(p, x, addend, w);
  EXPECT_EQ(got.out, want.out);
  EXPECT_EQ(difference(want.x, got.x), "");
}

TEST(AddRmsNorm, CostsLinesAndRefusals) {
  const AddRmsNormProblem p{.n_rows = 2, .width = 256, .add = 1, .eps = 1e-6f, .y = DType::kBF16};
  EXPECT_EQ(p.flops(), 5 * 512);
  EXPECT_EQ(p.bytes(), 512 * 12 + 4 * 256 + 2 * 304);  // x twice, addend, weight, two blocks
  AddRmsNormProblem norm = p;
  norm.add = 0, norm.out = DType::kBF16;
  EXPECT_EQ(norm.bytes(), 512 * 4 + 4 * 256 + 512 * 2);
  EXPECT_EQ(to_line(from_line<AddRmsNormProblem>(to_line(p))), to_line(p));
  expect_refused([] { validate(AddRmsNormProblem{.width = 300}); }, {"width", "256", "got 300"});
  expect_refused([] { validate(AddRmsNormProblem{.add = 2}); }, {"add", "0 or 1", "got 2"});
  expect_refused([] { validate(AddRmsNormProblem{.out = DType::kF32}); }, {"out", "f16", "f32"});
  expect_refused([] { validate(AddRmsNormProblem{.n_rows = 0}); }, {"n_rows", "got 0"});
  const AddRmsNormRung& v1 = add_rms_norm_ladder().front();
  EXPECT_NE(v1.accepts({.width = 8448}), "");
  EXPECT_NE(v1.accepts({.width = 257, .out = DType::kF16}), "");
  hip::Stream stream;
  auto x = buffer_of(stream, "x", std::vector<float>(256, 1.0f));
  hip::DeviceTensor out("out", DType::kQ8Act256, 1);
  const auto run = [&](const AddRmsNormProblem& problem, const AddRmsNormArgs& args) {
    add_rms_norm(stream, v1, problem, args);
  };
  const hip::DeviceView<const float> w = x.view();
  expect_refused([&] { run({}, {x.view(), {}, w, out.view()}); }, {"'addend'", "null"});
  expect_refused([&] { run({.n_rows = 2, .add = 0}, {x.view(), {}, w, out.view()}); }, {"'x'", "512"});
  expect_refused([&] { run({.add = 0}, {x.view(), {}, w, x.view()}); }, {"out", "q8_act256", "f32"});
}

}  // namespace
}  // namespace greta
