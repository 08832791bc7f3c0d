// SwiGLU as verification sees it.
#include "kernels/swiglu/swiglu.hpp"

#include "reference/swiglu.hpp"
#include "verify/buffers.hpp"
#include "verify/catalogue.hpp"
#include "verify/draw.hpp"
#include "verify/operator_of.hpp"

namespace greta::verify {
namespace {

constexpr CaseRow<SwigluProblem> kCases[] = {
    {"one_value", {.n_rows = 1, .width = 1}, "smallest legal problem", kQuick, kOnce},
    {"odd", {.n_rows = 3, .width = 257}, "no multiple of any vector or workgroup", kQuick, kInvariant},
    {"sample_llama", {.n_rows = 48, .width = 768}, "feed-forward width of the sample model", kQuick, kOnce},
    {"llama3_8b", {.n_rows = 3, .width = 14336}, "feed-forward width of Llama-3-8B", kQuick, kInvariant},
    {"large", {.n_rows = 67, .width = 14336}, "more elements than one wave of workgroups holds", kFull, kOnce},
};

class Swiglu final : public OperatorOf<SwigluProblem, SwigluRung> {
 public:
  std::string name() const override { return "swiglu"; }
  std::vector<Case> cases() const override {
    std::vector<Case> out;
    for (const auto& row : kCases)
      for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
        SwigluProblem p = row.problem;
        p.dtype = dtype;
        out.push_back(make_case(row, p, fmt::format("dtype={}", dtype_name(dtype))));
      }
    return out;
  }

 protected:
  std::span<const SwigluRung> ladder() const override { return swiglu_ladder(); }
  static Tensor shape(const char* name, const SwigluProblem& p) {
    return Tensor(name, p.dtype, {{"row", p.n_rows}, {"c", p.width}});
  }

  // Gates of 128 and more: exp(-g) vanishes beside 1, silu(g) = g, and y = g * up is exact in every type.
  Data integers(const SwigluProblem& p, uint64_t seed) const override {
    Tensor gate = whole(shape("gate", p), 8, 15, seed), up = whole(shape("up", p), -3, 3, seed + 1), y = shape("y", p);
    for (int64_t i = 0; i < gate.count(); ++i) {
      gate.set(i, static_cast<float>(16 * gate.number(i)));
      y.set(i, static_cast<float>(gate.number(i) * up.number(i)));
    }
    return {{std::move(gate), std::move(up)}, {std::move(y)}, {}};
  }
  // Mostly the gates of a model; one in 64 far out, where exp(-g) overflows or vanishes.
  Data random(const SwigluProblem& p, uint64_t seed) const override {
    Tensor gate = normal(shape("gate", p), 3.0f, seed);
    for (int64_t i = 13; i < gate.count(); i += 64) gate.set(i, static_cast<float>(gate.number(i)) * 16);
    return {{std::move(gate), normal(shape("up", p), 1.0f, seed + 1)}, {}, {}};
  }
  std::vector<Output> launch(const SwigluRung& rung, const SwigluProblem& p, const Data& data,
                             const RunOptions& options) const override {
    Buffers buffers(name());
    SwigluArgs args;
    args.gate = buffers.in(data["gate"]);
    args.up = buffers.in(data["up"]);
    args.y = buffers.out(shape("y", p));
    args.exp = options.exp;
    swiglu(buffers.stream(), rung, p, args);
    return buffers.collect();
  }
  std::vector<Tensor> twin_of(const SwigluProblem& p, const std::string&, const Data& data) const override {
    return {filled(shape("y", p), reference::swiglu_twin(p, data["gate"].floats(), data["up"].floats()))};
  }
  std::vector<reference::Bounded> oracle_of(const SwigluProblem& p, const std::string&, ExpMode exp,
                                            const Data& data) const override {
    return {reference::swiglu_oracle(p, exp, data["gate"].floats(), data["up"].floats())};
  }
  std::vector<std::string> relations_of(const SwigluProblem& p) const override {
    return p.n_rows == 1 ? std::vector<std::string>{} : std::vector<std::string>{"row_alone", "neighbours_nan"};
  }
  Relation relate(const std::string& which, const SwigluProblem& p, const std::string&, const Data& data,
                  uint64_t seed) const override {
    const auto row = static_cast<int64_t>(reference::Random(seed).below(static_cast<uint64_t>(p.n_rows)));
    if (which == "row_alone") {
      SwigluProblem one = p;
      one.n_rows = 1;
      return one_step(which, to_line(one), {rows_of(data["gate"], row, 1), rows_of(data["up"], row, 1)},
                      {0, row * p.width, 0, p.width});
    }
    return one_step(which, to_line(p), {nan_around(data["gate"], row), nan_around(data["up"], row)},
                    {0, row * p.width, row * p.width, p.width});
  }
};

}  // namespace

const Operator& swiglu_operator() {
  static const Swiglu op;
  return op;
}

}  // namespace greta::verify
