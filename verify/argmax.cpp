// Argmax as verification sees it.
#include "kernels/argmax/argmax.hpp"

#include "reference/argmax.hpp"
#include "verify/buffers.hpp"
#include "verify/catalogue.hpp"
#include "verify/draw.hpp"
#include "verify/operator_of.hpp"

namespace greta::verify {
namespace {

constexpr CaseRow<ArgmaxProblem> kCases[] = {
    {"one_value", {.n_rows = 1, .width = 1}, "smallest legal problem", kQuick, kOnce},
    {"narrow", {.n_rows = 33, .width = 3}, "fewer columns than lanes", kQuick, kInvariant},
    {"odd", {.n_rows = 19, .width = 1021}, "prime width", kQuick, kInvariant},
    {"sample_llama", {.n_rows = 17, .width = 4096}, "vocabulary of the sample model", kQuick, kOnce},
    {"llama3", {.n_rows = 16, .width = 128256}, "vocabulary of Llama-3", kFull, kOnce},
};

class Argmax final : public OperatorOf<ArgmaxProblem, ArgmaxRung> {
 public:
  std::string name() const override { return "argmax"; }
  std::vector<Case> cases() const override {
    std::vector<Case> out;
    for (const auto& row : kCases) out.push_back(make_case(row, row.problem, ""));
    return out;
  }

 protected:
  std::span<const ArgmaxRung> ladder() const override { return argmax_ladder(); }
  static Tensor logits_of(const ArgmaxProblem& p) {
    return Tensor("logits", DType::kF32, {{"row", p.n_rows}, {"c", p.width}});
  }
  static Tensor index_of(const ArgmaxProblem& p) { return Tensor("index", DType::kI32, {{"row", p.n_rows}}); }

  // The maximum is planted, twice where there is room: the lower column must win.
  Data integers(const ArgmaxProblem& p, uint64_t seed) const override {
    Tensor logits = whole(logits_of(p), -50, 50, seed), index = index_of(p);
    reference::Random random(seed + 1);
    for (int64_t row = 0; row < p.n_rows; ++row) {
      const auto a = static_cast<int64_t>(random.below(static_cast<uint64_t>(p.width)));
      const auto b = static_cast<int64_t>(random.below(static_cast<uint64_t>(p.width)));
      logits.set(row * p.width + a, 51.0f);
      logits.set(row * p.width + b, 51.0f);
      index.set(row, static_cast<float>(std::min(a, b)));
    }
    return {{std::move(logits)}, {std::move(index)}, {}};
  }
  // Every fifth row holds a NaN, every seventh only -inf.
  Data random(const ArgmaxProblem& p, uint64_t seed) const override {
    Tensor logits = normal(logits_of(p), 3.0f, seed);
    reference::Random random(seed + 1);
    for (int64_t row = 0; row < p.n_rows; ++row) {
      if (row % 5 == 3)
        logits.set(row * p.width + static_cast<int64_t>(random.below(static_cast<uint64_t>(p.width))), std::nanf(""));
      if (row % 7 == 6)
        for (int64_t c = 0; c < p.width; ++c) logits.set(row * p.width + c, -std::numeric_limits<float>::infinity());
    }
    return {{std::move(logits)}, {}, {}};
  }
  std::vector<Output> launch(const ArgmaxRung& rung, const ArgmaxProblem& p, const Data& data,
                             const RunOptions&) const override {
    Buffers buffers(name());
    ArgmaxArgs args;
    args.logits = buffers.in(data["logits"]).as<const float>("logits");
    args.index = buffers.out(index_of(p)).as<int32_t>("index");
    argmax(buffers.stream(), rung, p, args);
    return buffers.collect();
  }
  std::vector<Tensor> twin_of(const ArgmaxProblem& p, const std::string&, const Data& data) const override {
    Tensor index = index_of(p);
    const auto answer = reference::argmax(p, data["logits"].as<float>());
    std::memcpy(index.bytes.data(), answer.data(), index.bytes.size());
    return {std::move(index)};
  }
  std::vector<reference::Bounded> oracle_of(const ArgmaxProblem& p, const std::string&, ExpMode,
                                            const Data& data) const override {
    const auto answer = reference::argmax(p, data["logits"].as<float>());
    return {{{answer.begin(), answer.end()}, std::vector<double>(answer.size(), 0.0)}};
  }
  bool rounds_in(const ArgmaxProblem&) const override { return false; }
  std::string no_statistics_in(const ArgmaxProblem&) const override { return "an index is right or wrong"; }
  std::vector<std::string> relations_of(const ArgmaxProblem& p) const override {
    return p.n_rows == 1 ? std::vector<std::string>{} : std::vector<std::string>{"row_alone", "neighbours_nan"};
  }
  Relation relate(const std::string& which, const ArgmaxProblem& p, const std::string&, const Data& data,
                  uint64_t seed) const override {
    const auto row = static_cast<int64_t>(reference::Random(seed).below(static_cast<uint64_t>(p.n_rows)));
    if (which == "row_alone") {
      ArgmaxProblem one = p;
      one.n_rows = 1;
      return one_step(which, to_line(one), {rows_of(data["logits"], row, 1)}, {0, row, 0, 1});
    }
    return one_step(which, to_line(p), {nan_around(data["logits"], row)}, {0, row, row, 1});
  }
};

}  // namespace

const Operator& argmax_operator() {
  static const Argmax op;
  return op;
}

}  // namespace greta::verify
