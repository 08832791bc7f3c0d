// RMSNorm as verification sees it.
#include "kernels/rms_norm/rms_norm.hpp"

#include "reference/rms_norm.hpp"
#include "verify/buffers.hpp"
#include "verify/catalogue.hpp"
#include "verify/draw.hpp"
#include "verify/operator_of.hpp"

namespace greta::verify {
namespace {

// 256 logical threads take four columns each: 1024 columns a step.
constexpr CaseRow<RmsNormProblem> kCases[] = {
    {"one_value", {.n_rows = 1, .width = 1}, "smallest legal problem", kQuick, kOnce},
    {"below_a_thread", {.n_rows = 2, .width = 3}, "fewer columns than one thread takes", kQuick, kOnce},
    {"odd_width", {.n_rows = 3, .width = 257}, "ragged end inside a thread's four columns", kQuick, kInvariant},
    {"sample_llama", {.n_rows = 48, .width = 256}, "residual stream of the sample model", kQuick, kOnce},
    {"step_minus_one", {.n_rows = 2, .width = 1023}, "last thread one column short", kQuick, kOnce},
    {"step", {.n_rows = 2, .width = 1024}, "every thread exactly one step", kQuick, kOnce},
    {"step_plus_one", {.n_rows = 2, .width = 1025}, "second step holds one column", kQuick, kInvariant},
    {"no_eps", {.n_rows = 5, .width = 512, .eps = 0}, "eps 0 is legal", kQuick, kOnce},
    {"large_eps", {.n_rows = 5, .width = 512, .eps = 0.5f}, "an eps that shows: forgetting it is red", kQuick, kOnce},
    {"prime", {.n_rows = 7, .width = 4093}, "prime width, odd rows", kQuick, kOnce},
    {"llama3_8b", {.n_rows = 9, .width = 4096}, "residual stream of Llama-3-8B", kQuick, kInvariant},
    {"llama3_70b", {.n_rows = 3, .width = 8192}, "residual stream of Llama-3-70B", kFull, kOnce},
    {"many_rows", {.n_rows = 1031, .width = 64}, "more rows than compute units, prime", kQuick, kOnce},
};

class RmsNorm final : public OperatorOf<RmsNormProblem, RmsNormRung> {
 public:
  std::string name() const override { return "rms_norm"; }
  std::vector<Case> cases() const override {
    std::vector<Case> out;
    for (const auto& row : kCases)
      for (const DType y : {DType::kF32, DType::kF16, DType::kBF16}) {
        RmsNormProblem p = row.problem;
        p.y = y;
        out.push_back(make_case(row, p, fmt::format("y={}", dtype_name(y))));
      }
    return out;
  }

 protected:
  std::span<const RmsNormRung> ladder() const override { return rms_norm_ladder(); }

  static Tensor x_of(const RmsNormProblem& p) { return Tensor("x", DType::kF32, {{"row", p.n_rows}, {"c", p.width}}); }
  static Tensor w_of(const RmsNormProblem& p) { return Tensor("weight", DType::kF32, {{"c", p.width}}); }
  static Tensor y_of(const RmsNormProblem& p) { return Tensor("y", p.y, {{"row", p.n_rows}, {"c", p.width}}); }

  // x = +-2^k with one k a row: every partial sum of squares is a multiple of 4^k below 2^24 of them, the mean is 4^k,
  // and 4^k + eps rounds back to 4^k, so y = +-w exactly.
  Data integers(const RmsNormProblem& p, uint64_t seed) const override {
    const float smallest = p.eps == 0 ? 1.0f : 8192.0f;
    if (smallest * smallest + p.eps != smallest * smallest)
      return {{}, {}, fmt::format("eps {} does not vanish beside a mean square of 2^26, so no root is exact", p.eps)};
    Tensor x = x_of(p), w = whole(w_of(p), 1, 255, seed), y = y_of(p);
    reference::Random random(seed + 1);
    for (int64_t i = 0; i < x.count(); ++i) {
      const float size = smallest * static_cast<float>(1 << (i / p.width % 4));
      const float sign = random.below(2) ? 1.0f : -1.0f;
      x.set(i, sign * size);
      y.set(i, sign * static_cast<float>(w.number(i % p.width)));
    }
    return {{std::move(x), std::move(w)}, {std::move(y)}, {}};
  }
  Data random(const RmsNormProblem& p, uint64_t seed) const override {
    return {{normal(x_of(p), 2.0f, seed), normal(w_of(p), 1.0f, seed + 1)}, {}, {}};
  }

  std::vector<Output> launch(const RmsNormRung& rung, const RmsNormProblem& p, const Data& data,
                             const RunOptions&) const override {
    Buffers buffers(name());
    RmsNormArgs args;
    args.x = buffers.in(data["x"]).as<const float>("x");
    args.weight = buffers.in(data["weight"]).as<const float>("weight");
    args.y = buffers.out(y_of(p));
    rms_norm(buffers.stream(), rung, p, args);
    return buffers.collect();
  }
  std::vector<Tensor> twin_of(const RmsNormProblem& p, const std::string&, const Data& data) const override {
    return {filled(y_of(p), reference::rms_norm_twin(p, data["x"].as<float>(), data["weight"].as<float>()))};
  }
  std::vector<reference::Bounded> oracle_of(const RmsNormProblem& p, const std::string&, ExpMode,
                                            const Data& data) const override {
    return {reference::rms_norm_oracle(p, data["x"].as<float>(), data["weight"].as<float>())};
  }

  std::vector<std::string> relations_of(const RmsNormProblem& p) const override {
    if (p.n_rows == 1) return {};
    return {"row_alone", "neighbours_nan"};
  }
  Relation relate(const std::string& which, const RmsNormProblem& p, const std::string&, const Data& data,
                  uint64_t seed) const override {
    const int64_t row = static_cast<int64_t>(reference::Random(seed).below(static_cast<uint64_t>(p.n_rows)));
    if (which == "row_alone") {
      RmsNormProblem one = p;
      one.n_rows = 1;
      return one_step(which, to_line(one), {rows_of(data["x"], row, 1), data["weight"]},
                      {0, row * p.width, 0, p.width});
    }
    return one_step(which, to_line(p), {nan_around(data["x"], row), data["weight"]},
                    {0, row * p.width, row * p.width, p.width});
  }
};

}  // namespace

const Operator& rms_norm_operator() {
  static const RmsNorm op;
  return op;
}

}  // namespace greta::verify
