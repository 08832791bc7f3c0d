// RoPE + KV store: the heads of a token of Llama-3-8B, at one token, a batch and a prompt of 32768.
#include "kernels/rope_kv_store/rope_kv_store.hpp"

#include "bench/catalogue.hpp"
#include "bench/workload.hpp"
#include "reference/rope.hpp"

namespace greta::bench {
namespace {

using verify::Tensor;

constexpr BenchRow<RopeKvStoreProblem> kRows[] = {
    {"sample_llama/64",
     {.n_tokens = 64, .n_heads = 4, .n_kv_heads = 2, .head_dim = 64, .n_positions = 2048, .kv_capacity = 128},
     true},
    {"llama3_8b/1",
     {.n_tokens = 1, .n_heads = 32, .n_kv_heads = 8, .head_dim = 128, .n_positions = 8192, .kv_capacity = 64}},
    {"llama3_8b/32768",
     {.n_tokens = 32768,
      .n_heads = 32,
      .n_kv_heads = 8,
      .head_dim = 128,
      .n_positions = 32768,
      .kv_capacity = 32768,
      .dtype = DType::kBF16}},
};

class RopeKvStoreWorkload final : public RotatedWorkload {
 public:
  RopeKvStoreWorkload(const RopeKvStoreRung& rung, const RopeKvStoreProblem& p, const Options& options)
      : RotatedWorkload(p.bytes(), p.bytes() + 4.0 * static_cast<double>(p.store().cache_elements())),
        rung_(rung),
        p_(p),
        q_host_(verify::normal(rows_tensor("q", p.dtype, p.n_tokens, p.n_heads * p.head_dim), 1.0f, options.seed)),
        k_host_(verify::normal(rows_tensor("k", p.dtype, p.n_tokens, row()), 1.0f, options.seed + 1)),
        v_host_(verify::normal(rows_tensor("v", p.dtype, p.n_tokens, row()), 1.0f, options.seed + 2)),
        positions_host_("positions", DType::kI32, {{"t", p.n_tokens}}),
        table_host_("table", DType::kF32, {{"position", p.n_positions}, {"c", p.head_dim}}),
        q_(input(q_host_)),
        k_(input(k_host_)),
        v_(input(v_host_)),
        k_cache_(output(rows_tensor("k_cache", p.dtype, p.n_slots * p.kv_capacity, row()))),
        v_cache_(output(rows_tensor("v_cache", p.dtype, p.n_slots * p.kv_capacity, row()))) {
    slots_tensor_ = &input(Tensor("slots", DType::kI32, {{"t", p.n_tokens}}));
    const int64_t first = (p.kv_capacity - p.n_tokens) / 2;
    for (int64_t t = 0; t < p.n_tokens; ++t) positions_host_.as<int32_t>()[t] = static_cast<int32_t>(first + t);
    positions_ = &input(positions_host_);
    table_host_.set_floats(reference::rope_table(p.n_positions, p.head_dim, 500000.0));
    table_ = hip::DeviceBuffer<float>("bench.table", static_cast<size_t>(p.n_positions * p.head_dim));
    table_.upload(fill_, table_host_.as<float>());
  }

  void launch(hip::Stream& stream, int64_t slot) override {
    rope_kv_store(stream, rung_, p_,
                  {q_.view(slot), k_.view(slot), v_.view(slot), k_cache_.view(slot), v_cache_.view(slot),
                   slots_tensor_->view(slot).as<const int32_t>("slots"),
                   positions_->view(slot).as<const int32_t>("positions"), table_.cview()});
  }
  /// q in place: a slot that was launched k times holds it rotated k times; the caches hold one rotation of k.
  std::string check(hip::Stream& stream, std::span<const int64_t> launches) override {
    const int64_t slot = sampled_slots(launches, 2).back();
    RopeKvStoreProblem one = p_;
    one.n_tokens = 1;
    for (const int64_t t : sampled_rows(p_.n_tokens, 2, 1)) {
      const auto position = positions_host_.as<int32_t>().subspan(static_cast<size_t>(t), 1);
      const auto turned = [&](std::vector<float> x, int64_t heads) {
        return reference::rope_twin(one.rotation(heads), x, position, table_host_.as<float>());
      };
      std::vector<float> q = row_floats(q_host_, t);
      for (int64_t k = 0; k < launches[static_cast<size_t>(slot)]; ++k) q = turned(q, p_.n_heads);
      const int64_t width = p_.n_heads * p_.head_dim;
      const auto at = static_cast<int64_t>(position[0]) * row();
      for (const auto& [tensor, want, first] :
           {std::tuple{&q_, q, t * width}, std::tuple{&k_cache_, turned(row_floats(k_host_, t), p_.n_kv_heads), at},
            std::tuple{&v_cache_, row_floats(v_host_, t), at}}) {
        const Tensor got =
            tensor->download(stream, slot, rows_tensor("row", p_.dtype, 1, static_cast<int64_t>(want.size())), first);
        if (const auto wrong = differs(got, want); !wrong.empty()) return "token " + std::to_string(t) + ": " + wrong;
      }
    }
    return {};
  }

 private:
  int64_t row() const { return p_.n_kv_heads * p_.head_dim; }

  const RopeKvStoreRung& rung_;
  RopeKvStoreProblem p_;
  Tensor q_host_, k_host_, v_host_, positions_host_, table_host_;
  RotatedTensor &q_, &k_, &v_, &k_cache_, &v_cache_;
  RotatedTensor *slots_tensor_ = nullptr, *positions_ = nullptr;
  hip::DeviceBuffer<float> table_;
};

}  // namespace

void add_rope_kv_store(std::vector<BenchCase>& to) {
  for (const auto& row : kRows)
    add_rungs(to, "rope_kv_store", rope_kv_store_ladder(), row, Compute::kF32,
              [](const RopeKvStoreRung& rung, const RopeKvStoreProblem& p, const Options& options) {
                return std::make_unique<RopeKvStoreWorkload>(rung, p, options);
              });
}

}  // namespace greta::bench
