// The activation quantiser of quantised matmuls: one kernel, no ladder; its problem is the matmul's.
#include <fmt/format.h>

#include "bench/catalogue.hpp"
#include "bench/workload.hpp"
#include "kernels/quant_matmul/quant_matmul.hpp"
#include "reference/quant_blocks.hpp"

namespace greta::bench {
namespace {

using verify::Tensor;

double bytes_of(const QuantMatmulProblem& p) {
  return static_cast<double>(p.m * p.n_in) * dtype_block_bytes(p.x) +
         static_cast<double>(p.m * p.activation_blocks_per_row()) * dtype_block_bytes(p.activation_blocks());
}

class QuantizeWorkload final : public RotatedWorkload {
 public:
  QuantizeWorkload(const QuantMatmulProblem& p, const Options& options)
      : RotatedWorkload(bytes_of(p)),
        p_(p),
        x_host_(verify::normal(rows_tensor("x", p.x, p.m, p.n_in), 1.0f, options.seed)),
        x_(input(x_host_)),
        blocks_(output(shape(p.m))) {}

  void launch(hip::Stream& stream, int64_t slot) override {
    quantize_activations(stream, p_, x_.view(slot), blocks_.view(slot));
  }
  std::string check(hip::Stream& stream, std::span<const int64_t> launches) override {
    const auto slots = sampled_slots(launches, 3);
    for (const int64_t i : sampled_rows(p_.m, 3, 1)) {
      const Tensor got = blocks_.download(stream, slots.back(), shape(1), i * p_.activation_blocks_per_row());
      Tensor want = shape(1);
      if (p_.activation_blocks() == DType::kQ8Act256)
        reference::quantise_activations(row_floats(x_host_, i), want.as<BlockQ8Act256>().data());
      else
        reference::quantise_activations(row_floats(x_host_, i), want.as<BlockQ8Act32>().data());
      if (got.bytes != want.bytes) return "row " + std::to_string(i) + " has other blocks than the reference";
    }
    return slots_differ(stream, blocks_, shape(p_.m), slots);
  }

 private:
  Tensor shape(int64_t rows) const {
    return Tensor("blocks", p_.activation_blocks(), {{"i", rows}, {"block", p_.activation_blocks_per_row()}});
  }

  QuantMatmulProblem p_;
  Tensor x_host_;
  RotatedTensor &x_, &blocks_;
};

}  // namespace

void add_quantize_activations(std::vector<BenchCase>& to) {
  const bool host = hip::platform_name() == "host";
  for (const DType weights : {DType::kQ4K, DType::kQ8_0})
    for (const int64_t m : {1, 64, 4096}) {
      if (host && m > 64) continue;
      const QuantMatmulProblem p{.m = m, .n_out = 1, .n_in = 4096, .weights = weights};
      BenchCase c;
      c.op = "quantize_activations", c.rung = "v1", c.arithmetic = dtype_name(p.activation_blocks());
      c.row = fmt::format("llama3_8b_{}/{}", dtype_name(weights), m);
      c.problem = to_line(p), c.flops = 0, c.bytes = bytes_of(p), c.first_rung = true;
      c.make = [p](const Options& options) { return std::make_unique<QuantizeWorkload>(p, options); };
      to.push_back(std::move(c));
    }
}

}  // namespace greta::bench
