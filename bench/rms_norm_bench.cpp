// RMSNorm: the residual stream of Llama-3-8B at one token, a batch and a prompt; and of the sample model.
#include "kernels/rms_norm/rms_norm.hpp"

#include "bench/catalogue.hpp"
#include "bench/workload.hpp"
#include "reference/rms_norm.hpp"

namespace greta::bench {
namespace {

constexpr BenchRow<RmsNormProblem> kRows[] = {
    {"sample_llama/64", {.n_rows = 64, .width = 256}, true},
    {"llama3_8b/1", {.n_rows = 1, .width = 4096}},
    {"llama3_8b/64", {.n_rows = 64, .width = 4096}, true},
    {"llama3_8b/4096", {.n_rows = 4096, .width = 4096}},
    {"llama3_8b_bf16/4096", {.n_rows = 4096, .width = 4096, .y = DType::kBF16}},
};

class RmsNormWorkload final : public RotatedWorkload {
 public:
  RmsNormWorkload(const RmsNormRung& rung, const RmsNormProblem& p, const Options& options)
      : RotatedWorkload(p.bytes()),
        rung_(rung),
        p_(p),
        x_host_(verify::normal(rows_tensor("x", DType::kF32, p.n_rows, p.width), 1.0f, options.seed)),
        weight_host_(verify::normal(rows_tensor("weight", DType::kF32, 1, p.width), 1.0f, options.seed + 1)),
        x_(input(x_host_)),
        weight_(input(weight_host_)),
        y_(output(rows_tensor("y", p.y, p.n_rows, p.width))) {}

  void launch(hip::Stream& stream, int64_t slot) override {
    rms_norm(stream, rung_, p_,
             {x_.view(slot).as<const float>("x"), weight_.view(slot).as<const float>("weight"), y_.view(slot)});
  }
  std::string check(hip::Stream& stream, std::span<const int64_t> launches) override {
    RmsNormProblem one = p_;
    one.n_rows = 1;
    return check_rows(stream, y_, "y", p_.y, p_.n_rows, p_.width, launches, [&](int64_t row) {
      return reference::rms_norm_twin(one, row_floats(x_host_, row), weight_host_.as<float>());
    });
  }

 private:
  const RmsNormRung& rung_;
  RmsNormProblem p_;
  verify::Tensor x_host_, weight_host_;
  RotatedTensor &x_, &weight_, &y_;
};

}  // namespace

std::unique_ptr<Workload> make_rms_norm_workload(const RmsNormRung& rung, const RmsNormProblem& problem,
                                                 const Options& options) {
  return std::make_unique<RmsNormWorkload>(rung, problem, options);
}

void add_rms_norm(std::vector<BenchCase>& to) {
  for (const auto& row : kRows)
    add_rungs(to, "rms_norm", rms_norm_ladder(), row, Compute::kF32, make_rms_norm_workload);
}

}  // namespace greta::bench
