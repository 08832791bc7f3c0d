// Matmuls of one input in one launch, beside a launch for each: q, k and v of Llama-3-8B, gate and up, and small ones
// for the host. "separate" is no rung: the ladder's rungs of single matrices, one after the other, in the time of one
// case.
#include "kernels/quant_matmul/quant_matmul_group.hpp"

#include <fmt/format.h>

#include <deque>

#include "bench/catalogue.hpp"
#include "bench/matmul_inputs.hpp"

namespace greta::bench {
namespace {

using verify::Tensor;
using P = QuantMatmulGroupProblem;

/// The single matrices' rung beside which a group's stands: the group's own name where there is a choice of rungs.
const QuantMatmulRung& single_rung(const P& p) {
  for (const QuantMatmulGroupRung& rung : quant_matmul_group_ladder())
    if (rung.accepts(p).empty() && std::string_view(rung.name).starts_with(p.m > 8 ? "gemm" : "gemv"))
      return find_rung("quant_matmul", quant_matmul_ladder(), rung.name);
  throw_invalid("quant_matmul_group: no rung for " + to_line(p));
}
void launch_separate(hip::Stream& stream, const P& p, const QuantMatmulGroupArgs& args) {
  for (int i = 0; i < p.parts(); ++i)
    quant_matmul(stream, single_rung(p), p.part(i), {args.weights[i], args.x, args.y[i]});
}
const QuantMatmulGroupRung kSeparate = {
    "separate", launch_separate,
    [](const P& p) { return p.weights == DType::kQ4K ? std::string() : "weights must be q4_k"; }, "q4_k_i8",
    "a launch for each matrix"};

class GroupWorkload final : public RotatedWorkload {
 public:
  GroupWorkload(const QuantMatmulGroupRung& rung, const P& p, const Options& options)
      : RotatedWorkload(p.bytes()),
        rung_(rung),
        p_(p),
        x_host_(verify::normal(rows_tensor("x", p.x, p.m, p.n_in), 1.0f, options.seed)),
        x_(input(activation_blocks(fill_, p.part(0), x_host_))) {
    for (int i = 0; i < p.parts(); ++i) {
      const QuantMatmulProblem part = p.part(i);
      Part& to = parts_.emplace_back();
      to.weights_host = matmul_weights(part, options.seed + 100 * static_cast<uint64_t>(i));
      to.weights = &input(to.weights_host);
      to.y = &output(rows_tensor("y", p.y, p.m, part.n_out));
    }
  }

  void launch(hip::Stream& stream, int64_t slot) override {
    QuantMatmulGroupArgs args;
    args.x = x_.view(slot);
    for (size_t i = 0; i < parts_.size(); ++i)
      args.weights[i] = parts_[i].weights->view(slot), args.y[i] = parts_[i].y->view(slot);
    quant_matmul_group(stream, rung_, p_, args);
  }
  /// Each part as a matmul by itself.
  std::string check(hip::Stream& stream, std::span<const int64_t> launches) override {
    const auto slots = sampled_slots(launches, 3);
    for (size_t i = 0; i < parts_.size(); ++i) {
      const QuantMatmulProblem p = p_.part(static_cast<int>(i));
      const Part& part = parts_[i];
      std::string wrong =
          samples_differ(stream, p, *part.y, slots.back(), part.weights_host, x_host_, rung_.arithmetic);
      if (wrong.empty()) wrong = slots_differ(stream, *part.y, rows_tensor("y", p.y, p.m, p.n_out), slots);
      if (!wrong.empty()) return fmt::format("part {}: {}", i, wrong);
    }
    return {};
  }

 private:
  struct Part {
    Tensor weights_host;
    RotatedTensor *weights = nullptr, *y = nullptr;
  };
  const QuantMatmulGroupRung& rung_;
  P p_;
  Tensor x_host_;
  RotatedTensor& x_;
  std::deque<Part> parts_;
};

}  // namespace

std::unique_ptr<Workload> make_quant_matmul_group_workload(const QuantMatmulGroupRung& rung, const P& problem,
                                                           const Options& options) {
  return std::make_unique<GroupWorkload>(rung, problem, options);
}

void add_quant_matmul_group(std::vector<BenchCase>& to) {
  struct Row {
    const char* name;
    int64_t n_out, n_out_1, n_out_2, n_in;
    bool on_host;
  };
  constexpr Row kRows[] = {{"sample_qkv", 256, 128, 128, 256, true},
                           {"llama3_8b_qkv", 4096, 1024, 1024, 4096, false},
                           {"llama3_8b_gate_up", 14336, 14336, 0, 4096, false}};
  for (const Row& r : kRows)
    for (const int64_t m : {1, r.on_host ? 20 : 512}) {
      const std::string name = fmt::format("{}_q4_k/{}", r.name, m);
      const BenchRow<P> row{name.c_str(),
                            {.m = m, .n_out = r.n_out, .n_out_1 = r.n_out_1, .n_out_2 = r.n_out_2, .n_in = r.n_in},
                            r.on_host};
      std::vector<BenchCase> cases;
      for (const auto& rungs : {std::span(&kSeparate, 1), quant_matmul_group_ladder()})
        add_rungs(cases, "quant_matmul_group", rungs, row, m > 8 ? Compute::kI8Matrix : Compute::kI8,
                  make_quant_matmul_group_workload);
      bool first = true;
      for (BenchCase& c : cases) {
        if (c.rung != kSeparate.name && c.rung != single_rung(row.problem).name) continue;
        c.first_rung = std::exchange(first, false);
        to.push_back(std::move(c));
      }
    }
}

}  // namespace greta::bench
