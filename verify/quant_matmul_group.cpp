// Several matmuls of one input in one launch: whatever a matmul gives by itself.
#include "verify/quant_matmul_group.hpp"

#include "kernels/quant_matmul/quant_matmul_group.hpp"
#include "verify/buffers.hpp"
#include "verify/catalogue.hpp"
#include "verify/draw.hpp"
#include "verify/operator_of.hpp"

namespace greta::verify {
namespace {

using P = QuantMatmulGroupProblem;

constexpr CaseRow<P> kCases[] = {
    {"one_matrix", {.m = 1, .n_out = 5, .n_in = 256}, "a group of one is a matmul", kQuick, kOnce},
    {"two_outputs", {.m = 1, .n_out = 1, .n_out_1 = 1, .n_in = 256}, "smallest matrices", kQuick, kOnce},
    {"q_k_v",
     {.m = 1, .n_out = 256, .n_out_1 = 64, .n_out_2 = 64, .n_in = 256},
     "attention of the sample model, one token",
     kQuick,
     kInvariant},
    {"gate_up", {.m = 3, .n_out = 67, .n_out_1 = 67, .n_in = 512}, "equal odd matrices, odd rows", kQuick, kInvariant},
    {"last_is_largest",
     {.m = 8, .n_out = 3, .n_out_1 = 17, .n_out_2 = 131, .n_in = 256},
     "ranges of all sizes",
     kQuick,
     kOnce},
    {"prefill",
     {.m = 17, .n_out = 70, .n_out_1 = 9, .n_out_2 = 33, .n_in = 256},
     "a gemm, ragged tiles",
     kQuick,
     kInvariant},
    {"large_tile",
     {.m = 67, .n_out = 129, .n_out_1 = 140, .n_in = 512},
     "more tokens than the small tiles",
     kQuick,
     kOnce},
    {"many_outputs",
     {.m = 40, .n_out = 4129, .n_out_1 = 4100, .n_out_2 = 300, .n_in = 256},
     "together 64 outputs for each of 132 CUs, tiles ragged in all of them",
     kFull,
     kOnce},
    {"llama3_8b_q_k_v",
     {.m = 2, .n_out = 4096, .n_out_1 = 1024, .n_out_2 = 1024, .n_in = 4096},
     "attention of Llama-3-8B",
     kFull,
     kInvariant},
};

constexpr int64_t kFloatRows = 1024;  ///< of f16 and bf16 weights, at most

const std::string kNumber[] = {"", "_1", "_2"};

class QuantMatmulGroup final : public OperatorOf<P, QuantMatmulGroupRung> {
 public:
  std::string name() const override { return "quant_matmul_group"; }
  std::vector<Case> cases() const override {
    std::vector<Case> out;
    for (const auto& row : kCases)
      for (const DType type : {DType::kQ4K, DType::kQ6K, DType::kQ8_0, DType::kF16, DType::kBF16}) {
        P p = row.problem;
        p.weights = type, p.x = p.y = type == DType::kBF16 ? DType::kBF16 : DType::kF16;
        if (row.problem.m == 3) p.y = DType::kF32;
        // The model of float matrix instructions takes ten times the time of the integers': rows of full length, fewer.
        if (!p.quantised() && p.n_out > kFloatRows) p.n_out /= 8, p.n_out_1 /= 8, p.n_out_2 /= 8;
        out.push_back(make_case(row, p, fmt::format("weights={} y={}", dtype_name(type), dtype_name(p.y))));
      }
    return out;
  }

 protected:
  std::span<const QuantMatmulGroupRung> ladder() const override { return quant_matmul_group_ladder(); }

  static const Operator& matmul() { return quant_matmul_operator(); }
  static Tensor y_of(const P& p, int i) { return Tensor("y" + kNumber[i], p.y, {{"row", p.m}, {"out", p.rows_of(i)}}); }
  static int64_t first_row(const P& p, int i) { return i == 0 ? 0 : i == 1 ? p.n_out : p.n_out + p.n_out_1; }
  static Tensor named(Tensor t, std::string name) {
    t.name = std::move(name);
    return t;
  }
  /// Columns of part i of a [m, rows of all parts] tensor.
  static Tensor part_of(const P& p, const Tensor& all, int i) {
    Tensor to = y_of(p, i);
    const int64_t n = p.rows_of(i), total = p.whole().n_out;
    for (int64_t k = 0; k < to.count(); ++k)
      to.set(k, static_cast<float>(all.number(k / n * total + first_row(p, i) + k % n)));
    return to;
  }
  /// The data of the whole matmul, its weights cut into the parts.
  static Data drawn(const P& p, Inputs kind, uint64_t seed) {
    Data whole = matmul().draw(to_line(p.whole()), kind, seed), data;
    for (int i = 0; i < p.parts(); ++i) {
      data.tensors.push_back(
          named(verify::rows_of(whole["weights"], first_row(p, i), p.rows_of(i)), "weights" + kNumber[i]));
      if (!whole.exact.empty()) data.exact.push_back(part_of(p, whole.exact[0], i));
    }
    data.tensors.push_back(whole["x"]);
    data.no_exact = whole.no_exact;
    return data;
  }
  static Data alone(const Data& data, int i) {
    Data one;
    one.tensors = {named(data["weights" + kNumber[i]], "weights"), data["x"]};
    return one;
  }

  Data integers(const P& p, uint64_t seed) const override { return drawn(p, Inputs::kInteger, seed); }
  Data random(const P& p, uint64_t seed) const override { return drawn(p, Inputs::kRandom, seed); }
  std::vector<Output> launch(const QuantMatmulGroupRung& rung, const P& p, const Data& data,
                             const RunOptions&) const override {
    Buffers buffers(name());
    QuantMatmulGroupArgs args;
    args.x = buffers.in(data["x"]);
    for (int i = 0; i < p.parts(); ++i) args.weights[i] = buffers.in(data["weights" + kNumber[i]]);
    if (p.quantised()) {
      const QuantMatmulProblem one = p.part(0);
      const auto blocks = buffers.scratch("activation_blocks", one.activation_blocks(),
                                          static_cast<size_t>(p.m * one.activation_blocks_per_row()));
      quantize_activations(buffers.stream(), one, args.x, blocks);
      args.x = blocks;
    }
    for (int i = 0; i < p.parts(); ++i) args.y[i] = buffers.out(y_of(p, i));
    quant_matmul_group(buffers.stream(), rung, p, args);
    return buffers.collect();
  }
  std::vector<Tensor> twin_of(const P& p, const std::string& arithmetic, const Data& data) const override {
    std::vector<Tensor> out;
    for (int i = 0; i < p.parts(); ++i)
      out.push_back(named(matmul().twin(to_line(p.part(i)), arithmetic, alone(data, i)).at(0), "y" + kNumber[i]));
    return out;
  }
  std::vector<reference::Bounded> oracle_of(const P& p, const std::string& arithmetic, ExpMode exp,
                                            const Data& data) const override {
    std::vector<reference::Bounded> out;
    for (int i = 0; i < p.parts(); ++i)
      out.push_back(matmul().oracle(to_line(p.part(i)), arithmetic, exp, alone(data, i)).at(0));
    return out;
  }
  std::vector<std::string> relations_of(const P&) const override { return {"parts_alone"}; }
  /// The first part by a matmul of its own, each other one behind parts of a single row.
  Relation relate(const std::string& which, const P& p, const std::string&, const Data& data, uint64_t) const override {
    Relation relation;
    relation.name = which;
    for (int i = 0; i < p.parts(); ++i) {
      Relation::Step& step = relation.steps.emplace_back();
      step.pieces.push_back({static_cast<size_t>(i), 0, 0, p.m * p.rows_of(i)});
      if (i == 0) {
        step.other = &matmul(), step.problem = to_line(p.part(0)), step.data = alone(data, 0);
        continue;
      }
      P other = p;
      other.n_out = 1, other.n_out_1 = i == 1 ? p.n_out_1 : 1, other.n_out_2 = i == 2 ? p.n_out_2 : 0;
      step.problem = to_line(other);
      for (int k = 0; k <= i; ++k) {
        const Tensor& weights = data["weights" + kNumber[k]];
        step.data.tensors.push_back(k == i ? weights : verify::rows_of(weights, 0, 1));
      }
      step.data.tensors.push_back(data["x"]);
    }
    return relation;
  }
};

}  // namespace

const Operator& quant_matmul_group_operator() {
  static const QuantMatmulGroup op;
  return op;
}

}  // namespace greta::verify
