#include "kernels/quant_matmul/quant_matmul.hpp"

#include <limits>
#include <map>

#include "kernels/quant_matmul/plain_matmul.hpp"

namespace greta {
namespace {
using namespace testing_support;

constexpr DType kAllWeights[] = {DType::kQ4K, DType::kQ6K, DType::kQ8_0, DType::kF16, DType::kBF16, DType::kF32};

/// Weights and X of a problem, here and on the device.
struct Case {
  QuantMatmulProblem p;
  std::vector<uint8_t> weights;
  std::vector<float> x;
};
Case make_case(QuantMatmulProblem p, uint64_t seed = 1) {
  return {p, random_weights(p.weights, static_cast<size_t>(p.weight_elements()), seed),
          rounded(p.x, random_values(static_cast<size_t>(p.m * p.n_in), seed + 7))};
}

/// Offsets in elements (of weights: blocks) of x and weights from where their buffers start.
std::vector<float> run(const Case& c, const QuantMatmulRung& rung, size_t x_offset = 0, size_t weights_offset = 0) {
  const QuantMatmulProblem& p = c.p;
  hip::Stream stream;
  const auto blocks_of_w = static_cast<size_t>(p.weight_elements());
  hip::DeviceTensor all_weights("weights", p.weights, weights_offset + blocks_of_w);
  std::vector<uint8_t> bytes_of_w(weights_offset * static_cast<size_t>(dtype_block_bytes(p.weights)));
  bytes_of_w.insert(bytes_of_w.end(), c.weights.begin(), c.weights.end());
  all_weights.upload_bytes(stream, bytes_of_w.data(), bytes_of_w.size());
  const hip::AnyView weights = all_weights.view().slice(weights_offset, blocks_of_w);
  std::vector<float> shifted(x_offset, 0.0f);
  shifted.insert(shifted.end(), c.x.begin(), c.x.end());
  const hip::DeviceTensor x = tensor_of(stream, "x", p.x, shifted);
  const hip::AnyView view = x.view().slice(x_offset, c.x.size());
  hip::DeviceTensor y("y", p.y, static_cast<size_t>(p.m * p.n_out));
  if (p.quantised()) {
    const hip::DeviceTensor blocks("blocks", p.activation_blocks(),
                                   static_cast<size_t>(p.m * p.activation_blocks_per_row()));
    quantize_activations(stream, p, view, blocks.view());
    quant_matmul(stream, rung, p, {weights, blocks.view(), y.view()});
  } else {
    quant_matmul(stream, rung, p, {weights, view, y.view()});
  }
  return floats_of(stream, y);
}

std::vector<const QuantMatmulRung*> rungs_of(const QuantMatmulProblem& p) {
  std::vector<const QuantMatmulRung*> rungs;
  for (const QuantMatmulRung& rung : quant_matmul_ladder())
    if (rung.accepts(p).empty()) rungs.push_back(&rung);
  return rungs;
}

bool on_matrix_tiles(const QuantMatmulRung& rung) { return std::string_view(rung.arithmetic) == "mma_f32"; }
/// What plain loops give in the arithmetic of a rung.
class Plain {
 public:
  explicit Plain(const Case& c) : c_(c) {}
  const std::vector<float>& of(const QuantMatmulRung& rung) {
    PlainMachine machine = {hip::exec_config().matrix_model, hip::device_info().wave_size};
    if (hip::platform_name() == "cuda") machine.model = MatrixModel::kHopper;
    if (hip::platform_name() == "rocm") machine.model = MatrixModel::kCdna3;
    auto& want = on_matrix_tiles(rung) ? of_tiles_[{machine.model, machine.wave}] : of_loops_;
    if (want.empty()) want = plain_matmul(c_.p, c_.weights, c_.x, on_matrix_tiles(rung), machine);
    return want;
  }

 private:
  const Case& c_;
  std::vector<float> of_loops_;
  std::map<std::pair<MatrixModel, int>, std::vector<float>> of_tiles_;
};

TEST(QuantMatmul, EveryRungHasTheBitsOfPlainLoops) {
  struct Row {
    int64_t m, n_out, n_in;
  };
  // name                 m  n_out n_in    why this row exists
  constexpr Row kRows[] = {{1, 1, 256},    // smallest
                           {1, 67, 512},   // two superblocks, ragged rows
                           {1, 5, 9984},   // 39: more than one pass of every gemv
                           {2, 9, 768},    // three: spans 2 and 1
                           {3, 65, 2304},  // nine: a full span and one more
                           {8, 130, 256},  // widest gemv, many row rounds
                           {9, 63, 1280},  // second round of tokens, ragged tile of the gemm
                           {17, 5, 256},    {33, 70, 512}, {66, 3, 256},  // the gemm's other tile heights
                           {130, 129, 264}, {70, 131, 72}};  // and the tiles of float weights, rows end in a run
  for (const DType weights : kAllWeights)
    for (const Row& row : kRows) {
      if (row.n_in % dtype_block_values(weights)) continue;
      const Case c = make_case({.m = row.m, .n_out = row.n_out, .n_in = row.n_in, .weights = weights});
      Plain want(c);
      for (const QuantMatmulRung* rung : rungs_of(c.p))
        EXPECT_EQ(difference(want.of(*rung), run(c, *rung)), "") << rung->name << " " << to_line(c.p);
    }
}

TEST(QuantMatmul, RowsThatEndInsideASuperblockOrLane) {
  for (const int64_t n_in : {32, 96, 224, 288, 544})
    for (const int64_t m : {1, 5, 20}) {
      const Case c = make_case({.m = m, .n_out = 11, .n_in = n_in, .weights = DType::kQ8_0});
      Plain want(c);
      for (const QuantMatmulRung* rung : rungs_of(c.p))
        EXPECT_EQ(difference(want.of(*rung), run(c, *rung)), "") << rung->name << " " << to_line(c.p);
    }
  for (const DType weights : {DType::kF16, DType::kF32})
    for (const int64_t n_in : {1, 7, 8, 24, 32, 40, 255, 257, 264, 1000})
      for (const int64_t m : {1, 6}) {
        const Case c = make_case({.m = m, .n_out = 7, .n_in = n_in, .weights = weights});
        Plain want(c);
        for (const QuantMatmulRung* rung : rungs_of(c.p))
          EXPECT_EQ(difference(want.of(*rung), run(c, *rung)), "") << rung->name << " " << to_line(c.p);
      }
}

TEST(QuantMatmul, EveryTypeOfXAndY) {
  for (const DType weights : kAllWeights)
    for (const DType x : {DType::kF16, DType::kBF16, DType::kF32})
      for (const DType y : {DType::kF16, DType::kBF16, DType::kF32}) {
        const Case c = make_case({.m = 3, .n_out = 6, .n_in = 256, .weights = weights, .x = x, .y = y});
        Plain want(c);
        for (const QuantMatmulRung* rung : rungs_of(c.p)) {
          EXPECT_EQ(difference(want.of(*rung), run(c, *rung)), "") << rung->name << " " << to_line(c.p);
          if (on_matrix_tiles(*rung))
            expect_refused([&] { run(c, *rung, 1); }, {"x must start on a multiple of 16"});
          else
            EXPECT_EQ(difference(want.of(*rung), run(c, *rung, 1)), "")
                << rung->name << " unaligned x " << to_line(c.p);
        }
      }
}

TEST(QuantMatmul, OneRowAndManyRowsGiveTheSameBitsUnderEverySchedule) {
  for (const DType weights : kAllWeights) {
    const Case all = make_case({.m = 9, .n_out = 20, .n_in = 512, .weights = weights});
    Plain want(all);
    for_every_schedule([&](const std::string& label) {
      for (int64_t m = 1; m <= 9; ++m) {
        Case c = all;
        c.p.m = m, c.x.resize(static_cast<size_t>(m * c.p.n_in));
        for (const QuantMatmulRung* rung : rungs_of(c.p))
          EXPECT_EQ(difference({want.of(*rung).begin(), want.of(*rung).begin() + m * c.p.n_out}, run(c, *rung)), "")
              << rung->name << " m=" << m << " " << dtype_name(weights) << " " << label;
      }
    });
  }
}

TEST(QuantMatmul, TilesOfManyTokensGiveTheSameBitsUnderEverySchedule) {
  for (const DType weights : {DType::kQ4K, DType::kQ6K})
    for (const int64_t m : {23, 50}) {
      // More superblocks than a ring has places.
      const Case c = make_case({.m = m, .n_out = 20, .n_in = 1536, .weights = weights});
      Plain want(c);
      for_every_schedule([&](const std::string& label) {
        for (const QuantMatmulRung* rung : rungs_of(c.p)) {
          if (!std::string_view(rung->name).ends_with("_v4")) continue;
          EXPECT_EQ(difference(want.of(*rung), run(c, *rung)), "") << rung->name << " m=" << m << " " << label;
        }
      });
    }
}

TEST(QuantMatmul, QuantisedWeightsMayStartOnAnyBlock) {
  for (const DType weights : {DType::kQ4K, DType::kQ6K, DType::kQ8_0})
    for (const int64_t m : {1, 20}) {
      const Case c = make_case({.m = m, .n_out = 37, .n_in = 768, .weights = weights});
      Plain want(c);
      for (const QuantMatmulRung* rung : rungs_of(c.p))
        for (const size_t offset : {1, 7, 8})
          EXPECT_EQ(difference(want.of(*rung), run(c, *rung, 0, offset)), "")
              << rung->name << " " << to_line(c.p) << " from block " << offset;
    }
}

TEST(QuantMatmul, NanAndInfinityShowInTheirRowOnly) {
  for (const DType weights : kAllWeights)
    for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
      Case c = make_case({.m = 3, .n_out = 5, .n_in = 512, .weights = weights, .x = DType::kF32});
      c.x[512 + 300] = bad;
      for (const QuantMatmulRung* rung : rungs_of(c.p)) {
        const auto y = run(c, *rung);
        for (size_t i = 0; i < y.size(); ++i)
          EXPECT_EQ(std::isfinite(y[i]), i / 5 != 1) << rung->name << " " << dtype_name(weights) << " " << i;
      }
    }
}

TEST(QuantizeActivations, BlocksOfTheDefinition) {
  hip::Stream stream;
  for (const DType x_type : {DType::kF16, DType::kBF16, DType::kF32})
    for (const DType weights : {DType::kQ4K, DType::kQ8_0}) {
      const QuantMatmulProblem p{.m = 5, .n_in = 1280, .weights = weights, .x = x_type};
      auto x = rounded(x_type, random_values(static_cast<size_t>(p.m * p.n_in), 3));
      std::fill(x.begin() + 256, x.begin() + 512, 0.0f);  // an empty block
      if (x_type != DType::kF16)                          // amax so small that 127 / amax overflows
        for (int i = 512; i < 768; ++i) x[i] = 1e-38f;
      for (int i = 768; i < 1024; ++i) x[i] = static_cast<float>(i - 768 - 127) / 2;  // ties of rint: amax 64
      const auto xs = tensor_of(stream, "x", x_type, x);
      const int block = weights == DType::kQ4K ? 256 : 32;
      const auto n_blocks = x.size() / static_cast<size_t>(block);
      const PlainActivations want = plain_quantise(x.data(), static_cast<int64_t>(x.size()), block);
      hip::DeviceTensor out("blocks", p.activation_blocks(), n_blocks);
      quantize_activations(stream, p, xs.view(), out.view());
      std::vector<uint8_t> bytes(out.bytes());
      out.download_bytes(stream, bytes.data(), bytes.size());
      for (size_t b = 0; b < n_blocks; ++b) {
        const uint8_t* at = bytes.data() + b * static_cast<size_t>(dtype_block_bytes(p.activation_blocks()));
        float d;
        std::memcpy(&d, at, 4);
        ASSERT_EQ(value_bits(d), value_bits(want.d[b])) << b;
        const uint8_t* qs = at + (block == 256 ? 48 : 16);
        int sums[16] = {};
        for (int i = 0; i < block; ++i) {
          const int q = static_cast<int8_t>(qs[i]);
          ASSERT_EQ(q, want.q[b * static_cast<size_t>(block) + static_cast<size_t>(i)]) << b << " " << i;
          sums[i / 16] += q;
        }
        for (int g = 0; block == 256 && g < 16; ++g) {
          int16_t sum;
          std::memcpy(&sum, at + 16 + 2 * g, 2);
          ASSERT_EQ(sum, sums[g]) << b << " " << g;
        }
      }
    }
}

TEST(QuantMatmul, HandWorkedQ8_0) {
  // One block: d = 2, q = 1, 2, 3, 0 ...; x = 127, -127, 0, ...: amax 127, so dx = 1 and q = x. 2 * (127 - 254) = -254.
  Case c{{.m = 1, .n_out = 1, .n_in = 32, .weights = DType::kQ8_0, .x = DType::kF32, .y = DType::kF32}, {}, {}};
  c.weights.assign(34, 0), c.x.assign(32, 0.0f);
  c.weights[1] = 0x40, c.weights[2] = 1, c.weights[3] = 2, c.weights[4] = 3;
  c.x[0] = 127.0f, c.x[1] = -127.0f;
  for (const QuantMatmulRung* rung : rungs_of(c.p)) EXPECT_EQ(run(c, *rung).front(), -254.0f) << rung->name;
}

TEST(QuantMatmul, DefaultRungGoesByRowsAndType) {
  const std::string rung = hip::platform_name() == "host" ? "_v1" : "_v2";
  EXPECT_EQ(quant_matmul_default_rung({.m = 1, .weights = DType::kQ4K}).name,
            std::string(hip::platform_name() == "host" ? "gemv_q4_k_v1" : "gemv_q4_k_v3"));
  EXPECT_EQ(quant_matmul_default_rung({.m = 4, .weights = DType::kQ6K}).name, "gemv_q6_k" + rung);
  EXPECT_EQ(quant_matmul_default_rung({.m = 8, .weights = DType::kQ8_0}).name, "gemv_q8_0" + rung);
  const bool host = hip::platform_name() == "host";
  const std::string few = host ? "_v1" : "_v3", some = host ? "_v1" : "_v4";
  EXPECT_EQ(quant_matmul_default_rung({.m = 8, .weights = DType::kQ4K}).name,
            std::string(host ? "gemv_q4_k_v1" : "gemm_q4_k_v3"));
  EXPECT_EQ(quant_matmul_default_rung({.m = 9, .weights = DType::kQ8_0}).name, "gemm_q8_0" + few);
  EXPECT_EQ(quant_matmul_default_rung({.m = 16, .weights = DType::kQ6K}).name, "gemm_q6_k" + few);
  EXPECT_EQ(quant_matmul_default_rung({.m = 17, .weights = DType::kQ4K}).name, "gemm_q4_k" + some);
  EXPECT_EQ(quant_matmul_default_rung({.m = 64, .weights = DType::kQ6K}).name, "gemm_q6_k" + some);
  EXPECT_EQ(quant_matmul_default_rung({.m = 64, .weights = DType::kQ8_0}).name, "gemm_q8_0" + few);
  EXPECT_EQ(quant_matmul_default_rung({.m = 65, .weights = DType::kQ6K}).name, "gemm_q6_k" + rung);
  // So many outputs that v2 has a workgroup for every CU: it is faster where its tiles of 64 tokens are filled.
  const auto many = [](int64_t m, DType weights) {
    return std::string(quant_matmul_default_rung({.m = m, .n_out = 1 << 17, .weights = weights}).name);
  };
  EXPECT_EQ(many(16, DType::kQ4K), "gemm_q4_k" + some);
  EXPECT_EQ(many(16, DType::kQ6K), "gemm_q6_k" + few);
  EXPECT_EQ(many(16, DType::kQ8_0), "gemm_q8_0" + few);
  EXPECT_EQ(many(32, DType::kQ4K), "gemm_q4_k" + some);
  EXPECT_EQ(many(32, DType::kQ8_0), "gemm_q8_0" + few);
  EXPECT_EQ(many(33, DType::kQ4K), "gemm_q4_k" + rung);
  EXPECT_EQ(many(33, DType::kQ6K), "gemm_q6_k" + some);
  EXPECT_EQ(many(33, DType::kQ8_0), "gemm_q8_0" + rung);
  EXPECT_STREQ(quant_matmul_default_rung({.m = 9, .weights = DType::kF32}).name, "gemm_float_v1");
  EXPECT_STREQ(quant_matmul_default_rung({.m = 9, .weights = DType::kF16}).name, "gemm_float_v2");
  EXPECT_STREQ(quant_matmul_default_rung({.m = 8, .weights = DType::kBF16, .x = DType::kBF16}).name, "gemv_float_v2");
  EXPECT_STREQ(quant_matmul_default_rung({.m = 8, .weights = DType::kBF16}).name, "gemv_float_v1");
  EXPECT_STREQ(quant_matmul_default_rung({.m = 8, .n_in = 12, .weights = DType::kF16}).name, "gemv_float_v1");
}

TEST(QuantMatmul, TheDefaultsArithmeticDoesNotDependOnTheRowsOfX) {
  for (const DType weights : kAllWeights)
    for (const DType x : {DType::kF16, DType::kBF16, DType::kF32})
      for (const int64_t n_in : {256, 264, 255}) {
        QuantMatmulProblem p{.m = 1, .n_in = n_in, .weights = weights, .x = x};
        if (n_in % dtype_block_values(weights)) continue;
        const std::string one = quant_matmul_default_rung(p).arithmetic;
        for (const int64_t m : {2, 8, 9, 16, 17, 64, 65, 1000}) {
          p.m = m;
          EXPECT_EQ(quant_matmul_default_rung(p).arithmetic, one) << to_line(p);
        }
        if (!p.quantised()) continue;  // of these there is one id a weights type
        for (const QuantMatmulRung* rung : rungs_of(p)) EXPECT_EQ(rung->arithmetic, one);
      }
}

TEST(QuantMatmul, CostsLinesAndRefusals) {
  const QuantMatmulProblem p{.m = 2, .n_out = 3, .n_in = 512, .weights = DType::kQ4K, .x = DType::kF32};
  EXPECT_EQ(p.flops(), 2 * 2 * 3 * 512);
  EXPECT_EQ(p.bytes(), 3 * 2 * 144 + 2 * 512 * 4 + 2 * 3 * 2);  // blocks, X, Y
  EXPECT_EQ(to_line(from_line<QuantMatmulProblem>(to_line(p))), to_line(p));
  expect_refused([] { validate(QuantMatmulProblem{.n_in = 4100}); }, {"n_in", "multiple of 256", "q4_k", "4100"});
  expect_refused([] { validate(QuantMatmulProblem{.n_in = 48, .weights = DType::kQ8_0}); }, {"multiple of 32"});
  expect_refused([] { validate(QuantMatmulProblem{.m = 0}); }, {"m", "at least 1"});
  expect_refused([] { validate(QuantMatmulProblem{.y = DType::kI8}); }, {"y", "i8"});
  hip::Stream stream;
  hip::DeviceTensor w("w", DType::kQ4K, 6), x("x", DType::kQ8Act256, 4), y("y", DType::kF16, 6);
  const auto& rung = find_rung<QuantMatmulRung>("quant_matmul", quant_matmul_ladder(), "gemv_q4_k_v1");
  const auto& other = find_rung<QuantMatmulRung>("quant_matmul", quant_matmul_ladder(), "gemm_q6_k_v1");
  expect_refused(
      [&] {
        quant_matmul(stream, other, p, {w.view(), x.view(), y.view()});
      },
      {"gemm_q6_k_v1", "weights must be q6_k, got q4_k", "n_out=3"});
  expect_refused([&] { quant_matmul(stream, rung, p, {w.view(), y.view(), y.view()}); }, {"x", "q8_act256", "f16"});
  expect_refused(
      [&] {
        quant_matmul(stream, rung, p, {w.view().slice(0, 5), x.view(), y.view()});
      },
      {"gemv_v1<q4_k,2>", "'weights'", "5", "6"});
  expect_refused([&] { quantize_activations(stream, {.weights = DType::kF16}, y.view(), x.view()); },
                 {"quantize_activations", "f16"});
}

}  // namespace
}  // namespace greta
