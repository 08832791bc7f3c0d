// Residual add + RMSNorm + quantiser as verification sees it: the new residual stream, and the normed row or its
// blocks.
#include "kernels/add_rms_norm/add_rms_norm.hpp"

#include "reference/add_rms_norm.hpp"
#include "verify/activation_fields.hpp"
#include "verify/buffers.hpp"
#include "verify/catalogue.hpp"
#include "verify/draw.hpp"
#include "verify/operator_of.hpp"

namespace greta::verify {
namespace {

constexpr CaseRow<AddRmsNormProblem> kCases[] = {
    {"one_block", {.n_rows = 2, .width = 256}, "a quarter of the threads have columns", kQuick, kOnce},
    {"sample_llama", {.n_rows = 48, .width = 512}, "two blocks a row, a prefill of a small model", kQuick, kOnce},
    {"odd_blocks", {.n_rows = 3, .width = 1280}, "the second step holds one block", kQuick, kInvariant},
    {"no_addend",
     {.n_rows = 3, .width = 768, .add = 0},
     "the first norm of a model: x is only read",
     kQuick,
     kInvariant},
    {"large_eps", {.n_rows = 5, .width = 512, .eps = 0.5f}, "an eps that shows", kQuick, kOnce},
    {"llama3_8b", {.n_rows = 5, .width = 4096}, "residual stream of Llama-3-8B", kQuick, kInvariant},
    {"llama3_70b", {.n_rows = 3, .width = 8192}, "the widest row that the registers hold", kQuick, kOnce},
    {"many_rows", {.n_rows = 521, .width = 256}, "more rows than compute units, prime", kFull, kOnce},
};

class AddRmsNorm final : public OperatorOf<AddRmsNormProblem, AddRmsNormRung> {
 public:
  std::string name() const override { return "add_rms_norm"; }
  std::vector<Case> cases() const override {
    std::vector<Case> out;
    const auto add = [&](const CaseRow<AddRmsNormProblem>& row, DType y, DType to) {
      AddRmsNormProblem p = row.problem;
      p.y = y, p.out = to;
      out.push_back(make_case(row, p, fmt::format("y={} out={}", dtype_name(y), dtype_name(to))));
    };
    for (const auto& row : kCases)
      for (const DType y : {DType::kF32, DType::kF16, DType::kBF16})
        for (const DType to : {y, DType::kQ8Act256, DType::kQ8Act32}) add(row, y, to);
    const CaseRow<AddRmsNormProblem> ragged = {
        "ragged", {.n_rows = 4, .width = 1060}, "no multiple of any block", kQuick, kOnce};
    add(ragged, DType::kF16, DType::kF16);
    const CaseRow<AddRmsNormProblem> small = {
        "small_blocks", {.n_rows = 4, .width = 1056}, "no multiple of 256", kQuick, kOnce};
    add(small, DType::kBF16, DType::kQ8Act32);
    return out;
  }

 protected:
  std::span<const AddRmsNormRung> ladder() const override { return add_rms_norm_ladder(); }
  static Tensor rows(const char* name, DType type, const AddRmsNormProblem& p) {
    return Tensor(name, type, {{"row", p.n_rows}, {"c", p.width}});
  }
  static Tensor w_of(const AddRmsNormProblem& p) { return Tensor("weight", DType::kF32, {{"c", p.width}}); }
  static int64_t blocks_of(const AddRmsNormProblem& p) { return p.width / dtype_block_values(p.out); }

  // After the addition x = +-2^k with one k a row, so that y = +-w (verify/rms_norm.cpp). For blocks w is whole with
  // one 127 a block, and twice as large in every other block: d is 1 or 2.
  Data integers(const AddRmsNormProblem& p, uint64_t seed) const override {
    const float smallest = p.eps == 0 ? 1.0f : 8192.0f;
    if (smallest * smallest + p.eps != smallest * smallest)
      return {{}, {}, fmt::format("eps {} does not vanish beside a mean square of 2^26, so no root is exact", p.eps)};
    if (p.quantised() && blocks_of(p) == 1)
      return {{}, {}, "a row of one block: its d would be the same in every row, which decides nothing"};
    Tensor x = rows("x", DType::kF32, p), sum = x, addend = whole(rows("addend", DType::kF32, p), -500, 500, seed + 2);
    Tensor w = whole(w_of(p), 1, p.quantised() ? 126 : 255, seed), y = rows("y", p.y, p);
    const int values = dtype_block_values(p.out);
    std::vector<float> d, q;
    if (p.quantised())
      for (int64_t c = 0; c < p.width; ++c) {
        if (c % values == c / values % values) w.set(c, 127.0f);
        if (c / values % 2) w.set(c, static_cast<float>(2 * w.number(c)));
      }
    reference::Random random(seed + 1);
    for (int64_t i = 0; i < x.count(); ++i) {
      const float size = smallest * static_cast<float>(1 << (i / p.width % 4)), sign = random.below(2) ? 1.0f : -1.0f;
      const auto weight = static_cast<float>(w.number(i % p.width));
      sum.set(i, sign * size);
      x.set(i, sign * size - (p.add ? static_cast<float>(addend.number(i)) : 0.0f));
      y.set(i, sign * weight);
      const float scale = i % p.width / values % 2 ? 2.0f : 1.0f;
      if (i % values == 0) d.push_back(scale);
      q.push_back(sign * weight / scale);
    }
    Data data{{std::move(x), std::move(addend), std::move(w)}, {}, {}};
    if (p.add) data.exact.push_back(std::move(sum));
    if (p.quantised())
      for (Tensor& field : exact_fields(p.out, p.n_rows, p.width, d, q)) data.exact.push_back(std::move(field));
    else
      data.exact.push_back(std::move(y));
    return data;
  }
  Data random(const AddRmsNormProblem& p, uint64_t seed) const override {
    return {{normal(rows("x", DType::kF32, p), 2.0f, seed), normal(rows("addend", DType::kF32, p), 1.0f, seed + 2),
             normal(w_of(p), 1.0f, seed + 1)},
            {},
            {}};
  }

  std::vector<Output> launch(const AddRmsNormRung& rung, const AddRmsNormProblem& p, const Data& data,
                             const RunOptions&) const override {
    Buffers buffers(name());
    AddRmsNormArgs args;
    args.x = (p.add ? buffers.inout(data["x"]) : buffers.in(data["x"])).as<float>("x");
    args.addend = buffers.in(data["addend"]).as<const float>("addend");
    args.weight = buffers.in(data["weight"]).as<const float>("weight");
    args.out = buffers.out(p.quantised() ? Tensor("blocks", p.out, {{"row", p.n_rows}, {"block", blocks_of(p)}})
                                         : rows("y", p.y, p));
    add_rms_norm(buffers.stream(), rung, p, args);
    std::vector<Output> raw = buffers.collect(), out;
    if (!p.quantised()) return raw;
    if (p.add) out.push_back(std::move(raw[0]));
    append_fields(p.out, raw.back(), out);
    return out;
  }
  std::vector<Tensor> twin_of(const AddRmsNormProblem& p, const std::string&, const Data& data) const override {
    const reference::AddRmsNormTwin twin =
        reference::add_rms_norm_twin(p, data["x"].as<float>(), data["addend"].as<float>(), data["weight"].as<float>());
    std::vector<Tensor> out;
    if (p.add) out.push_back(filled(rows("x", DType::kF32, p), twin.x));
    if (!p.quantised()) out.push_back(filled(rows("y", p.y, p), twin.y));
    if (p.quantised())
      for (Tensor& field : block_fields(p.out, p.n_rows, blocks_of(p), twin.blocks)) out.push_back(std::move(field));
    return out;
  }
  std::vector<reference::Bounded> oracle_of(const AddRmsNormProblem& p, const std::string&, ExpMode,
                                            const Data& data) const override {
    return reference::add_rms_norm_oracle(p, data["x"].as<float>(), data["addend"].as<float>(),
                                          data["weight"].as<float>());
  }
  std::string no_statistics_in(const AddRmsNormProblem& p) const override {
    return p.quantised() ? "steps of integers: tier B holds each to half a step" : "";
  }
  std::vector<std::string> relations_of(const AddRmsNormProblem& p) const override {
    return p.n_rows == 1 ? std::vector<std::string>{} : std::vector<std::string>{"row_alone", "neighbours_nan"};
  }
  Relation relate(const std::string& which, const AddRmsNormProblem& p, const std::string&, const Data& data,
                  uint64_t seed) const override {
    const auto row = static_cast<int64_t>(reference::Random(seed).below(static_cast<uint64_t>(p.n_rows)));
    const bool alone = which == "row_alone";
    AddRmsNormProblem other = p;
    if (alone) other.n_rows = 1;
    const auto picked = [&](const char* name) {
      return alone ? rows_of(data[name], row, 1) : nan_around(data[name], row);
    };
    const int64_t there = alone ? 0 : row;
    Relation r = one_step(which, to_line(other), {picked("x"), picked("addend"), data["weight"]},
                          {0, row * p.width, there * p.width, p.width});
    if (!p.add) r.steps[0].pieces.clear();
    const size_t first = p.add ? 1 : 0;
    if (p.quantised())
      add_field_pieces(p.out, first, row * blocks_of(p), there * blocks_of(p), blocks_of(p), r.steps[0]);
    else
      r.steps[0].pieces.push_back({first, row * p.width, there * p.width, p.width});
    return r;
  }
};

}  // namespace

const Operator& add_rms_norm_operator() {
  static const AddRmsNorm op;
  return op;
}

}  // namespace greta::verify
