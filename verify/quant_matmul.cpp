// Quantised matmul as verification sees it: the activation quantiser and the product in one run, as the model does it.
#include "kernels/quant_matmul/quant_matmul.hpp"

#include "reference/quant_matmul.hpp"
#include "verify/buffers.hpp"
#include "verify/catalogue.hpp"
#include "verify/draw.hpp"
#include "verify/matrix_calibration.hpp"
#include "verify/operator_of.hpp"
#include "verify/stored_weights.hpp"

namespace greta::verify {
namespace {

constexpr CaseRow<QuantMatmulProblem> kCases[] = {
    {"one_output", {.m = 1, .n_out = 1, .n_in = 256}, "smallest problem of every weights type", kQuick, kOnce},
    {"two_superblocks", {.m = 1, .n_out = 7, .n_in = 512}, "one link of the chain over superblocks", kQuick, kOnce},
    {"rows_2", {.m = 2, .n_out = 33, .n_in = 256}, "few rows, odd outputs", kQuick, kOnce},
    {"rows_3", {.m = 3, .n_out = 17, .n_in = 768}, "odd rows, three superblocks", kQuick, kInvariant},
    {"rows_4", {.m = 4, .n_out = 31, .n_in = 256}, "a row count kernels like", kQuick, kOnce},
    {"rows_5", {.m = 5, .n_out = 13, .n_in = 512}, "one row past it", kQuick, kOnce},
    {"rows_7", {.m = 7, .n_out = 11, .n_in = 256}, "last row count but one of the small kernels", kQuick, kOnce},
    {"rows_8", {.m = 8, .n_out = 19, .n_in = 256}, "largest row count the model gives a gemv", kQuick, kOnce},
    {"rows_9", {.m = 9, .n_out = 19, .n_in = 256}, "smallest row count the model gives a gemm", kQuick, kInvariant},
    {"tile", {.m = 64, .n_out = 64, .n_in = 256}, "whole tiles of 64 x 64", kQuick, kOnce},
    {"tile_plus_one", {.m = 65, .n_out = 65, .n_in = 512}, "a ragged tile in both directions", kQuick, kOnce},
    {"sample_llama_down", {.m = 3, .n_out = 256, .n_in = 768}, "feed-forward of the sample model", kQuick, kOnce},
    {"llama3_8b_row", {.m = 1, .n_out = 24, .n_in = 4096}, "16 superblocks: a row of Llama-3-8B", kQuick, kInvariant},
    {"llama3_8b_down", {.m = 2, .n_out = 6, .n_in = 14336}, "56 superblocks: the longest chain", kQuick, kOnce},
    {"llama3_8b_gate",
     {.m = 67, .n_out = 517, .n_in = 4096},
     "part of a feed-forward matrix, ragged tiles",
     kFull,
     kInvariant},
    {"prefill", {.m = 131, .n_out = 257, .n_in = 1024}, "many rows, prime in both directions", kQuick, kOnce},
};

// f16 and bf16 weights with X of their type: what goes to matrix tiles.
constexpr CaseRow<QuantMatmulProblem> kMatrixCases[] = {
    {"one_chunk", {.m = 1, .n_out = 1, .n_in = 8}, "a quarter of a run of columns", kQuick, kOnce},
    {"run_and_chunk", {.m = 5, .n_out = 18, .n_in = 40}, "a run of columns and a quarter", kQuick, kInvariant},
    {"nine_runs",
     {.m = 16, .n_out = 17, .n_in = 288},
     "more runs than a gemv has under way, a full tile",
     kQuick,
     kOnce},
    {"rows_17", {.m = 17, .n_out = 65, .n_in = 264}, "second tile of tokens holds one", kQuick, kInvariant},
    {"rows_65", {.m = 65, .n_out = 67, .n_in = 1032}, "more tokens than the smallest tile of the gemm", kQuick, kOnce},
    {"large_tile",
     {.m = 131, .n_out = 261, .n_in = 104},
     "the largest tiles, ragged in all directions",
     kQuick,
     kInvariant},
    {"llama3_8b_gate", {.m = 259, .n_out = 517, .n_in = 4096}, "large tiles of a feed-forward matrix", kFull, kOnce},
};

// Weights that have a rung for 17 to 64 rows, whose tiles are larger where there are outputs enough for all CUs.
constexpr CaseRow<QuantMatmulProblem> kSomeRows[] = {
    {"rows_33",
     {.m = 33, .n_out = 35, .n_in = 1280},
     "third tile of tokens holds one, odd superblocks",
     kQuick,
     kInvariant},
    {"many_outputs", {.m = 41, .n_out = 8453, .n_in = 512}, "64 outputs for each of 132 CUs, and 5", kFull, kOnce},
};

// Types of X and Y change with the row, so that all are seen without all combinations.
constexpr DType kActivations[] = {DType::kF16, DType::kBF16, DType::kF32};

class QuantMatmul final : public OperatorOf<QuantMatmulProblem, QuantMatmulRung> {
 public:
  std::string name() const override { return "quant_matmul"; }
  std::vector<Case> cases() const override {
    std::vector<Case> out;
    size_t n = 0;
    for (const auto& row : kCases) {
      for (const DType type : {DType::kQ4K, DType::kQ6K, DType::kQ8_0, DType::kF16, DType::kBF16, DType::kF32}) {
        QuantMatmulProblem p = row.problem;
        p.weights = type, p.x = kActivations[n % 3], p.y = kActivations[(n + n / 3) % 3];
        out.push_back(make_case(row, p, variant(p)));
        ++n;
      }
      ++n;
    }
    for (const auto& row : kMatrixCases)
      for (const DType type : {DType::kF16, DType::kBF16}) {
        QuantMatmulProblem p = row.problem;
        p.weights = p.x = type, p.y = kActivations[n++ % 3];
        out.push_back(make_case(row, p, variant(p)));
      }
    for (const auto& row : kSomeRows)
      for (const DType type : {DType::kQ4K, DType::kQ6K}) {
        QuantMatmulProblem p = row.problem;
        p.weights = type, p.x = kActivations[n++ % 3], p.y = kActivations[(n + n / 3) % 3];
        out.push_back(make_case(row, p, variant(p)));
      }
    // Rows of q8_0 and float weights need not be whole superblocks.
    for (const auto& [type, n_in, why] : {std::tuple{DType::kQ8_0, 32, "one block: a group of eight is not full"},
                                          std::tuple{DType::kQ8_0, 288, "one block past a group of eight"},
                                          std::tuple{DType::kF16, 1, "one column: one lane works"},
                                          std::tuple{DType::kF32, 255, "one column short of a step of the lanes"},
                                          std::tuple{DType::kBF16, 1021, "prime row length"}}) {
      const QuantMatmulProblem p{.m = 3, .n_out = 5, .n_in = n_in, .weights = type, .x = DType::kF16, .y = DType::kF32};
      out.push_back({fmt::format("ragged_{}", n_in), variant(p), to_line(p), why, false, true});
    }
    return out;
  }

 protected:
  std::span<const QuantMatmulRung> ladder() const override { return quant_matmul_ladder(); }
  static std::string variant(const QuantMatmulProblem& p) {
    return fmt::format("weights={} x={} y={}", dtype_name(p.weights), dtype_name(p.x), dtype_name(p.y));
  }
  static Tensor x_of(const QuantMatmulProblem& p) { return Tensor("x", p.x, {{"row", p.m}, {"c", p.n_in}}); }
  static Tensor y_of(const QuantMatmulProblem& p) { return Tensor("y", p.y, {{"row", p.m}, {"out", p.n_out}}); }
  static Tensor weights_of(const QuantMatmulProblem& p) { return weights_shape("weights", p.weights, p.n_out, p.n_in); }

  // Whole activations with one 127 a block, so that the block's d is 1 and quantising is exact; whole weights. Every
  // partial sum stays below 2^24 units; the sum is rounded once to y.
  Data integers(const QuantMatmulProblem& p, uint64_t seed) const override {
    std::vector<int32_t> values;
    Tensor weights = whole_weights(weights_of(p), seed, values), x = whole(x_of(p), -2, 2, seed + 1), y = y_of(p);
    reference::Random random(seed + 2);
    const int64_t block = p.quantised() ? dtype_block_values(p.activation_blocks()) : p.n_in;
    for (int64_t row = 0; row < p.m && p.quantised(); ++row)
      for (int64_t begin = 0; begin < p.n_in; begin += block) {
        const auto room = static_cast<uint64_t>(std::min(block, p.n_in - begin));
        x.set(row * p.n_in + begin + static_cast<int64_t>(random.below(room)), random.below(2) ? 127.0f : -127.0f);
      }
    const std::vector<float> xs = x.floats();
    for (int64_t i = 0; i < p.m; ++i)
      for (int64_t r = 0; r < p.n_out; ++r) {
        int64_t sum = 0;
        for (int64_t c = 0; c < p.n_in; ++c)
          sum += static_cast<int64_t>(xs[static_cast<size_t>(i * p.n_in + c)]) *
                 values[static_cast<size_t>(r * p.n_in + c)];
        y.set(i * p.n_out + r, reference::round_once(p.y, static_cast<double>(sum) * whole_unit(p.weights)));
      }
    return {{std::move(weights), std::move(x)}, {std::move(y)}, {}};
  }
  // Activations with outliers, as trained models have them: the block's other values lose most of their steps.
  Data random(const QuantMatmulProblem& p, uint64_t seed) const override {
    Tensor x = normal(x_of(p), 1.0f, seed + 1);
    for (int64_t i = 0; i < x.count(); ++i)
      if (i % 397 == 11) x.set(i, 20.0f * static_cast<float>(x.number(i)));
    return {{random_weights(weights_of(p), seed), std::move(x)}, {}, {}};
  }
  std::vector<Output> launch(const QuantMatmulRung& rung, const QuantMatmulProblem& p, const Data& data,
                             const RunOptions&) const override {
    Buffers buffers(name());
    QuantMatmulArgs args;
    args.weights = buffers.in(data["weights"]);
    args.x = buffers.in(data["x"]);
    if (p.quantised()) {
      const auto blocks = buffers.scratch("activation_blocks", p.activation_blocks(),
                                          static_cast<size_t>(p.m * p.activation_blocks_per_row()));
      quantize_activations(buffers.stream(), p, args.x, blocks);
      args.x = blocks;
    }
    args.y = buffers.out(y_of(p));
    quant_matmul(buffers.stream(), rung, p, args);
    return buffers.collect();
  }
  std::vector<Tensor> twin_of(const QuantMatmulProblem& p, const std::string& arithmetic,
                              const Data& data) const override {
    return {filled(y_of(p), reference::quant_matmul_twin(p, data["weights"].bytes.data(), data["x"].floats(),
                                                         arithmetic, matrix_machine()))};
  }
  std::vector<reference::Bounded> oracle_of(const QuantMatmulProblem& p, const std::string& arithmetic, ExpMode,
                                            const Data& data) const override {
    return {reference::quant_matmul_oracle(p, data["weights"].bytes.data(), data["x"].floats(), arithmetic)};
  }
  std::vector<std::string> relations_of(const QuantMatmulProblem& p) const override {
    std::vector<std::string> out;
    if (p.m > 1) out = {"row_alone", "neighbours_nan"};
    if (p.n_out > 1) out.push_back("output_alone");
    return out;
  }
  Relation relate(const std::string& which, const QuantMatmulProblem& p, const std::string&, const Data& data,
                  uint64_t seed) const override {
    reference::Random random(seed);
    const auto row = static_cast<int64_t>(random.below(static_cast<uint64_t>(p.m)));
    const auto output = static_cast<int64_t>(random.below(static_cast<uint64_t>(p.n_out)));
    QuantMatmulProblem other = p;
    if (which == "row_alone") {
      other.m = 1;
      return one_step(which, to_line(other), {data["weights"], rows_of(data["x"], row, 1)},
                      {0, row * p.n_out, 0, p.n_out});
    }
    if (which == "neighbours_nan")
      return one_step(which, to_line(p), {data["weights"], nan_around(data["x"], row)},
                      {0, row * p.n_out, row * p.n_out, p.n_out});
    other.n_out = 1;
    Relation relation =
        one_step(which, to_line(other), {rows_of(data["weights"], output, 1), data["x"]}, {0, output, 0, 1});
    for (int64_t i = 1; i < p.m; ++i) relation.steps[0].pieces.push_back({0, i * p.n_out + output, i, 1});
    return relation;
  }
};

}  // namespace

const Operator& quant_matmul_operator() {
  static const QuantMatmul op;
  return op;
}

}  // namespace greta::verify
