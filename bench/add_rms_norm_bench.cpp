// Residual add + RMSNorm + quantiser: what stands between two matmuls of Llama-3-8B, at one token, a batch and a
// prompt.
#include "kernels/add_rms_norm/add_rms_norm.hpp"

#include "bench/catalogue.hpp"
#include "bench/workload.hpp"
#include "reference/add_rms_norm.hpp"

namespace greta::bench {
namespace {

using verify::Tensor;

constexpr BenchRow<AddRmsNormProblem> kRows[] = {
    {"sample_llama/64", {.n_rows = 64, .width = 256}, true},
    {"llama3_8b/1", {.n_rows = 1, .width = 4096}},
    {"llama3_8b/4096", {.n_rows = 4096, .width = 4096}},
    {"llama3_8b_f16/4096", {.n_rows = 4096, .width = 4096, .out = DType::kF16}},
    {"llama3_8b_no_add/4096", {.n_rows = 4096, .width = 4096, .add = 0}},
};

class AddRmsNormWorkload final : public RotatedWorkload {
 public:
  AddRmsNormWorkload(const AddRmsNormRung& rung, const AddRmsNormProblem& p, const Options& options)
      : RotatedWorkload(p.bytes()),
        rung_(rung),
        p_(p),
        x_host_(verify::normal(rows_tensor("x", DType::kF32, p.n_rows, p.width), 1.0f, options.seed)),
        addend_host_(verify::normal(rows_tensor("addend", DType::kF32, p.n_rows, p.width), 0.01f, options.seed + 2)),
        weight_host_(verify::normal(rows_tensor("weight", DType::kF32, 1, p.width), 1.0f, options.seed + 1)),
        x_(input(x_host_)),
        addend_(input(addend_host_)),
        weight_(input(weight_host_)),
        out_(output(shape(p.n_rows))) {}

  void launch(hip::Stream& stream, int64_t slot) override {
    add_rms_norm(stream, rung_, p_,
                 {x_.view(slot).as<float>("x"), addend_.view(slot).as<const float>("addend"),
                  weight_.view(slot).as<const float>("weight"), out_.view(slot)});
  }
  /// In place: a slot that was launched k times has had the addend added k times.
  std::string check(hip::Stream& stream, std::span<const int64_t> launches) override {
    const int64_t slot = sampled_slots(launches, 2).back(), per_row = p_.out_elements() / p_.n_rows;
    AddRmsNormProblem one = p_;
    one.n_rows = 1;
    for (const int64_t row : sampled_rows(p_.n_rows, 3, 1)) {
      std::vector<float> x = row_floats(x_host_, row);
      const std::vector<float> addend = row_floats(addend_host_, row);
      for (int64_t k = 1; p_.add && k < launches[static_cast<size_t>(slot)]; ++k)
        for (size_t i = 0; i < x.size(); ++i) x[i] = x[i] + addend[i];
      const auto want = reference::add_rms_norm_twin(one, x, addend, weight_host_.as<float>());
      const Tensor got = out_.download(stream, slot, shape(1), row * per_row);
      const auto stream_row = x_.download(stream, slot, rows_tensor("x", DType::kF32, 1, p_.width), row * p_.width);
      if (const auto wrong = differs(stream_row, want.x); !wrong.empty()) return fault(row, wrong);
      if (p_.quantised()) {
        if (got.bytes != want.blocks) return fault(row, "other blocks than the reference");
      } else if (const auto wrong = differs(got, want.y); !wrong.empty()) {
        return fault(row, wrong);
      }
    }
    return {};
  }

 private:
  Tensor shape(int64_t rows) const {
    return Tensor("out", p_.out, {{"row", rows}, {"c", p_.width / dtype_block_values(p_.out)}});
  }
  static std::string fault(int64_t row, const std::string& what) { return "row " + std::to_string(row) + ": " + what; }

  const AddRmsNormRung& rung_;
  AddRmsNormProblem p_;
  Tensor x_host_, addend_host_, weight_host_;
  RotatedTensor &x_, &addend_, &weight_, &out_;
};

}  // namespace

void add_add_rms_norm(std::vector<BenchCase>& to) {
  for (const auto& row : kRows)
    add_rungs(to, "add_rms_norm", add_rms_norm_ladder(), row, Compute::kF32,
              [](const AddRmsNormRung& rung, const AddRmsNormProblem& p, const Options& options) {
                return std::make_unique<AddRmsNormWorkload>(rung, p, options);
              });
}

}  // namespace greta::bench
