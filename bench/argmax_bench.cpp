// Argmax of logits: the vocabulary of Llama-3 and of the sample model.
#include "kernels/argmax/argmax.hpp"

#include "bench/catalogue.hpp"
#include "bench/workload.hpp"
#include "reference/argmax.hpp"

namespace greta::bench {
namespace {

using verify::Tensor;

constexpr BenchRow<ArgmaxProblem> kRows[] = {
    {"sample_llama/1", {.n_rows = 1, .width = 4096}, true},
    {"llama3_8b/1", {.n_rows = 1, .width = 128256}, true},
    {"llama3_8b/64", {.n_rows = 64, .width = 128256}},
};

class ArgmaxWorkload final : public RotatedWorkload {
 public:
  ArgmaxWorkload(const ArgmaxRung& rung, const ArgmaxProblem& p, const Options& options)
      : RotatedWorkload(p.bytes()),
        rung_(rung),
        p_(p),
        logits_host_(verify::normal(rows_tensor("logits", DType::kF32, p.n_rows, p.width), 1.0f, options.seed)),
        logits_(input(logits_host_)),
        index_(output(Tensor("index", DType::kI32, {{"row", p.n_rows}}))) {}

  void launch(hip::Stream& stream, int64_t slot) override {
    argmax(stream, rung_, p_, {logits_.view(slot).as<const float>("logits"), index_.view(slot).as<int32_t>("index")});
  }
  std::string check(hip::Stream& stream, std::span<const int64_t> launches) override {
    if (want_.empty()) want_ = reference::argmax(p_, logits_host_.as<float>());
    for (const int64_t slot : sampled_slots(launches, 3)) {
      const Tensor got = index_.download(stream, slot, Tensor("index", DType::kI32, {{"row", p_.n_rows}}));
      for (int64_t row = 0; row < p_.n_rows; ++row)
        if (got.as<int32_t>()[row] != want_[static_cast<size_t>(row)])
          return "slot " + std::to_string(slot) + " " + got.place(row) + " want " +
                 std::to_string(want_[static_cast<size_t>(row)]) + " got " + std::to_string(got.as<int32_t>()[row]);
    }
    return {};
  }

 private:
  const ArgmaxRung& rung_;
  ArgmaxProblem p_;
  Tensor logits_host_;
  RotatedTensor &logits_, &index_;
  std::vector<int32_t> want_;
};

}  // namespace

void add_argmax(std::vector<BenchCase>& to) {
  for (const auto& row : kRows)
    add_rungs(to, "argmax", argmax_ladder(), row, Compute::kF32,
              [](const ArgmaxRung& rung, const ArgmaxProblem& p, const Options& options) {
                return std::make_unique<ArgmaxWorkload>(rung, p, options);
              });
}

}  // namespace greta::bench
