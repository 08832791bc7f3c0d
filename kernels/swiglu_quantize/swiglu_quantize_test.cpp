#include "kernels/swiglu_quantize/swiglu_quantize.hpp"

#include <limits>

#include "kernels/quant_matmul/quant_matmul.hpp"
#include "kernels/swiglu/swiglu.hpp"
#include "kernels/tile/kernel_testing.hpp"

namespace greta {
namespace {
using namespace testing_support;

std::vector<uint8_t> bytes_of(hip::Stream& stream, const hip::DeviceTensor& tensor) {
  std::vector<uint8_t> bytes(tensor.bytes());
  tensor.download_bytes(stream, bytes.data(), bytes.size());
  return bytes;
}
std::vector<uint8_t> fused(const SwigluQuantizeProblem& p, const std::vector<float>& gate,
                           const std::vector<float>& up) {
  hip::Stream stream;
  const auto g = tensor_of(stream, "gate", p.dtype, gate), u = tensor_of(stream, "up", p.dtype, up);
  hip::DeviceTensor blocks("blocks", p.out, static_cast<size_t>(p.out_elements()));
  swiglu_quantize(stream, swiglu_quantize_ladder().front(), p, {g.view(), u.view(), blocks.view()});
  return bytes_of(stream, blocks);
}
/// swiglu, then the quantiser, each on its first rung.
std::vector<uint8_t> in_sequence(const SwigluQuantizeProblem& p, const std::vector<float>& gate,
                                 const std::vector<float>& up) {
  hip::Stream stream;
  const auto g = tensor_of(stream, "gate", p.dtype, gate), u = tensor_of(stream, "up", p.dtype, up);
  hip::DeviceTensor h("h", p.dtype, gate.size()), blocks("blocks", p.out, static_cast<size_t>(p.out_elements()));
  swiglu(stream, swiglu_ladder().front(), p.product(), {g.view(), u.view(), h.view()});
  const QuantMatmulProblem matmul{.m = p.n_rows,
                                  .n_out = 1,
                                  .n_in = p.width,
                                  .weights = p.out == DType::kQ8Act256 ? DType::kQ4K : DType::kQ8_0,
                                  .x = p.dtype};
  quantize_activations(stream, matmul, h.view(), blocks.view());
  return bytes_of(stream, blocks);
}

TEST(SwigluQuantize, TheBitsOfTheSequence) {
  for (const int64_t width : {256, 768, 2816})
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16})
      for (const DType out : {DType::kQ8Act256, DType::kQ8Act32}) {
        const SwigluQuantizeProblem p{.n_rows = 3, .width = width, .dtype = dtype, .out = out};
        auto gate = random_values(static_cast<size_t>(p.elements()), 1, 3.0f);
        const auto up = random_values(static_cast<size_t>(p.elements()), 2);
        for (size_t i = 0; i < 256; ++i) gate[i] = 0;                                    // a block of zeros
        gate[static_cast<size_t>(width) + 3] = std::numeric_limits<float>::quiet_NaN();  // NaN shows in d
        const auto want = in_sequence(p, gate, up);
        for_every_schedule(
            [&](const std::string& label) { EXPECT_TRUE(fused(p, gate, up) == want) << to_line(p) << " " << label; });
      }
}

TEST(SwigluQuantize, CostsLinesAndRefusals) {
  const SwigluQuantizeProblem p{.n_rows = 2, .width = 512, .dtype = DType::kBF16};
  EXPECT_EQ(p.flops(), 5 * 1024);
  EXPECT_EQ(p.bytes(), 2 * 1024 * 2 + 4 * 304);
  EXPECT_EQ(to_line(from_line<SwigluQuantizeProblem>(to_line(p))), to_line(p));
  expect_refused([] { validate(SwigluQuantizeProblem{.width = 300}); }, {"width", "256", "got 300"});
  expect_refused([] { validate(SwigluQuantizeProblem{.out = DType::kF16}); }, {"out", "q8_act256", "f16"});
  expect_refused([] { fused({.n_rows = 2}, std::vector<float>(256, 1.0f), std::vector<float>(512, 1.0f)); },
                 {"'gate'", "512"});
}

}  // namespace
}  // namespace greta
