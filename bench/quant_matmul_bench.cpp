// Quantised matmul: matrices of Llama-3-8B and of the sample model, one row to a prompt. The quantiser of activations
// is outside the timed launches; its time stands beside them (prelude_us), and it has rows of its own
// (quantize_activations_bench.cpp).
#include "kernels/quant_matmul/quant_matmul.hpp"

#include <fmt/format.h>

#include "bench/catalogue.hpp"
#include "bench/prelude.hpp"
#include "bench/timing.hpp"
#include "bench/workload.hpp"
#include "reference/quant_blocks.hpp"
#include "reference/quant_matmul.hpp"
#include "verify/matrix_calibration.hpp"

namespace greta::bench {
namespace {

using verify::Tensor;

struct Matrix {
  const char* name;
  int64_t n_out, n_in;
  std::initializer_list<int64_t> rows, host_rows;  ///< of X
};
constexpr DType kWeights[] = {DType::kQ4K, DType::kQ6K, DType::kQ8_0, DType::kF16};
/// Where the ladder changes from gemv to gemm, both are timed; far from there only the one that is meant for it.
constexpr int64_t kMostGemvRows = 64, kFewestGemmRows = 8;

/// The quantiser of one matmul's activations, whose X the kernel before has just written: no copies to go round.
class QuantiserWorkload final : public Workload {
 public:
  QuantiserWorkload(hip::Stream& stream, const QuantMatmulProblem& p, const Tensor& x)
      : p_(p),
        x_("bench.x", p.x, static_cast<size_t>(p.m * p.n_in)),
        blocks_("bench.blocks", p.activation_blocks(), static_cast<size_t>(p.m * p.activation_blocks_per_row())) {
    x_.upload_bytes(stream, x.bytes.data(), x.bytes.size());
  }
  int64_t slots() const override { return 1; }
  double footprint() const override { return 0; }
  void launch(hip::Stream& stream, int64_t) override { quantize_activations(stream, p_, x_.view(), blocks_.view()); }
  std::string check(hip::Stream&, std::span<const int64_t>) override { return {}; }

 private:
  QuantMatmulProblem p_;
  hip::DeviceTensor x_, blocks_;
};

class MatmulWorkload final : public RotatedWorkload, public WithPrelude {
 public:
  MatmulWorkload(const QuantMatmulRung& rung, const QuantMatmulProblem& p, const Options& options)
      : RotatedWorkload(p.bytes()),
        rung_(rung),
        p_(p),
        weights_host_("weights", p.weights, {{"r", p.n_out}, {"block", p.weight_blocks_per_row()}}),
        x_host_(verify::normal(rows_tensor("x", p.x, p.m, p.n_in), 1.0f, options.seed)) {
    const size_t row_bytes = reference::row_bytes(p.weights, p.n_in);
    for (int64_t r = 0; r < p.n_out; ++r)
      reference::random_row(p.weights, reference::RandomBlocks::kWeights, 0.02f,
                            reference::substream(options.seed, static_cast<uint64_t>(r)), p.n_in,
                            weights_host_.bytes.data() + static_cast<size_t>(r) * row_bytes);
    weights_ = &input(weights_host_);
    if (p.quantised()) {
      hip::DeviceTensor x("bench.x", p.x, static_cast<size_t>(p.m * p.n_in));
      x.upload_bytes(fill_, x_host_.bytes.data(), x_host_.bytes.size());
      Tensor blocks("blocks", p.activation_blocks(), {{"i", p.m}, {"block", p.activation_blocks_per_row()}});
      hip::DeviceTensor quantised("bench.blocks", blocks.dtype, static_cast<size_t>(blocks.count()));
      quantize_activations(fill_, p, x.view(), quantised.view());
      quantised.download_bytes(fill_, blocks.bytes.data(), blocks.bytes.size());
      x_ = &input(blocks);
    } else {
      x_ = &input(x_host_);
    }
    y_ = &output(rows_tensor("y", p.y, p.m, p.n_out));
  }

  void launch(hip::Stream& stream, int64_t slot) override {
    quant_matmul(stream, rung_, p_, {weights_->view(slot), x_->view(slot), y_->view(slot)});
  }
  double prelude(hip::Stream& stream) override {
    if (!p_.quantised()) return 0;
    QuantiserWorkload quantiser(stream, p_, x_host_);
    Timer timer(quantiser, stream);
    timer.warm_up();
    std::vector<double> samples;
    for (int i = 0; i < 7; ++i) samples.push_back(timer.run_batch() / static_cast<double>(timer.batch()));
    return summarise(std::move(samples)).median;
  }
  /// Sampled rows of X against sampled rows of W, by the twin; then whole outputs of slots against each other.
  std::string check(hip::Stream& stream, std::span<const int64_t> launches) override {
    const auto slots = sampled_slots(launches, 3);
    const auto outs = sampled_rows(p_.n_out, 24, 1);
    QuantMatmulProblem one = p_;
    one.m = 1, one.n_out = 1;
    const size_t row_bytes = reference::row_bytes(p_.weights, p_.n_in);
    for (const int64_t i : sampled_rows(p_.m, 3, 2)) {
      const std::vector<float> x = row_floats(x_host_, i);
      const Tensor row = y_->download(stream, slots.back(), rows_tensor("y", p_.y, 1, p_.n_out), i * p_.n_out);
      Tensor got("y", p_.y, {{"sampled r", static_cast<int64_t>(outs.size())}});
      std::vector<float> want;
      for (size_t k = 0; k < outs.size(); ++k) {
        got.set(static_cast<int64_t>(k), static_cast<float>(row.number(outs[k])));
        const uint8_t* weights = weights_host_.bytes.data() + static_cast<size_t>(outs[k]) * row_bytes;
        want.push_back(
            reference::quant_matmul_twin(one, weights, x, rung_.arithmetic, verify::matrix_machine()).front());
      }
      if (const auto wrong = differs(got, want); !wrong.empty()) return "row " + std::to_string(i) + ": " + wrong;
    }
    return slots_differ(stream, *y_, rows_tensor("y", p_.y, p_.m, p_.n_out), slots);
  }

 private:
  const QuantMatmulRung& rung_;
  QuantMatmulProblem p_;
  Tensor weights_host_, x_host_;
  RotatedTensor *weights_ = nullptr, *x_ = nullptr, *y_ = nullptr;
};

void add_problem(std::vector<BenchCase>& to, const std::string& name, const QuantMatmulProblem& p, bool on_host) {
  const BenchRow<QuantMatmulProblem> row{name.c_str(), p, on_host};
  std::vector<BenchCase> cases;
  add_rungs(cases, "quant_matmul", quant_matmul_ladder(), row, p.quantised() ? Compute::kI8 : Compute::kF32,
            [](const QuantMatmulRung& rung, const QuantMatmulProblem& problem, const Options& options) {
              return std::make_unique<MatmulWorkload>(rung, problem, options);
            });
  bool first = true;
  for (BenchCase& c : cases) {
    const bool gemv = c.rung.starts_with("gemv");
    if (gemv ? p.m > kMostGemvRows : p.m < kFewestGemmRows) continue;
    c.first_rung = std::exchange(first, false);
    if (verify::on_matrix_machine(c.arithmetic)) c.compute = Compute::kMatrix;
    if (p.quantised() && !gemv && c.rung.ends_with("_v2")) c.compute = Compute::kI8Matrix;
    to.push_back(std::move(c));
  }
}

}  // namespace

void add_quant_matmul(std::vector<BenchCase>& to) {
  const Matrix matrices[] = {
      {"sample_768x256", 768, 256, {}, {1, 8, 64}},
      {"llama3_8b_4096x4096", 4096, 4096, {1, 512}, {1}},
      {"llama3_8b_14336x4096", 14336, 4096, {1, 2, 4, 8, 16, 64, 512, 4096}, {}},
      {"llama3_8b_4096x14336", 4096, 14336, {1, 512, 4096}, {}},
      {"llama3_8b_128256x4096", 128256, 4096, {1}, {}},
  };
  const bool host = hip::platform_name() == "host";
  for (const Matrix& matrix : matrices)
    for (const DType weights : kWeights)
      for (const int64_t m : host ? matrix.host_rows : matrix.rows)
        add_problem(to, fmt::format("{}_{}/{}", matrix.name, dtype_name(weights), m),
                    {.m = m, .n_out = matrix.n_out, .n_in = matrix.n_in, .weights = weights}, host);
}

}  // namespace greta::bench
