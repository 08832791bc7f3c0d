// SwiGLU + quantiser as verification sees it: the fields of the blocks.
#include "kernels/swiglu_quantize/swiglu_quantize.hpp"

#include "reference/activation_blocks.hpp"
#include "reference/swiglu.hpp"
#include "verify/activation_fields.hpp"
#include "verify/buffers.hpp"
#include "verify/catalogue.hpp"
#include "verify/draw.hpp"
#include "verify/operator_of.hpp"

namespace greta::verify {
namespace {

constexpr CaseRow<SwigluQuantizeProblem> kCases[] = {
    {"one_block", {.n_rows = 1, .width = 256}, "a wave of 32 or half a wave of 64 has work", kQuick, kOnce},
    {"odd_blocks", {.n_rows = 3, .width = 768}, "no multiple of a workgroup", kQuick, kInvariant},
    {"llama3_8b", {.n_rows = 3, .width = 14336}, "feed-forward width of Llama-3-8B", kQuick, kInvariant},
    {"large", {.n_rows = 67, .width = 14336}, "more elements than one wave of workgroups holds", kFull, kOnce},
};

class SwigluQuantize final : public OperatorOf<SwigluQuantizeProblem, SwigluQuantizeRung> {
 public:
  std::string name() const override { return "swiglu_quantize"; }
  std::vector<Case> cases() const override {
    std::vector<Case> out;
    const auto add = [&](const CaseRow<SwigluQuantizeProblem>& row, DType dtype, DType to) {
      SwigluQuantizeProblem p = row.problem;
      p.dtype = dtype, p.out = to;
      out.push_back(make_case(row, p, fmt::format("dtype={} out={}", dtype_name(dtype), dtype_name(to))));
    };
    for (const auto& row : kCases)
      for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16})
        for (const DType to : {DType::kQ8Act256, DType::kQ8Act32}) add(row, dtype, to);
    add({"small_blocks", {.n_rows = 5, .width = 96}, "no multiple of 256", kQuick, kInvariant}, DType::kF16,
        DType::kQ8Act32);
    return out;
  }

 protected:
  std::span<const SwigluQuantizeRung> ladder() const override { return swiglu_quantize_ladder(); }
  static Tensor rows(const char* name, const SwigluQuantizeProblem& p) {
    return Tensor(name, p.dtype, {{"row", p.n_rows}, {"c", p.width}});
  }
  static int64_t blocks_of(const SwigluQuantizeProblem& p) { return p.width / dtype_block_values(p.out); }

  // Gates of 128 and 256: silu(g) = g, and the blocks of g * up with one 127 a block among the up have d = g, q = up.
  Data integers(const SwigluQuantizeProblem& p, uint64_t seed) const override {
    if (p.n_rows * blocks_of(p) == 1) return {{}, {}, "one block: a single d decides nothing"};
    Tensor gate = rows("gate", p), up = whole(rows("up", p), -126, 126, seed);
    const int values = dtype_block_values(p.out);
    std::vector<float> d, q;
    for (int64_t i = 0; i < gate.count(); ++i) {
      const int64_t block = i / values;
      if (i % values == block % values) up.set(i, -127.0f);
      gate.set(i, block % 2 ? 256.0f : 128.0f);
      if (i % values == 0) d.push_back(block % 2 ? 256.0f : 128.0f);
      q.push_back(static_cast<float>(up.number(i)));
    }
    return {{std::move(gate), std::move(up)}, exact_fields(p.out, p.n_rows, p.width, d, q), {}};
  }
  Data random(const SwigluQuantizeProblem& p, uint64_t seed) const override {
    Tensor gate = normal(rows("gate", p), 3.0f, seed);
    for (int64_t i = 13; i < gate.count(); i += 64) gate.set(i, static_cast<float>(gate.number(i)) * 4);
    return {{std::move(gate), normal(rows("up", p), 1.0f, seed + 1)}, {}, {}};
  }
  std::vector<Output> launch(const SwigluQuantizeRung& rung, const SwigluQuantizeProblem& p, const Data& data,
                             const RunOptions& options) const override {
    Buffers buffers(name());
    SwigluQuantizeArgs args;
    args.gate = buffers.in(data["gate"]);
    args.up = buffers.in(data["up"]);
    args.blocks = buffers.out(Tensor("blocks", p.out, {{"row", p.n_rows}, {"block", blocks_of(p)}}));
    args.exp = options.exp;
    swiglu_quantize(buffers.stream(), rung, p, args);
    std::vector<Output> out;
    append_fields(p.out, buffers.collect().at(0), out);
    return out;
  }
  std::vector<Tensor> twin_of(const SwigluQuantizeProblem& p, const std::string&, const Data& data) const override {
    const auto h = reference::swiglu_twin(p.product(), data["gate"].floats(), data["up"].floats());
    return block_fields(p.out, p.n_rows, blocks_of(p), reference::activation_block_bytes(p.out, h, p.width));
  }
  std::vector<reference::Bounded> oracle_of(const SwigluQuantizeProblem& p, const std::string&, ExpMode exp,
                                            const Data& data) const override {
    return reference::activation_block_oracle(
        p.out, reference::swiglu_oracle(p.product(), exp, data["gate"].floats(), data["up"].floats()));
  }
  std::string no_statistics_in(const SwigluQuantizeProblem&) const override {
    return "steps of integers: tier B holds each to half a step";
  }
  std::vector<std::string> relations_of(const SwigluQuantizeProblem& p) const override {
    return p.n_rows == 1 ? std::vector<std::string>{} : std::vector<std::string>{"row_alone", "neighbours_nan"};
  }
  Relation relate(const std::string& which, const SwigluQuantizeProblem& p, const std::string&, const Data& data,
                  uint64_t seed) const override {
    const auto row = static_cast<int64_t>(reference::Random(seed).below(static_cast<uint64_t>(p.n_rows)));
    const bool alone = which == "row_alone";
    SwigluQuantizeProblem other = p;
    if (alone) other.n_rows = 1;
    const auto picked = [&](const char* name) {
      return alone ? rows_of(data[name], row, 1) : nan_around(data[name], row);
    };
    Relation r = one_step(which, to_line(other), {picked("gate"), picked("up")}, {0, 0, 0, 0});
    r.steps[0].pieces.clear();
    add_field_pieces(p.out, 0, row * blocks_of(p), (alone ? 0 : row) * blocks_of(p), blocks_of(p), r.steps[0]);
    return r;
  }
};

}  // namespace

const Operator& swiglu_quantize_operator() {
  static const SwigluQuantize op;
  return op;
}

}  // namespace greta::verify
