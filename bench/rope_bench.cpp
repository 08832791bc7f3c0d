// RoPE of query heads, in place: pairs as GGUF stores them, and half-split.
#include "kernels/rope/rope.hpp"

#include "bench/catalogue.hpp"
#include "bench/workload.hpp"
#include "reference/rope.hpp"

namespace greta::bench {
namespace {

using verify::Tensor;

constexpr BenchRow<RopeProblem> kRows[] = {
    {"sample_llama/64", {.n_tokens = 64, .n_heads = 4, .head_dim = 64, .n_positions = 2048}, true},
    {"llama3_8b/1", {.n_tokens = 1, .n_heads = 32, .head_dim = 128, .n_positions = 8192}},
    {"llama3_8b/64", {.n_tokens = 64, .n_heads = 32, .head_dim = 128, .n_positions = 8192}, true},
    {"llama3_8b/32768", {.n_tokens = 32768, .n_heads = 32, .head_dim = 128, .n_positions = 32768}},
    {"llama3_8b_qk/32768",  // q and k side by side, as one matmul writes them
     {.n_tokens = 32768, .n_heads = 40, .head_dim = 128, .n_positions = 32768, .dtype = DType::kBF16}},
    {"llama3_8b_half/32768",
     {.n_tokens = 32768, .n_heads = 32, .head_dim = 128, .half_split = 1, .n_positions = 32768}},
};

class RopeWorkload final : public RotatedWorkload {
 public:
  RopeWorkload(const RopeRung& rung, const RopeProblem& p, const Options& options)
      : RotatedWorkload(p.bytes()),
        rung_(rung),
        p_(p),
        x_host_(verify::normal(rows_tensor("x", p.dtype, p.n_tokens, p.n_heads * p.head_dim), 1.0f, options.seed)),
        positions_host_("positions", DType::kI32, {{"t", p.n_tokens}}),
        table_host_("table", DType::kF32, {{"position", p.n_positions}, {"c", p.head_dim}}),
        x_(input(x_host_)) {
    const int64_t first = (p.n_positions - p.n_tokens) / 2;
    for (int64_t t = 0; t < p.n_tokens; ++t) positions_host_.as<int32_t>()[t] = static_cast<int32_t>(first + t);
    table_host_.set_floats(reference::rope_table(p.n_positions, p.head_dim, 500000.0));
    positions_ = &input(positions_host_);
    table_ = hip::DeviceBuffer<float>("bench.table", static_cast<size_t>(p.table_elements()));
    table_.upload(fill_, table_host_.as<float>());
  }

  void launch(hip::Stream& stream, int64_t slot) override {
    rope(stream, rung_, p_, {x_.view(slot), positions_->view(slot).as<const int32_t>("positions"), table_.cview()});
  }
  /// In place: a slot that was launched k times holds the input rotated k times, each time rounded.
  std::string check(hip::Stream& stream, std::span<const int64_t> launches) override {
    const int64_t slot = sampled_slots(launches, 2).back();
    RopeProblem one = p_;
    one.n_tokens = 1;
    const int64_t width = p_.n_heads * p_.head_dim;
    for (const int64_t t : sampled_rows(p_.n_tokens, 2, 1)) {
      std::vector<float> want = row_floats(x_host_, t);
      for (int64_t k = 0; k < launches[static_cast<size_t>(slot)]; ++k)
        want = reference::rope_twin(one, want, positions_host_.as<int32_t>().subspan(static_cast<size_t>(t), 1),
                                    table_host_.as<float>());
      const Tensor got = x_.download(stream, slot, rows_tensor("x", p_.dtype, 1, width), t * width);
      if (const auto wrong = differs(got, want); !wrong.empty()) return "token " + std::to_string(t) + ": " + wrong;
    }
    return {};
  }

 private:
  const RopeRung& rung_;
  RopeProblem p_;
  Tensor x_host_, positions_host_, table_host_;
  RotatedTensor& x_;
  RotatedTensor* positions_ = nullptr;
  hip::DeviceBuffer<float> table_;  // one for all slots: a launch reads one row of it a token
};

}  // namespace

void add_rope(std::vector<BenchCase>& to) {
  for (const auto& row : kRows)
    add_rungs(to, "rope", rope_ladder(), row, Compute::kF32,
              [](const RopeRung& rung, const RopeProblem& p, const Options& options) {
                return std::make_unique<RopeWorkload>(rung, p, options);
              });
}

}  // namespace greta::bench
