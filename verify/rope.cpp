// RoPE as verification sees it.
#include "kernels/rope/rope.hpp"

#include "reference/rope.hpp"
#include "verify/buffers.hpp"
#include "verify/catalogue.hpp"
#include "verify/draw.hpp"
#include "verify/operator_of.hpp"

namespace greta::verify {
namespace {

constexpr CaseRow<RopeProblem> kCases[] = {
    {"one_pair", {.n_tokens = 1, .n_heads = 1, .head_dim = 2, .n_positions = 3}, "smallest legal head", kQuick, kOnce},
    {"sample_llama",
     {.n_tokens = 48, .n_heads = 4, .head_dim = 64, .n_positions = 64},
     "query heads of the sample model",
     kQuick,
     kOnce},
    {"odd_tokens",
     {.n_tokens = 7, .n_heads = 3, .head_dim = 128, .n_positions = 50},
     "odd tokens and heads",
     kQuick,
     kInvariant},
    {"odd_pairs",
     {.n_tokens = 5, .n_heads = 2, .head_dim = 66, .n_positions = 20},
     "an odd number of pairs",
     kQuick,
     kOnce},
    {"llama3_8b",
     {.n_tokens = 3, .n_heads = 32, .head_dim = 128, .n_positions = 512},
     "query heads of Llama-3-8B, far positions",
     kQuick,
     kInvariant},
    {"many_tokens",
     {.n_tokens = 521, .n_heads = 8, .head_dim = 128, .n_positions = 600},
     "more tokens than compute units, prime",
     kFull,
     kOnce},
};

class Rope final : public OperatorOf<RopeProblem, RopeRung> {
 public:
  std::string name() const override { return "rope"; }
  std::vector<Case> cases() const override {
    std::vector<Case> out;
    for (const auto& row : kCases)
      for (const int64_t half_split : {0, 1})
        for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
          RopeProblem p = row.problem;
          p.half_split = half_split, p.dtype = dtype;
          out.push_back(make_case(row, p, fmt::format("half_split={} dtype={}", half_split, dtype_name(dtype))));
        }
    return out;
  }

 protected:
  std::span<const RopeRung> ladder() const override { return rope_ladder(); }
  static Tensor x_of(const RopeProblem& p) {
    return Tensor("x", p.dtype, {{"t", p.n_tokens}, {"h", p.n_heads}, {"d", p.head_dim}});
  }
  static Tensor positions_of(const RopeProblem& p) { return Tensor("positions", DType::kI32, {{"t", p.n_tokens}}); }
  static Tensor table_of(const RopeProblem& p) {
    return Tensor("table", DType::kF32, {{"position", p.n_positions}, {"pair", p.head_dim / 2}, {"cos_sin", 2}});
  }

  // A table of quarter turns: whole numbers stay whole.
  Data integers(const RopeProblem& p, uint64_t seed) const override {
    Tensor x = whole(x_of(p), -200, 200, seed),
           positions = whole(positions_of(p), 0, static_cast<int>(p.n_positions) - 1, seed + 1);
    Tensor turns =
        whole(Tensor("turns", DType::kI32, {{"position", p.n_positions}, {"pair", p.head_dim / 2}}), 0, 3, seed + 2);
    constexpr float kCos[] = {1, 0, -1, 0}, kSin[] = {0, 1, 0, -1};
    Tensor table = table_of(p), rotated = x_of(p);
    for (int64_t i = 0; i < turns.count(); ++i) {
      table.set(2 * i, kCos[turns.bits(i)]);
      table.set(2 * i + 1, kSin[turns.bits(i)]);
    }
    for (int64_t i = 0; i < x.count(); ++i) {
      const int64_t d = i % p.head_dim, half = p.head_dim / 2, token = i / (p.n_heads * p.head_dim);
      const int64_t pair = p.half_split ? d % half : d / 2;
      const bool second = p.half_split ? d >= half : d % 2 == 1;
      const int64_t partner = p.half_split ? (second ? i - half : i + half) : (second ? i - 1 : i + 1);
      const uint32_t turn = turns.bits(static_cast<int64_t>(positions.number(token)) * half + pair);
      const double own = x.number(i), other = x.number(partner);
      rotated.set(i, static_cast<float>(own * kCos[turn] + (second ? other : -other) * kSin[turn]));
    }
    return {{std::move(x), std::move(positions), std::move(table)}, {std::move(rotated)}, {}};
  }
  Data random(const RopeProblem& p, uint64_t seed) const override {
    return {{normal(x_of(p), 2.0f, seed), whole(positions_of(p), 0, static_cast<int>(p.n_positions) - 1, seed + 1),
             filled(table_of(p), reference::rope_table(p.n_positions, p.head_dim, 500000.0))},
            {},
            {}};
  }
  std::vector<Output> launch(const RopeRung& rung, const RopeProblem& p, const Data& data,
                             const RunOptions&) const override {
    Buffers buffers(name());
    RopeArgs args;
    args.x = buffers.inout(data["x"]);
    args.positions = buffers.in(data["positions"]).as<const int32_t>("positions");
    args.table = buffers.in(data["table"]).as<const float>("table");
    rope(buffers.stream(), rung, p, args);
    return buffers.collect();
  }
  std::vector<Tensor> twin_of(const RopeProblem& p, const std::string&, const Data& data) const override {
    return {filled(x_of(p), reference::rope_twin(p, data["x"].floats(), data["positions"].as<int32_t>(),
                                                 data["table"].as<float>()))};
  }
  std::vector<reference::Bounded> oracle_of(const RopeProblem& p, const std::string&, ExpMode,
                                            const Data& data) const override {
    return {reference::rope_oracle(p, data["x"].floats(), data["positions"].as<int32_t>(), data["table"].as<float>())};
  }
  std::vector<std::string> relations_of(const RopeProblem& p) const override {
    return p.n_tokens == 1 ? std::vector<std::string>{} : std::vector<std::string>{"token_alone", "neighbours_nan"};
  }
  Relation relate(const std::string& which, const RopeProblem& p, const std::string&, const Data& data,
                  uint64_t seed) const override {
    const auto token = static_cast<int64_t>(reference::Random(seed).below(static_cast<uint64_t>(p.n_tokens)));
    const int64_t width = p.n_heads * p.head_dim;
    if (which == "token_alone") {
      RopeProblem one = p;
      one.n_tokens = 1;
      return one_step(which, to_line(one),
                      {rows_of(data["x"], token, 1), rows_of(data["positions"], token, 1), data["table"]},
                      {0, token * width, 0, width});
    }
    return one_step(which, to_line(p), {nan_around(data["x"], token), data["positions"], data["table"]},
                    {0, token * width, token * width, width});
  }
};

}  // namespace

const Operator& rope_operator() {
  static const Rope op;
  return op;
}

}  // namespace greta::verify
