// Embedding gather: every slot has its own ids, so that rows of the one table come from memory as far as it exceeds the
// cache.
#include "kernels/embedding/embedding.hpp"

#include "bench/catalogue.hpp"
#include "bench/workload.hpp"
#include "reference/embedding.hpp"
#include "reference/quant_blocks.hpp"

namespace greta::bench {
namespace {

using verify::Tensor;

constexpr BenchRow<EmbeddingProblem> kRows[] = {
    {"sample_llama_q4_k/64", {.n_tokens = 64, .n_vocab = 4096, .width = 256}, true},
    {"llama3_8b_q4_k/64", {.n_tokens = 64, .n_vocab = 16384, .width = 4096}, true},
    {"llama3_8b_q4_k/4096", {.n_tokens = 4096, .n_vocab = 128256, .width = 4096}},
    {"llama3_8b_q6_k/4096", {.n_tokens = 4096, .n_vocab = 128256, .width = 4096, .weights = DType::kQ6K}},
    {"llama3_8b_f16/4096", {.n_tokens = 4096, .n_vocab = 128256, .width = 4096, .weights = DType::kF16}},
};

class EmbeddingWorkload final : public Workload {
 public:
  EmbeddingWorkload(const EmbeddingRung& rung, const EmbeddingProblem& p, const Options& options)
      : rung_(rung),
        p_(p),
        seed_(options.seed),
        slots_(slots_for(p.bytes())),
        table_host_("table", p.weights, {{"id", p.n_vocab}, {"block", p.row_blocks()}}),
        table_("bench.table", p.weights, static_cast<size_t>(p.weight_elements())),
        ids_("bench.ids", static_cast<size_t>(slots_ * p.n_tokens)),
        y_("bench.y", DType::kF32, p.elements(), slots_) {
    const size_t row_bytes = reference::row_bytes(p.weights, p.width);
    for (int64_t id = 0; id < p.n_vocab; ++id)
      reference::random_row(p.weights, reference::RandomBlocks::kWeights, 0.02f,
                            reference::substream(seed_, static_cast<uint64_t>(id)), p.width,
                            table_host_.bytes.data() + static_cast<size_t>(id) * row_bytes);
    table_.upload_bytes(fill_, table_host_.bytes.data(), table_host_.bytes.size());
    reference::Random random(seed_ + 1);
    for (int64_t i = 0; i < slots_ * p.n_tokens; ++i)
      ids_host_.push_back(static_cast<int32_t>(random.below(static_cast<uint64_t>(p.n_vocab))));
    ids_.upload(fill_, ids_host_);
  }

  int64_t slots() const override { return slots_; }
  double footprint() const override { return p_.bytes() * static_cast<double>(slots_); }
  void launch(hip::Stream& stream, int64_t slot) override {
    const auto n = static_cast<size_t>(p_.n_tokens);
    embedding(stream, rung_, p_,
              {table_.view(), ids_.cview().slice(static_cast<size_t>(slot) * n, n), y_.view(slot).as<float>("y")});
  }
  std::string check(hip::Stream& stream, std::span<const int64_t> launches) override {
    EmbeddingProblem one = p_;
    one.n_tokens = 1;
    for (const int64_t slot : sampled_slots(launches, 3))
      for (const int64_t t : sampled_rows(p_.n_tokens, 4, seed_)) {
        const auto id = std::span(ids_host_).subspan(static_cast<size_t>(slot * p_.n_tokens + t), 1);
        const Tensor got = y_.download(stream, slot, rows_tensor("y", DType::kF32, 1, p_.width), t * p_.width);
        const auto wrong = differs(got, reference::embedding_twin(one, id, table_host_.bytes.data()));
        if (!wrong.empty()) return "slot " + std::to_string(slot) + " token " + std::to_string(t) + ": " + wrong;
      }
    return {};
  }

 private:
  const EmbeddingRung& rung_;
  EmbeddingProblem p_;
  uint64_t seed_;
  int64_t slots_;
  hip::Stream fill_{"bench.fill"};
  Tensor table_host_;
  hip::DeviceTensor table_;
  std::vector<int32_t> ids_host_;
  hip::DeviceBuffer<int32_t> ids_;
  RotatedTensor y_;
};

}  // namespace

void add_embedding(std::vector<BenchCase>& to) {
  for (const auto& row : kRows)
    add_rungs(to, "embedding", embedding_ladder(), row, Compute::kF32,
              [](const EmbeddingRung& rung, const EmbeddingProblem& p, const Options& options) {
                return std::make_unique<EmbeddingWorkload>(rung, p, options);
              });
}

}  // namespace greta::bench
