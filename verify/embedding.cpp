// Embedding gather as verification sees it.
#include "kernels/embedding/embedding.hpp"

#include "reference/embedding.hpp"
#include "verify/buffers.hpp"
#include "verify/catalogue.hpp"
#include "verify/draw.hpp"
#include "verify/operator_of.hpp"
#include "verify/stored_weights.hpp"

namespace greta::verify {
namespace {

constexpr CaseRow<EmbeddingProblem> kCases[] = {
    {"one_row", {.n_tokens = 1, .n_vocab = 1, .width = 256}, "smallest table of every weights type", kQuick, kOnce},
    {"repeated_ids",
     {.n_tokens = 37, .n_vocab = 11, .width = 512},
     "more tokens than rows: ids repeat",
     kQuick,
     kInvariant},
    {"sample_llama", {.n_tokens = 48, .n_vocab = 4096, .width = 256}, "token table of the sample model", kQuick, kOnce},
    {"llama3_8b", {.n_tokens = 5, .n_vocab = 300, .width = 4096}, "rows of Llama-3-8B", kQuick, kInvariant},
};

class Embedding final : public OperatorOf<EmbeddingProblem, EmbeddingRung> {
 public:
  std::string name() const override { return "embedding"; }
  std::vector<Case> cases() const override {
    std::vector<Case> out;
    for (const auto& row : kCases)
      for (const DType type : {DType::kQ4K, DType::kQ6K, DType::kQ8_0, DType::kF16, DType::kBF16, DType::kF32}) {
        EmbeddingProblem p = row.problem;
        p.weights = type;
        out.push_back(make_case(row, p, fmt::format("weights={}", dtype_name(type))));
      }
    return out;
  }

 protected:
  std::span<const EmbeddingRung> ladder() const override { return embedding_ladder(); }
  static Tensor y_of(const EmbeddingProblem& p) {
    return Tensor("y", DType::kF32, {{"t", p.n_tokens}, {"c", p.width}});
  }
  static Tensor ids_of(const EmbeddingProblem& p, uint64_t seed) {
    Tensor ids = whole(Tensor("ids", DType::kI32, {{"t", p.n_tokens}}), 0, static_cast<int>(p.n_vocab) - 1, seed);
    ids.set(p.n_tokens - 1, static_cast<float>(p.n_vocab - 1));  // the last row is always read
    return ids;
  }

  Data integers(const EmbeddingProblem& p, uint64_t seed) const override {
    std::vector<int32_t> values;
    Tensor table = whole_weights(weights_shape("table", p.weights, p.n_vocab, p.width), seed, values);
    Tensor ids = ids_of(p, seed + 1), y = y_of(p);
    for (int64_t i = 0; i < y.count(); ++i) {
      const auto id = static_cast<int64_t>(ids.number(i / p.width));
      y.set(i, static_cast<float>(values[static_cast<size_t>(id * p.width + i % p.width)] * whole_unit(p.weights)));
    }
    return {{std::move(table), std::move(ids)}, {std::move(y)}, {}};
  }
  Data random(const EmbeddingProblem& p, uint64_t seed) const override {
    return {{random_weights(weights_shape("table", p.weights, p.n_vocab, p.width), seed), ids_of(p, seed + 1)}, {}, {}};
  }
  std::vector<Output> launch(const EmbeddingRung& rung, const EmbeddingProblem& p, const Data& data,
                             const RunOptions&) const override {
    Buffers buffers(name());
    EmbeddingArgs args;
    args.table = buffers.in(data["table"]);
    args.ids = buffers.in(data["ids"]).as<const int32_t>("ids");
    args.y = buffers.out(y_of(p)).as<float>("y");
    embedding(buffers.stream(), rung, p, args);
    return buffers.collect();
  }
  std::vector<Tensor> twin_of(const EmbeddingProblem& p, const std::string&, const Data& data) const override {
    return {filled(y_of(p), reference::embedding_twin(p, data["ids"].as<int32_t>(), data["table"].bytes.data()))};
  }
  std::vector<reference::Bounded> oracle_of(const EmbeddingProblem& p, const std::string&, ExpMode,
                                            const Data& data) const override {
    return {reference::embedding_oracle(p, data["ids"].as<int32_t>(), data["table"].bytes.data())};
  }
  bool rounds_in(const EmbeddingProblem&) const override { return false; }
  std::string no_statistics_in(const EmbeddingProblem&) const override {
    return "the values are exact but for single roundings in q4_k";
  }
  std::vector<std::string> relations_of(const EmbeddingProblem& p) const override {
    return p.n_tokens == 1 ? std::vector<std::string>{} : std::vector<std::string>{"token_alone"};
  }
  Relation relate(const std::string& which, const EmbeddingProblem& p, const std::string&, const Data& data,
                  uint64_t seed) const override {
    const auto token = static_cast<int64_t>(reference::Random(seed).below(static_cast<uint64_t>(p.n_tokens)));
    EmbeddingProblem one = p;
    one.n_tokens = 1;
    return one_step(which, to_line(one), {data["table"], rows_of(data["ids"], token, 1)},
                    {0, token * p.width, 0, p.width});
  }
};

}  // namespace

const Operator& embedding_operator() {
  static const Embedding op;
  return op;
}

}  // namespace greta::verify
