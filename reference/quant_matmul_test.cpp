#include "reference/quant_matmul.hpp"

#include "reference/quant_blocks.hpp"
#include "reference/test_support.hpp"

namespace greta::reference {
namespace {

constexpr DType kWeights[] = {DType::kQ4K, DType::kQ6K, DType::kQ8_0, DType::kF16, DType::kBF16, DType::kF32};

std::vector<unsigned char> random_weights(const QuantMatmulProblem& p, RandomBlocks kind, uint64_t seed) {
  const size_t bytes = row_bytes(p.weights, p.n_in);
  std::vector<unsigned char> out(static_cast<size_t>(p.n_out) * bytes);
  for (int64_t r = 0; r < p.n_out; ++r)
    random_row(p.weights, kind, 0.05f, substream(seed, static_cast<uint64_t>(r)), p.n_in,
               out.data() + static_cast<size_t>(r) * bytes);
  return out;
}

TEST(QuantMatmulReference, ByHandFloat) {
  QuantMatmulProblem p{.m = 2, .n_out = 2, .n_in = 3, .weights = DType::kF32, .x = DType::kF32, .y = DType::kF32};
  const std::vector<float> w = {1, 2, 3, 0, -1, 0.5f}, x = {1, 1, 1, 2, 0, 4};
  EXPECT_EQ(quant_matmul_twin(p, w.data(), x), (std::vector<float>{6, -0.5f, 14, 2}));
  EXPECT_EQ(quant_matmul_oracle(p, w.data(), x).value, (std::vector<double>{6, -0.5, 14, 2}));
}

TEST(QuantMatmulReference, ByHandQ4K) {
  QuantMatmulProblem p{.m = 1, .n_out = 1, .n_in = 256, .weights = DType::kQ4K, .x = DType::kF32, .y = DType::kF32};
  Q4KParts parts{.d = 0.5, .dmin = 2, .scale = {}, .min = {}, .q = {}};
  parts.scale[0] = 2, parts.min[0] = 3, parts.q[0] = 15, parts.q[1] = 4;
  const BlockQ4K w = pack(parts);
  std::vector<float> x(256, 0.0f);
  x[0] = 127, x[1] = -10, x[5] = 1;  // amax 127: d = 1, q = x
  // w = (0.5*2*15 - 6, 0.5*2*4 - 6, -6 ...) = (9, -2, -6 ...)
  EXPECT_EQ(quant_matmul_twin(p, &w, x), (std::vector<float>{127 * 9 + 20 - 6}));
  EXPECT_EQ(quant_matmul_oracle(p, &w, x).value, (std::vector<double>{127 * 9 + 20 - 6}));
}

TEST(QuantMatmulReference, ByHandQ6KAndQ8) {
  QuantMatmulProblem p{.m = 1, .n_out = 1, .n_in = 256, .weights = DType::kQ6K, .x = DType::kF32, .y = DType::kF32};
  Q6KParts parts{.d = 0.25, .scale = {}, .q = {}};
  parts.scale[15] = -128, parts.q[255] = -32, parts.scale[0] = 4, parts.q[0] = 31;
  const BlockQ6K w = pack(parts);
  std::vector<float> x(256, 0.0f);
  x[0] = 127, x[255] = 2;
  EXPECT_EQ(quant_matmul_twin(p, &w, x), (std::vector<float>{0.25f * (127 * 4 * 31 + 2 * 128 * 32)}));

  p.n_in = 64, p.weights = DType::kQ8_0;
  BlockQ8_0 blocks[2] = {};
  blocks[0].d = half_from_float(2.0f), blocks[0].qs[3] = -128;
  blocks[1].d = half_from_float(0.5f), blocks[1].qs[0] = 7;
  std::vector<float> y(64, 0.0f);
  y[3] = 127, y[32] = -127;
  EXPECT_EQ(quant_matmul_twin(p, blocks, y), (std::vector<float>{2.0f * -128 * 127 - 0.5f * 7 * 127}));
}

TEST(QuantMatmulReference, OracleAgreesWithAPlainProductOfTheSameBlocks) {
  for (const DType type : kWeights) {
    QuantMatmulProblem p{.m = 3, .n_out = 5, .n_in = 768, .weights = type, .x = DType::kF16, .y = DType::kF32};
    const auto w = random_weights(p, RandomBlocks::kAnyBits, 1);
    const auto x = random_values(p.m * p.n_in, 1, 2, p.x);
    const Bounded oracle = quant_matmul_oracle(p, w.data(), x);
    const auto weights = dequantise_matrix(type, w.data(), p.n_out, p.n_in);
    for (int64_t i = 0; i < p.m; ++i) {
      std::vector<double> row(static_cast<size_t>(p.n_in));
      const auto in = std::span(x).subspan(static_cast<size_t>(i * p.n_in), row.size());
      if (!p.quantised())
        std::copy(in.begin(), in.end(), row.begin());
      else if (p.activation_blocks() == DType::kQ8Act256)
        dequantise_activations(std::span<const BlockQ8Act256>(quantise_activations_256(in)), row);
      else
        dequantise_activations(std::span<const BlockQ8Act32>(quantise_activations_32(in)), row);
      for (int64_t r = 0; r < p.n_out; ++r) {
        long double want = 0, size = 0;
        for (size_t c = 0; c < row.size(); ++c) {
          const long double term = static_cast<long double>(row[c]) * weights[static_cast<size_t>(r * p.n_in) + c];
          want += term, size += std::abs(term);
        }
        ASSERT_NEAR(oracle.value[static_cast<size_t>(i * p.n_out + r)], static_cast<double>(want),
                    1e-14 * static_cast<double>(size))
            << dtype_name(type);
      }
    }
  }
}

TEST(QuantMatmulReference, ActivationsAreQuantisedBeforeTheProduct) {
  // 0.3 of amax 1 is 38.1 steps of 1/127: the operator sees 38/127.
  QuantMatmulProblem p{.m = 1, .n_out = 1, .n_in = 32, .weights = DType::kQ8_0, .x = DType::kF32, .y = DType::kF32};
  BlockQ8_0 w = {};
  w.d = half_from_float(1.0f), w.qs[1] = 1;
  std::vector<float> x(32, 0.0f);
  x[0] = 1.0f, x[1] = 0.3f;
  EXPECT_NEAR(quant_matmul_oracle(p, &w, x).value[0], 38.0 / 127, 1e-7);
  EXPECT_NEAR(quant_matmul_twin(p, &w, x)[0], 38.0f / 127, 1e-7f);
}

TEST(QuantMatmulReference, TwinOrderOfLanesByHand) {
  // Columns 0..3 are lane 0, 4..7 lane 1. 2^24 in lane 0 loses a 1 that follows in its own chain; the ones of lanes 2
  // and 3 meet first (distance 1) and reach the big sum as 2.
  QuantMatmulProblem p{.m = 1, .n_out = 1, .n_in = 16, .weights = DType::kF32, .x = DType::kF32, .y = DType::kF32};
  std::vector<float> w(16, 0.0f), x(16, 1.0f);
  w[0] = 0x1p24f, w[1] = 1.0f, w[8] = 1.0f, w[12] = 1.0f;
  EXPECT_EQ(quant_matmul_twin(p, w.data(), x)[0], 0x1p24f + 2.0f);
}

TEST(QuantMatmulReference, TwinGroupsOfQ8ByHand) {
  // 2^24 in the first group of eight blocks; nine ones after it: seven of them are lost in that group's chain, the two
  // of the second group come as 2.
  QuantMatmulProblem p{.m = 1, .n_out = 1, .n_in = 320, .weights = DType::kQ8_0, .x = DType::kF32, .y = DType::kF32};
  BlockQ8_0 w[10] = {};
  std::vector<float> x(320, 0.0f);
  for (size_t b = 0; b < 10; ++b) {
    w[b].d = half_from_float(b == 0 ? 0x1p11f : 0x1p-2f);
    w[b].qs[0] = b == 0 ? 64 : 4;
    x[32 * b] = b == 0 ? 127 * 128.0f : 127;  // d of the activation 128 and 1, q = 127
  }
  const float first = 0x1p24f * 127, one = 127;
  float group = first;
  for (int b = 1; b < 8; ++b) group += one;
  EXPECT_EQ(quant_matmul_twin(p, w, x)[0], group + (one + one));
}

TEST(QuantMatmulReference, TwinWithinTheBound) {
  for (const DType type : kWeights)
    for (const int64_t n_in : {256, 1024, 4096})
      for (const DType y : {DType::kF32, DType::kF16, DType::kBF16}) {
        QuantMatmulProblem p{.m = 5, .n_out = 40, .n_in = n_in, .weights = type, .x = DType::kBF16, .y = y};
        const auto w = random_weights(p, RandomBlocks::kWeights, 3);
        const auto x = random_values(p.m * p.n_in, 1, 4, p.x);
        expect_within(to_line(p).c_str(), quant_matmul_oracle(p, w.data(), x), quant_matmul_twin(p, w.data(), x),
                      // Worst cases add up in gamma(n), real roundings cancel: sqrt(n) of n, and 64 lanes average.
                      y != DType::kF32 ? 0.3 : (p.quantised() ? 0.02 : 0.001));
      }
}

TEST(QuantMatmulReference, AnyBitsStayWithinTheBound) {
  for (const DType type : kWeights) {
    QuantMatmulProblem p{.m = 3, .n_out = 60, .n_in = 2048, .weights = type, .x = DType::kF32, .y = DType::kF32};
    const auto w = random_weights(p, RandomBlocks::kAnyBits, 5);
    for (const float sigma : {1e-30f, 1.0f, 1e6f}) {
      const auto x = random_values(p.m * p.n_in, sigma, 6, p.x);
      EXPECT_LE(worst_ratio(quant_matmul_oracle(p, w.data(), x), quant_matmul_twin(p, w.data(), x)), 1.0)
          << to_line(p) << " sigma " << sigma;
    }
  }
}

}  // namespace
}  // namespace greta::reference
