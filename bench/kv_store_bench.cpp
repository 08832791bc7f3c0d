// KV store: new rows of a decode step and of a prompt into the cache.
#include "kernels/kv_store/kv_store.hpp"

#include "bench/catalogue.hpp"
#include "bench/workload.hpp"

namespace greta::bench {
namespace {

using verify::Tensor;

constexpr BenchRow<KvStoreProblem> kRows[] = {
    {"sample_llama/64", {.n_tokens = 64, .n_kv_heads = 2, .head_dim = 64, .kv_capacity = 2048}, true},
    {"llama3_8b/1", {.n_tokens = 1, .n_kv_heads = 8, .head_dim = 128, .kv_capacity = 8192}},
    {"llama3_8b/64", {.n_tokens = 64, .n_kv_heads = 8, .head_dim = 128, .kv_capacity = 512}, true},
    {"llama3_8b/8192", {.n_tokens = 8192, .n_kv_heads = 8, .head_dim = 128, .kv_capacity = 8192}},
};

class KvStoreWorkload final : public RotatedWorkload {
 public:
  KvStoreWorkload(const KvStoreRung& rung, const KvStoreProblem& p, const Options& options)
      : RotatedWorkload(p.bytes(),
                        2.0 * static_cast<double>((p.elements() + p.cache_elements()) * dtype_block_bytes(p.dtype))),
        rung_(rung),
        p_(p),
        first_((p.kv_capacity - p.n_tokens) / 2),
        k_host_(verify::normal(rows_tensor("k", p.dtype, p.n_tokens, p.row()), 1.0f, options.seed)),
        v_host_(verify::normal(rows_tensor("v", p.dtype, p.n_tokens, p.row()), 1.0f, options.seed + 1)),
        k_(input(k_host_)),
        v_(input(v_host_)),
        k_cache_(output(rows_tensor("k_cache", p.dtype, p.n_slots * p.kv_capacity, p.row()))),
        v_cache_(output(rows_tensor("v_cache", p.dtype, p.n_slots * p.kv_capacity, p.row()))) {
    Tensor places("slots", DType::kI32, {{"t", p.n_tokens}});
    sequence_ = &input(places);
    places.name = "positions";
    for (int64_t t = 0; t < p.n_tokens; ++t) places.as<int32_t>()[t] = static_cast<int32_t>(first_ + t);
    positions_ = &input(places);
  }

  void launch(hip::Stream& stream, int64_t slot) override {
    kv_store(stream, rung_, p_,
             {k_.view(slot), v_.view(slot), k_cache_.view(slot), v_cache_.view(slot),
              sequence_->view(slot).as<const int32_t>("slots"), positions_->view(slot).as<const int32_t>("positions")});
  }
  std::string check(hip::Stream& stream, std::span<const int64_t> launches) override {
    for (const int64_t slot : sampled_slots(launches, 3))
      for (const int64_t t : sampled_rows(p_.n_tokens, 4, 1))
        for (const bool is_v : {false, true}) {
          const Tensor got =
              (is_v ? v_cache_ : k_cache_)
                  .download(stream, slot, rows_tensor(is_v ? "v_cache" : "k_cache", p_.dtype, 1, p_.row()),
                            (first_ + t) * p_.row());
          const auto wrong = differs(got, row_floats(is_v ? v_host_ : k_host_, t));
          if (!wrong.empty()) return "token " + std::to_string(t) + ": " + wrong;
        }
    return {};
  }

 private:
  const KvStoreRung& rung_;
  KvStoreProblem p_;
  int64_t first_;
  Tensor k_host_, v_host_;
  RotatedTensor &k_, &v_, &k_cache_, &v_cache_;
  RotatedTensor *sequence_ = nullptr, *positions_ = nullptr;
};

}  // namespace

void add_kv_store(std::vector<BenchCase>& to) {
  for (const auto& row : kRows)
    add_rungs(to, "kv_store", kv_store_ladder(), row, Compute::kF32,
              [](const KvStoreRung& rung, const KvStoreProblem& p, const Options& options) {
                return std::make_unique<KvStoreWorkload>(rung, p, options);
              });
}

}  // namespace greta::bench
