// Residual add as verification sees it.
#include "kernels/residual_add/residual_add.hpp"

#include "reference/residual_add.hpp"
#include "verify/buffers.hpp"
#include "verify/catalogue.hpp"
#include "verify/draw.hpp"
#include "verify/operator_of.hpp"

namespace greta::verify {
namespace {

constexpr CaseRow<ResidualAddProblem> kCases[] = {
    {"one_value", {.n_rows = 1, .width = 1}, "smallest legal problem", kQuick, kOnce},
    {"odd", {.n_rows = 3, .width = 257}, "no multiple of any vector or workgroup", kQuick, kInvariant},
    {"workgroup_edges", {.n_rows = 1, .width = 1025}, "one element past whole workgroups", kQuick, kOnce},
    {"llama3_8b", {.n_rows = 7, .width = 4096}, "residual stream of Llama-3-8B", kQuick, kInvariant},
    {"large", {.n_rows = 257, .width = 4096}, "more elements than one wave of workgroups holds", kFull, kOnce},
};

class ResidualAdd final : public OperatorOf<ResidualAddProblem, ResidualAddRung> {
 public:
  std::string name() const override { return "residual_add"; }
  std::vector<Case> cases() const override {
    std::vector<Case> out;
    for (const auto& row : kCases) out.push_back(make_case(row, row.problem, ""));
    return out;
  }

 protected:
  std::span<const ResidualAddRung> ladder() const override { return residual_add_ladder(); }
  static Tensor shape(const char* name, const ResidualAddProblem& p) {
    return Tensor(name, DType::kF32, {{"row", p.n_rows}, {"c", p.width}});
  }

  Data integers(const ResidualAddProblem& p, uint64_t seed) const override {
    Tensor x = whole(shape("x", p), -1000, 1000, seed), y = whole(shape("y", p), -1000, 1000, seed + 1);
    Tensor sum = shape("x", p);
    for (int64_t i = 0; i < sum.count(); ++i) sum.set(i, static_cast<float>(x.number(i) + y.number(i)));
    return {{std::move(x), std::move(y)}, {std::move(sum)}, {}};
  }
  Data random(const ResidualAddProblem& p, uint64_t seed) const override {
    return {{normal(shape("x", p), 3.0f, seed), normal(shape("y", p), 1.0f, seed + 1)}, {}, {}};
  }
  std::vector<Output> launch(const ResidualAddRung& rung, const ResidualAddProblem& p, const Data& data,
                             const RunOptions&) const override {
    Buffers buffers(name());
    ResidualAddArgs args;
    args.x = buffers.inout(data["x"]).as<float>("x");
    args.y = buffers.in(data["y"]).as<const float>("y");
    residual_add(buffers.stream(), rung, p, args);
    return buffers.collect();
  }
  std::vector<Tensor> twin_of(const ResidualAddProblem& p, const std::string&, const Data& data) const override {
    return {filled(shape("x", p), reference::residual_add_twin(p, data["x"].as<float>(), data["y"].as<float>()))};
  }
  std::vector<reference::Bounded> oracle_of(const ResidualAddProblem& p, const std::string&, ExpMode,
                                            const Data& data) const override {
    return {reference::residual_add_oracle(p, data["x"].as<float>(), data["y"].as<float>())};
  }
  std::vector<std::string> relations_of(const ResidualAddProblem& p) const override {
    return p.n_rows == 1 ? std::vector<std::string>{} : std::vector<std::string>{"row_alone", "neighbours_nan"};
  }
  Relation relate(const std::string& which, const ResidualAddProblem& p, const std::string&, const Data& data,
                  uint64_t seed) const override {
    const auto row = static_cast<int64_t>(reference::Random(seed).below(static_cast<uint64_t>(p.n_rows)));
    if (which == "row_alone") {
      ResidualAddProblem one = p;
      one.n_rows = 1;
      return one_step(which, to_line(one), {rows_of(data["x"], row, 1), rows_of(data["y"], row, 1)},
                      {0, row * p.width, 0, p.width});
    }
    return one_step(which, to_line(p), {nan_around(data["x"], row), nan_around(data["y"], row)},
                    {0, row * p.width, row * p.width, p.width});
  }
};

}  // namespace

const Operator& residual_add_operator() {
  static const ResidualAdd op;
  return op;
}

}  // namespace greta::verify
