// SwiGLU: the feed-forward width of Llama-3-8B at one token, a batch and a prompt; and of the sample model.
#include "kernels/swiglu/swiglu.hpp"

#include "bench/catalogue.hpp"
#include "bench/workload.hpp"
#include "reference/swiglu.hpp"

namespace greta::bench {
namespace {

constexpr BenchRow<SwigluProblem> kRows[] = {
    {"sample_llama/64", {.n_rows = 64, .width = 768}, true},
    {"llama3_8b/1", {.n_rows = 1, .width = 14336}},
    {"llama3_8b/64", {.n_rows = 64, .width = 14336}, true},
    {"llama3_8b/4096", {.n_rows = 4096, .width = 14336}},
};

class SwigluWorkload final : public RotatedWorkload {
 public:
  SwigluWorkload(const SwigluRung& rung, const SwigluProblem& p, const Options& options)
      : RotatedWorkload(p.bytes()),
        rung_(rung),
        p_(p),
        exp_(options.exp),
        gate_host_(verify::normal(rows_tensor("gate", p.dtype, p.n_rows, p.width), 2.0f, options.seed)),
        up_host_(verify::normal(rows_tensor("up", p.dtype, p.n_rows, p.width), 1.0f, options.seed + 1)),
        gate_(input(gate_host_)),
        up_(input(up_host_)),
        y_(output(rows_tensor("y", p.dtype, p.n_rows, p.width))) {}

  void launch(hip::Stream& stream, int64_t slot) override {
    swiglu(stream, rung_, p_, {gate_.view(slot), up_.view(slot), y_.view(slot), exp_});
  }
  std::string check(hip::Stream& stream, std::span<const int64_t> launches) override {
    SwigluProblem one = p_;
    one.n_rows = 1;
    if (exp_ == ExpMode::kPortable)
      return check_rows(stream, y_, "y", p_.dtype, p_.n_rows, p_.width, launches, [&](int64_t row) {
        return reference::swiglu_twin(one, row_floats(gate_host_, row), row_floats(up_host_, row));
      });
    // The hardware's exp2 has bits of its own: the bound decides.
    const auto slots = sampled_slots(launches, 3);
    for (const int64_t row : sampled_rows(p_.n_rows, 4, 1)) {
      const auto got = y_.download(stream, slots.back(), rows_tensor("y", p_.dtype, 1, p_.width), row * p_.width);
      const auto oracle = reference::swiglu_oracle(one, exp_, row_floats(gate_host_, row), row_floats(up_host_, row));
      if (const auto wrong = outside(got, oracle); !wrong.empty()) return "row " + std::to_string(row) + ": " + wrong;
    }
    return slots_differ(stream, y_, rows_tensor("y", p_.dtype, p_.n_rows, p_.width), slots);
  }

 private:
  const SwigluRung& rung_;
  SwigluProblem p_;
  ExpMode exp_;
  verify::Tensor gate_host_, up_host_;
  RotatedTensor &gate_, &up_, &y_;
};

}  // namespace

void add_swiglu(std::vector<BenchCase>& to) {
  for (const auto& row : kRows)
    add_rungs(to, "swiglu", swiglu_ladder(), row, Compute::kF32,
              [](const SwigluRung& rung, const SwigluProblem& p, const Options& options) {
                return std::make_unique<SwigluWorkload>(rung, p, options);
              });
}

}  // namespace greta::bench
