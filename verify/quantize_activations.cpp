// The activation quantiser of quantised matmul as verification sees it: an operator with one rung, whose output is a
// block's fields taken apart. The problem is the matmul's; n_out does not matter.
#include "kernels/quant_matmul/quant_matmul.hpp"
#include "reference/quant_blocks.hpp"
#include "verify/activation_fields.hpp"
#include "verify/buffers.hpp"
#include "verify/catalogue.hpp"
#include "verify/draw.hpp"
#include "verify/operator_of.hpp"

namespace greta::verify {
namespace {

using Quantise = void (*)(hip::Stream&, const QuantMatmulProblem&, hip::AnyView, hip::AnyView);
using QuantiseRung = Rung<QuantMatmulProblem, Quantise>;

std::string quantised_only(const QuantMatmulProblem& p) {
  return p.quantised() ? "" : "float weights take activations as they are";
}
constexpr QuantiseRung kLadder[] = {
    {"v1", quantize_activations, quantised_only, "q8_act", "one block a wave or less"},
};

constexpr CaseRow<QuantMatmulProblem> kCases[] = {
    {"one_block", {.m = 1, .n_in = 256}, "smallest row of either block type", kQuick, kOnce},
    {"odd_rows", {.m = 7, .n_in = 768}, "odd rows, three blocks", kQuick, kInvariant},
    {"llama3_8b", {.m = 3, .n_in = 4096}, "activations of Llama-3-8B", kQuick, kInvariant},
    {"many_rows", {.m = 67, .n_in = 512}, "activations of a prefill", kQuick, kOnce},
};

class QuantizeActivations final : public OperatorOf<QuantMatmulProblem, QuantiseRung> {
 public:
  std::string name() const override { return "quantize_activations"; }
  std::vector<Case> cases() const override {
    std::vector<Case> out;
    for (const auto& row : kCases)
      for (const DType weights : {DType::kQ4K, DType::kQ8_0})
        for (const DType x : {DType::kF16, DType::kBF16, DType::kF32}) {
          QuantMatmulProblem p = row.problem;
          p.weights = weights, p.x = x;
          out.push_back(make_case(row, p, fmt::format("weights={} x={}", dtype_name(weights), dtype_name(x))));
        }
    const QuantMatmulProblem p{.m = 5, .n_in = 288, .weights = DType::kQ8_0, .x = DType::kF16};
    out.push_back({"ragged", "weights=q8_0 x=f16", to_line(p), "a row that is no whole number of 256", false, true});
    return out;
  }

 protected:
  std::span<const QuantiseRung> ladder() const override { return kLadder; }
  static Tensor x_of(const QuantMatmulProblem& p) { return Tensor("x", p.x, {{"row", p.m}, {"c", p.n_in}}); }

  static std::vector<Tensor> fields(const QuantMatmulProblem& p, const std::vector<uint8_t>& bytes) {
    return block_fields(p.activation_blocks(), p.m, p.activation_blocks_per_row(), bytes);
  }

  // One 127 a block: d is 1 and q is x.
  Data integers(const QuantMatmulProblem& p, uint64_t seed) const override {
    Tensor x = whole(x_of(p), -126, 126, seed);
    const int values = dtype_block_values(p.activation_blocks());
    for (int64_t row = 0; row < p.m; ++row)
      for (int64_t begin = 0; begin < p.n_in; begin += values)
        x.set(row * p.n_in + begin + (row + begin / values) % values, -127.0f);
    Tensor d("d", DType::kF32, {{"row", p.m}, {"block", p.activation_blocks_per_row()}});
    for (int64_t i = 0; i < d.count(); ++i) d.set(i, 1.0f);
    // d is 1 everywhere and would be mistrusted as constant data: every other row is x twice as large, and d is 2.
    Tensor q("q", DType::kI8, {{"row", p.m}, {"block", p.activation_blocks_per_row()}, {"i", values}});
    Tensor sums("sum", DType::kI32, {{"row", p.m}, {"block", p.activation_blocks_per_row()}, {"g", 16}});
    for (int64_t i = 0; i < x.count(); ++i) {
      const int64_t row = i / p.n_in, c = i % p.n_in, at = row * p.activation_blocks_per_row() * values + c;
      q.set(at, static_cast<float>(x.number(i)));
      if (values == kSuperblock) sums.set(at / 16, static_cast<float>(sums.number(at / 16) + x.number(i)));
    }
    for (int64_t i = 0; i < x.count(); ++i)
      if (i / p.n_in % 2 || i % p.n_in / values % 2) x.set(i, static_cast<float>(2 * x.number(i)));
    for (int64_t i = 0; i < d.count(); ++i)
      if (i / p.activation_blocks_per_row() % 2 || i % p.activation_blocks_per_row() % 2) d.set(i, 2.0f);
    std::vector<Tensor> exact = {std::move(d), std::move(q)};
    if (values == kSuperblock) exact.push_back(std::move(sums));
    return {{std::move(x)}, std::move(exact), {}};
  }
  static constexpr int64_t kZeroRow = 4;

  // Blocks of very different size; one row of zeros where there are several.
  Data random(const QuantMatmulProblem& p, uint64_t seed) const override {
    Tensor x = normal(x_of(p), 1.0f, seed);
    for (int64_t i = 0; i < x.count(); ++i) {
      const int64_t row = i / p.n_in, block = i % p.n_in / 32;
      x.set(i, row == kZeroRow
                   ? 0.0f
                   : static_cast<float>(std::ldexp(x.number(i), static_cast<int>((row * 5 + block * 3) % 13) - 8)));
    }
    return {{std::move(x)}, {}, {}};
  }
  std::vector<Output> launch(const QuantiseRung& rung, const QuantMatmulProblem& p, const Data& data,
                             const RunOptions&) const override {
    Buffers buffers(name());
    const auto x = buffers.in(data["x"]);
    const auto blocks =
        buffers.out(Tensor("blocks", p.activation_blocks(), {{"row", p.m}, {"block", p.activation_blocks_per_row()}}));
    rung.launch(buffers.stream(), p, x, blocks);
    std::vector<Output> out;
    append_fields(p.activation_blocks(), buffers.collect().at(0), out);
    return out;
  }
  std::vector<Tensor> twin_of(const QuantMatmulProblem& p, const std::string&, const Data& data) const override {
    const std::vector<float> x = data["x"].floats();
    std::vector<uint8_t> bytes;
    const auto append = [&](const auto& blocks) {
      const auto* begin = reinterpret_cast<const uint8_t*>(blocks.data());
      bytes.insert(bytes.end(), begin, begin + blocks.size() * sizeof blocks[0]);
    };
    for (int64_t row = 0; row < p.m; ++row) {
      const auto values = std::span(x).subspan(static_cast<size_t>(row * p.n_in), static_cast<size_t>(p.n_in));
      if (p.activation_blocks() == DType::kQ8Act256)
        append(reference::quantise_activations_256(values));
      else
        append(reference::quantise_activations_32(values));
    }
    return fields(p, bytes);
  }
  // From the definition in double: d = amax / 127 to one rounding; q within half a step and the roundings of r and x r
  // (3 u of at most 127) of x 127 / amax; sums within 16 times that.
  std::vector<reference::Bounded> oracle_of(const QuantMatmulProblem& p, const std::string&, ExpMode,
                                            const Data& data) const override {
    const std::vector<float> x = data["x"].floats();
    const int64_t values = dtype_block_values(p.activation_blocks()), blocks = p.m * p.activation_blocks_per_row();
    constexpr double kStep = 0.5 + 127 * 3 * reference::kUnitF32;
    reference::Bounded d, q, sums;
    for (int64_t b = 0; b < blocks; ++b) {
      const int64_t row = b / p.activation_blocks_per_row(), first = b % p.activation_blocks_per_row() * values;
      const auto at = [&](int64_t i) {
        return first + i < p.n_in ? static_cast<double>(x[static_cast<size_t>(row * p.n_in + first + i)]) : 0.0;
      };
      double amax = 0;
      for (int64_t i = 0; i < values; ++i) amax = std::max(amax, std::abs(at(i)));
      d.value.push_back(amax / 127);
      d.bound.push_back(reference::kUnitF32 * amax / 127);
      for (int64_t i = 0; i < values; ++i) {
        q.value.push_back(amax > 0 ? at(i) * 127 / amax : 0);
        q.bound.push_back(amax > 0 ? kStep : 0);
        if (i % 16 == 0) sums.value.push_back(0), sums.bound.push_back(0);
        sums.value.back() += q.value.back(), sums.bound.back() += q.bound.back();
      }
    }
    std::vector<reference::Bounded> out = {std::move(d), std::move(q)};
    if (values == kSuperblock) out.push_back(std::move(sums));
    return out;
  }
  bool rounds_in(const QuantMatmulProblem&) const override { return true; }
  std::string no_statistics_in(const QuantMatmulProblem&) const override {
    return "steps of integers: tier B holds each to half a step";
  }
  std::vector<std::string> relations_of(const QuantMatmulProblem& p) const override {
    return p.m == 1 ? std::vector<std::string>{} : std::vector<std::string>{"row_alone", "neighbours_nan"};
  }
  Relation relate(const std::string& which, const QuantMatmulProblem& p, const std::string&, const Data& data,
                  uint64_t seed) const override {
    auto row = static_cast<int64_t>(reference::Random(seed).below(static_cast<uint64_t>(p.m)));
    if (row == kZeroRow) row = 0;  // zeros are the same in every draw
    QuantMatmulProblem one = p;
    one.m = which == "row_alone" ? 1 : p.m;
    const int64_t there = which == "row_alone" ? 0 : row, blocks = p.activation_blocks_per_row();
    const int64_t values = dtype_block_values(p.activation_blocks());
    Relation r =
        one_step(which, to_line(one), {which == "row_alone" ? rows_of(data["x"], row, 1) : nan_around(data["x"], row)},
                 {0, row * blocks, there * blocks, blocks});
    r.steps[0].pieces.push_back({1, row * blocks * values, there * blocks * values, blocks * values});
    if (values == kSuperblock) r.steps[0].pieces.push_back({2, row * blocks * 16, there * blocks * 16, blocks * 16});
    return r;
  }
};

}  // namespace

const Operator& quantize_activations_operator() {
  static const QuantizeActivations op;
  return op;
}

}  // namespace greta::verify
