// Residual add, in place.
#include "kernels/residual_add/residual_add.hpp"

#include "bench/catalogue.hpp"
#include "bench/workload.hpp"

namespace greta::bench {
namespace {

constexpr BenchRow<ResidualAddProblem> kRows[] = {
    {"sample_llama/64", {.n_rows = 64, .width = 256}, true},
    {"llama3_8b/1", {.n_rows = 1, .width = 4096}},
    {"llama3_8b/64", {.n_rows = 64, .width = 4096}, true},
    {"llama3_8b/4096", {.n_rows = 4096, .width = 4096}},
};

class ResidualAddWorkload final : public RotatedWorkload {
 public:
  ResidualAddWorkload(const ResidualAddRung& rung, const ResidualAddProblem& p, const Options& options)
      : RotatedWorkload(p.bytes() * 2 / 3),
        rung_(rung),
        p_(p),
        x_host_(verify::normal(rows_tensor("x", DType::kF32, p.n_rows, p.width), 1.0f, options.seed)),
        y_host_(verify::normal(rows_tensor("y", DType::kF32, p.n_rows, p.width), 0.1f, options.seed + 1)),
        x_(input(x_host_)),
        y_(input(y_host_)) {}

  void launch(hip::Stream& stream, int64_t slot) override {
    residual_add(stream, rung_, p_, {x_.view(slot).as<float>("x"), y_.view(slot).as<const float>("y")});
  }
  /// In place: a slot that was launched k times holds x + y + ... + y, rounded k times.
  std::string check(hip::Stream& stream, std::span<const int64_t> launches) override {
    for (const int64_t slot : sampled_slots(launches, 2))
      for (const int64_t row : sampled_rows(p_.n_rows, 3, 1)) {
        std::vector<float> want = row_floats(x_host_, row);
        const std::vector<float> added = row_floats(y_host_, row);
        for (int64_t k = 0; k < launches[static_cast<size_t>(slot)]; ++k)
          for (size_t c = 0; c < want.size(); ++c) want[c] = want[c] + added[c];
        const auto got = x_.download(stream, slot, rows_tensor("x", DType::kF32, 1, p_.width), row * p_.width);
        if (const auto wrong = differs(got, want); !wrong.empty()) return "row " + std::to_string(row) + ": " + wrong;
      }
    return {};
  }

 private:
  const ResidualAddRung& rung_;
  ResidualAddProblem p_;
  verify::Tensor x_host_, y_host_;
  RotatedTensor &x_, &y_;
};

}  // namespace

void add_residual_add(std::vector<BenchCase>& to) {
  for (const auto& row : kRows)
    add_rungs(to, "residual_add", residual_add_ladder(), row, Compute::kF32,
              [](const ResidualAddRung& rung, const ResidualAddProblem& p, const Options& options) {
                return std::make_unique<ResidualAddWorkload>(rung, p, options);
              });
}

}  // namespace greta::bench
