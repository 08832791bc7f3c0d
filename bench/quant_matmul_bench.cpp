// Quantised matmul: matrices of Llama-3-8B and of the sample model, one row to a prompt. The quantiser of activations
// is outside the timed launches; its time stands beside them (prelude_us), and it has rows of its own
// (quantize_activations_bench.cpp).
//
// Rungs "gemm_v2_*", "gemm_v3_free", "gemm_v3_wide" and "gemm_v4_free" are none of the ladder
// (kernels/quant_matmul/gemm_variants.hpp). "narrow", "tall" and "wide" are v2 and v3 in other shapes. "v2_free" and
// "v4_free" are v2 and v4 with as many splits as make them fastest, summed in any order, hence with bits of its own for
// every problem, device and launch; "v3_free" is v3 with a chain a wave: the measure of what one order costs. Splits
// need an f32 Y: rows "..._f32".
#include "kernels/quant_matmul/quant_matmul.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bench/catalogue.hpp"
#include "bench/matmul_inputs.hpp"
#include "bench/prelude.hpp"
#include "bench/timing.hpp"
#include "kernels/quant_matmul/gemm_variants.hpp"
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

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// Variants outside the ladder. Those with bits of their own are held to the bound of the arithmetic they vary.
constexpr std::string_view kFree = "_free";
bool is_free(std::string_view arithmetic) { return arithmetic.ends_with(kFree); }

template <DType kType>
std::string many_rows(const QuantMatmulProblem& p) {
  if (p.weights != kType) return "other weights";
  return p.m > 64 ? std::string() : fmt::format("m must be more than 64, got {}", p.m);
}
template <DType kType>
std::string free_sums(const QuantMatmulProblem& p) {
  if (p.weights != kType) return "other weights";
  if (p.m < kFewestGemmRows) return fmt::format("m must be at least {}, got {}", kFewestGemmRows, p.m);
  return p.y == DType::kF32 ? std::string() : fmt::format("y must be f32, got {}", dtype_name(p.y));
}
void launch_v4_free(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args) {
  gemm_v4_free(stream, p, args);
}
template <int kSplits>
void launch_free(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args) {
  gemm_v2_free(stream, p, args, kSplits);
}
constexpr const char* kNarrow = "128 tokens x 64 rows, two workgroups on a CU";
constexpr const char* kTall = "256 tokens x 64 rows";
template <DType kType>
std::string few_rows(const QuantMatmulProblem& p) {
  const std::string refusal = free_sums<kType>(p);
  return refusal.empty() && p.m > 64 ? fmt::format("m must be at most 64, got {}", p.m) : refusal;
}
template <DType kType>
std::string some_rows(const QuantMatmulProblem& p) {
  if (p.weights != kType) return "other weights";
  return p.m > 32 && p.m <= 64 ? std::string() : fmt::format("m must be 33 to 64, got {}", p.m);
}
constexpr const char* kWide = "64 tokens to a workgroup, a superblock a wave";
constexpr const char* kWaveChain = "a superblock a wave, every wave its own chain";
constexpr const char* kSplit = "superblocks of a tile dealt out, sums added in any order";
constexpr QuantMatmulRung kVariants[] = {
    {"gemm_v2_narrow", gemm_v2_narrow, many_rows<DType::kQ4K>, "q4_k_i8", kNarrow},
    {"gemm_v2_narrow", gemm_v2_narrow, many_rows<DType::kQ6K>, "q6_k_i8", kNarrow},
    {"gemm_v2_narrow", gemm_v2_narrow, many_rows<DType::kQ8_0>, "q8_0_i8", kNarrow},
    {"gemm_v2_tall", gemm_v2_tall, many_rows<DType::kQ4K>, "q4_k_i8", kTall},
    {"gemm_v2_tall", gemm_v2_tall, many_rows<DType::kQ6K>, "q6_k_i8", kTall},
    {"gemm_v2_tall", gemm_v2_tall, many_rows<DType::kQ8_0>, "q8_0_i8", kTall},
    {"gemm_v3_wide", gemm_v3_wide, some_rows<DType::kQ4K>, "q4_k_i8", kWide},
    {"gemm_v3_wide", gemm_v3_wide, some_rows<DType::kQ6K>, "q6_k_i8", kWide},
    {"gemm_v3_wide", gemm_v3_wide, some_rows<DType::kQ8_0>, "q8_0_i8", kWide},
    {"gemm_v2_free", launch_free<0>, free_sums<DType::kQ4K>, "q4_k_i8_free", kSplit},
    {"gemm_v2_free", launch_free<0>, free_sums<DType::kQ6K>, "q6_k_i8_free", kSplit},
    {"gemm_v2_free", launch_free<0>, free_sums<DType::kQ8_0>, "q8_0_i8_free", kSplit},
    {"gemm_v3_free", gemm_v3_free, few_rows<DType::kQ4K>, "q4_k_i8_free", kWaveChain},
    {"gemm_v3_free", gemm_v3_free, few_rows<DType::kQ6K>, "q6_k_i8_free", kWaveChain},
    {"gemm_v3_free", gemm_v3_free, few_rows<DType::kQ8_0>, "q8_0_i8_free", kWaveChain},
    {"gemm_v4_free", launch_v4_free, few_rows<DType::kQ4K>, "q4_k_i8_free", kSplit},
    {"gemm_v4_free", launch_v4_free, few_rows<DType::kQ6K>, "q6_k_i8_free", kSplit},
    // Fixed counts: whether the count that v2_free chooses is a good one.
    {"gemm_v2_free2", launch_free<2>, free_sums<DType::kQ4K>, "q4_k_i8_free", kSplit},
    {"gemm_v2_free4", launch_free<4>, free_sums<DType::kQ4K>, "q4_k_i8_free", kSplit},
    {"gemm_v2_free8", launch_free<8>, free_sums<DType::kQ4K>, "q4_k_i8_free", kSplit},
};

class MatmulWorkload final : public RotatedWorkload, public WithPrelude {
 public:
  MatmulWorkload(const QuantMatmulRung& rung, const QuantMatmulProblem& p, const Options& options)
      : RotatedWorkload(p.bytes()),
        rung_(rung),
        p_(p),
        weights_host_(matmul_weights(p, options.seed)),
        x_host_(verify::normal(rows_tensor("x", p.x, p.m, p.n_in), 1.0f, options.seed)),
        weights_(input(weights_host_)),
        x_(input(p.quantised() ? activation_blocks(fill_, p, x_host_) : x_host_)),
        y_(output(rows_tensor("y", p.y, p.m, p.n_out))) {}

  void launch(hip::Stream& stream, int64_t slot) override {
    quant_matmul(stream, rung_, p_, {weights_.view(slot), x_.view(slot), y_.view(slot)});
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
    if (is_free(rung_.arithmetic)) return check_free(stream, slots);
    if (auto wrong = samples_differ(stream, p_, y_, slots.back(), weights_host_, x_host_, rung_.arithmetic);
        !wrong.empty())
      return wrong;
    return slots_differ(stream, y_, rows_tensor("y", p_.y, p_.m, p_.n_out), slots);
  }

 private:
  /// Those samples by the oracle's bound, in every slot; then whole outputs beside that of the ladder's rung. Both are
  /// within their bounds of the truth, hence within two of each other; bounds of outputs that are not among the samples
  /// are taken as at most twice the largest of those.
  std::string check_free(hip::Stream& stream, std::span<const int64_t> slots) {
    const std::string_view arithmetic = rung_.arithmetic;
    const std::string_view exact = arithmetic.substr(0, arithmetic.size() - kFree.size());
    double widest = 0;
    for (const int64_t slot : slots) {
      const auto wrong =
          check_samples(stream, p_, y_, slot, x_host_,
                        [&](const std::vector<float>& x, std::span<const int64_t> outs, const Tensor& got) {
                          QuantMatmulProblem some = p_;
                          some.m = 1, some.n_out = static_cast<int64_t>(outs.size());
                          const auto oracle = reference::quant_matmul_oracle(
                              some, rows_of_weights(weights_host_, p_, outs).data(), x, exact);
                          for (const double bound : oracle.bound) widest = std::max(widest, bound);
                          return outside(got, oracle);
                        });
      if (!wrong.empty()) return wrong;
    }
    const Tensor shape = rows_tensor("y", p_.y, p_.m, p_.n_out);
    hip::DeviceTensor in_order("bench.in_order", p_.y, static_cast<size_t>(shape.count()));
    quant_matmul(stream, quant_matmul_default_rung(p_), p_,
                 {weights_.view(slots[0]), x_.view(slots[0]), in_order.view()});
    Tensor want = shape;
    in_order.download_bytes(stream, want.bytes.data(), want.bytes.size());
    for (const int64_t slot : slots) {
      const Tensor got = y_.download(stream, slot, shape);
      const std::span<const float> g = got.as<float>(), w = want.as<float>();
      for (size_t k = 0; k < g.size(); ++k)
        if (!(std::abs(g[k] - w[k]) <= 4 * widest))
          return fmt::format("slot {}: {} where the exact kernel has {} at {}, more than {:.3g} apart", slot, g[k],
                             w[k], got.place(static_cast<int64_t>(k)), 4 * widest);
    }
    return {};
  }

  const QuantMatmulRung& rung_;
  QuantMatmulProblem p_;
  Tensor weights_host_, x_host_;
  RotatedTensor &weights_, &x_, &y_;
};

std::unique_ptr<Workload> make(const QuantMatmulRung& rung, const QuantMatmulProblem& p, const Options& options) {
  return std::make_unique<MatmulWorkload>(rung, p, options);
}

/// Cases of the ladder's rungs that `wanted` names, then of the variants.
template <class Wanted>
void add_cases(std::vector<BenchCase>& to, const std::string& name, const QuantMatmulProblem& p, bool on_host,
               Wanted wanted) {
  const BenchRow<QuantMatmulProblem> row{name.c_str(), p, on_host};
  std::vector<BenchCase> cases;
  for (const auto& rungs : {quant_matmul_ladder(), std::span<const QuantMatmulRung>(kVariants)})
    add_rungs(cases, "quant_matmul", rungs, row, p.quantised() ? Compute::kI8 : Compute::kF32, make);
  bool first = true;
  for (BenchCase& c : cases) {
    const bool gemv = c.rung.starts_with("gemv");
    if (!wanted(c.rung)) continue;
    c.first_rung = std::exchange(first, false);
    if (verify::on_matrix_machine(c.arithmetic)) c.compute = Compute::kMatrix;
    if (p.quantised() && !gemv && !has(c.rung, "_v1")) c.compute = Compute::kI8Matrix;
    to.push_back(std::move(c));
  }
}
void add_problem(std::vector<BenchCase>& to, const std::string& name, const QuantMatmulProblem& p, bool on_host) {
  add_cases(to, name, p, on_host, [&p](const std::string& rung) {
    return rung.starts_with("gemv") ? p.m <= kMostGemvRows : p.m >= kFewestGemmRows;
  });
}

/// With outputs of f32, as the variant without an order of summing needs: v2 to v4, and beside them the variants.
void add_beside_free(std::vector<BenchCase>& to, const std::string& name, const QuantMatmulProblem& p, bool on_host) {
  add_cases(to, name, p, on_host, [](const std::string& rung) { return has(rung, "gemm") && !has(rung, "_v1"); });
}

}  // namespace

std::unique_ptr<Workload> make_quant_matmul_workload(const QuantMatmulRung& rung, const QuantMatmulProblem& problem,
                                                     const Options& options) {
  return make(rung, problem, options);
}

void add_quant_matmul(std::vector<BenchCase>& to) {
  const Matrix matrices[] = {
      {"sample_768x256", 768, 256, {}, {1, 8, 64}},
      {"llama3_8b_4096x4096", 4096, 4096, {1, 512}, {1}},
      {"llama3_8b_14336x4096", 14336, 4096, {1, 2, 4, 8, 16, 64, 512, 4096}, {}},
      {"llama3_8b_4096x14336", 4096, 14336, {1, 512, 4096}, {}},
      {"llama3_8b_128256x4096", 128256, 4096, {1}, {}},
  };
  const Matrix beside_free[] = {
      {"sample_128x512", 128, 512, {}, {16, 80}},
      {"llama3_8b_4096x4096", 4096, 4096, {16, 32, 64, 512, 4096}, {}},
      {"llama3_8b_14336x4096", 14336, 4096, {16, 32, 64, 512, 4096}, {}},
      {"llama3_8b_4096x14336", 4096, 14336, {16, 32, 64, 512, 4096}, {}},
  };
  const bool host = hip::platform_name() == "host";
  for (const Matrix& matrix : matrices)
    for (const DType weights : kWeights)
      for (const int64_t m : host ? matrix.host_rows : matrix.rows)
        add_problem(to, fmt::format("{}_{}/{}", matrix.name, dtype_name(weights), m),
                    {.m = m, .n_out = matrix.n_out, .n_in = matrix.n_in, .weights = weights}, host);
  for (const Matrix& matrix : beside_free)
    for (const DType weights : {DType::kQ4K, DType::kQ6K, DType::kQ8_0})
      for (const int64_t m : host ? matrix.host_rows : matrix.rows)
        add_beside_free(to, fmt::format("{}_{}_f32/{}", matrix.name, dtype_name(weights), m),
                        {.m = m, .n_out = matrix.n_out, .n_in = matrix.n_in, .weights = weights, .y = DType::kF32},
                        host);
}

}  // namespace greta::bench
