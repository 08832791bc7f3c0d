// SwiGLU + quantiser: the feed-forward width of Llama-3-8B at one token, a batch and a prompt.
#include "kernels/swiglu_quantize/swiglu_quantize.hpp"

#include "bench/catalogue.hpp"
#include "bench/workload.hpp"
#include "reference/activation_blocks.hpp"
#include "reference/swiglu.hpp"
#include "verify/activation_fields.hpp"

namespace greta::bench {
namespace {

using verify::Tensor;

constexpr BenchRow<SwigluQuantizeProblem> kRows[] = {
    {"sample_llama/64", {.n_rows = 64, .width = 768}, true},
    {"llama3_8b/1", {.n_rows = 1, .width = 14336}},
    {"llama3_8b/64", {.n_rows = 64, .width = 14336}, true},
    {"llama3_8b/4096", {.n_rows = 4096, .width = 14336}},
};

class SwigluQuantizeWorkload final : public RotatedWorkload {
 public:
  SwigluQuantizeWorkload(const SwigluQuantizeRung& rung, const SwigluQuantizeProblem& p, const Options& options)
      : RotatedWorkload(p.bytes()),
        rung_(rung),
        p_(p),
        exp_(options.exp),
        gate_host_(verify::normal(rows_tensor("gate", p.dtype, p.n_rows, p.width), 2.0f, options.seed)),
        up_host_(verify::normal(rows_tensor("up", p.dtype, p.n_rows, p.width), 1.0f, options.seed + 1)),
        gate_(input(gate_host_)),
        up_(input(up_host_)),
        blocks_(output(shape(p.n_rows))) {}

  void launch(hip::Stream& stream, int64_t slot) override {
    swiglu_quantize(stream, rung_, p_, {gate_.view(slot), up_.view(slot), blocks_.view(slot), exp_});
  }
  std::string check(hip::Stream& stream, std::span<const int64_t> launches) override {
    SwigluProblem one = p_.product();
    one.n_rows = 1;
    const auto slots = sampled_slots(launches, 3);
    const int64_t per_row = p_.width / dtype_block_values(p_.out);
    for (const int64_t row : sampled_rows(p_.n_rows, 3, 1)) {
      const Tensor got = blocks_.download(stream, slots.back(), shape(1), row * per_row);
      const std::vector<float> gate = row_floats(gate_host_, row), up = row_floats(up_host_, row);
      if (exp_ == ExpMode::kPortable) {
        if (got.bytes != reference::activation_block_bytes(p_.out, reference::swiglu_twin(one, gate, up), p_.width))
          return "row " + std::to_string(row) + " has other blocks than the reference";
        continue;
      }
      // The hardware's exp2 has bits of its own: the bound decides, field by field.
      const auto oracle = reference::activation_block_oracle(p_.out, reference::swiglu_oracle(one, exp_, gate, up));
      const auto fields = verify::block_fields(p_.out, 1, per_row, got.bytes);
      for (size_t i = 0; i < fields.size(); ++i)
        if (const auto wrong = outside(fields[i], oracle[i]); !wrong.empty())
          return "row " + std::to_string(row) + ": " + wrong;
    }
    return slots_differ(stream, blocks_, shape(p_.n_rows), slots);
  }

 private:
  Tensor shape(int64_t rows) const {
    return Tensor("blocks", p_.out, {{"row", rows}, {"block", p_.width / dtype_block_values(p_.out)}});
  }

  const SwigluQuantizeRung& rung_;
  SwigluQuantizeProblem p_;
  ExpMode exp_;
  Tensor gate_host_, up_host_;
  RotatedTensor &gate_, &up_, &blocks_;
};

}  // namespace

void add_swiglu_quantize(std::vector<BenchCase>& to) {
  for (const auto& row : kRows)
    add_rungs(to, "swiglu_quantize", swiglu_quantize_ladder(), row, Compute::kF32,
              [](const SwigluQuantizeRung& rung, const SwigluQuantizeProblem& p, const Options& options) {
                return std::make_unique<SwigluQuantizeWorkload>(rung, p, options);
              });
}

}  // namespace greta::bench
