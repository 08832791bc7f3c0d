#include "kernels/quant_matmul/quant_matmul_group.hpp"

#include "kernels/quant_matmul/plain_matmul.hpp"

namespace greta {
namespace {
using namespace testing_support;

TEST(QuantMatmulGroup, EveryRungIsThatOfASingleMatrix) {
  ASSERT_FALSE(quant_matmul_group_ladder().empty());
  size_t found = 0;
  for (const QuantMatmulRung& single : quant_matmul_ladder()) {
    const QuantMatmulGroupRung* const group = quant_matmul_group_rung(single);
    if (!group) continue;
    ++found;
    EXPECT_STREQ(group->arithmetic, single.arithmetic) << single.name;
  }
  EXPECT_EQ(found, quant_matmul_group_ladder().size()) << "a name that no rung of quant_matmul has";
  for (const DType type : {DType::kQ4K, DType::kQ6K, DType::kQ8_0, DType::kF16})
    for (const int64_t m : {1, 64}) {  // on a GPU all that a model runs take groups
      const QuantMatmulRung& used = quant_matmul_default_rung({.m = m, .weights = type});
      EXPECT_TRUE(hip::platform_name() == "host" || quant_matmul_group_rung(used)) << used.name;
    }
}

TEST(QuantMatmulGroup, HasTheBitsOfPlainLoopsUnderEverySchedule) {
  const QuantMatmulGroupProblem p{
      .m = 3, .n_out = 5, .n_out_1 = 1, .n_out_2 = 21, .n_in = 512, .weights = DType::kQ8_0};
  const auto x = rounded(p.x, random_values(static_cast<size_t>(p.m * p.n_in), 7));
  std::vector<uint8_t> weights[3];
  std::vector<float> want[3];
  for (int i = 0; i < 3; ++i) {
    weights[i] =
        random_weights(p.weights, static_cast<size_t>(p.part(i).weight_elements()), 11 + static_cast<uint64_t>(i));
    want[i] = plain_matmul(p.part(i), weights[i], x);
  }
  for_every_schedule([&](const std::string& label) {
    for (const QuantMatmulGroupRung& rung : quant_matmul_group_ladder()) {
      if (!rung.accepts(p).empty()) continue;
      hip::Stream stream;
      std::vector<hip::DeviceTensor> w, y;
      QuantMatmulGroupArgs args;
      const hip::DeviceTensor values = tensor_of(stream, "x", p.x, x);
      const hip::DeviceTensor blocks("blocks", p.part(0).activation_blocks(),
                                     static_cast<size_t>(p.m * p.part(0).activation_blocks_per_row()));
      quantize_activations(stream, p.part(0), values.view(), blocks.view());
      args.x = blocks.view();
      for (int i = 0; i < 3; ++i) {
        w.emplace_back("weights", p.weights, static_cast<size_t>(p.part(i).weight_elements()));
        w.back().upload_bytes(stream, weights[i].data(), weights[i].size());
        y.emplace_back("y", p.y, want[i].size());
        args.weights[i] = w.back().view(), args.y[i] = y.back().view();
      }
      quant_matmul_group(stream, rung, p, args);
      for (int i = 0; i < 3; ++i)
        EXPECT_EQ(difference(want[i], floats_of(stream, y[static_cast<size_t>(i)])), "")
            << rung.name << " " << label << " " << i;
      // Two outputs at one place are refused, not overwritten.
      args.y[1] = args.y[2].slice(0, static_cast<size_t>(p.m));
      expect_refused([&] { quant_matmul_group(stream, rung, p, args); }, {"y_1", "y_2"});
    }
  });
}

TEST(QuantMatmulGroup, CostsAndRefusals) {
  const QuantMatmulGroupProblem p{
      .m = 2, .n_out = 3, .n_out_1 = 4, .n_in = 512, .weights = DType::kQ4K, .x = DType::kF32};
  EXPECT_EQ(p.flops(), 2.0 * 2 * 7 * 512);
  EXPECT_EQ(p.bytes(), 7 * 2 * 144 + 2 * 512 * 4 + 2 * 7 * 2);
  EXPECT_EQ(to_line(from_line<QuantMatmulGroupProblem>(to_line(p))), to_line(p));
  expect_refused([] { validate(QuantMatmulGroupProblem{.n_out_2 = 3}); }, {"n_out_2", "only after n_out_1"});
  expect_refused([] { validate(QuantMatmulGroupProblem{.n_out_1 = -1}); }, {"n_out_1"});
  expect_refused([] { validate(QuantMatmulGroupProblem{.n_in = 100}); }, {"n_in", "multiple of 256"});
  const auto& rung = find_rung<QuantMatmulGroupRung>("quant_matmul_group", quant_matmul_group_ladder(), "gemv_q6_k_v2");
  hip::Stream stream;
  expect_refused([&] { quant_matmul_group(stream, rung, p, {}); }, {"gemv_q6_k_v2", "weights must be q6_k"});
}

}  // namespace
}  // namespace greta
