// Prefill attention as verification sees it.
#include "kernels/prefill_attention/prefill_attention.hpp"

#include "reference/decode_attention.hpp"
#include "verify/attention_inputs.hpp"
#include "verify/buffers.hpp"
#include "verify/catalogue.hpp"
#include "verify/draw.hpp"
#include "verify/matrix_calibration.hpp"
#include "verify/operator_of.hpp"

namespace greta::verify {
namespace {

using P = PrefillAttentionProblem;

constexpr CaseRow<P> kCases[] = {
    {"one_token", {.n_tokens = 1, .n_kv = 1, .n_heads = 1, .n_kv_heads = 1}, "smallest legal problem", kQuick, kOnce},
    {"tiny",
     {.n_tokens = 3, .n_kv = 3, .n_heads = 2, .n_kv_heads = 2, .head_dim = 128},
     "fewer keys than lanes",
     kQuick,
     kInvariant},
    {"tile_minus_one",
     {.n_tokens = 63, .n_kv = 63, .n_heads = 2, .n_kv_heads = 2},
     "ragged query and KV tails",
     kQuick,
     kOnce},
    {"tile", {.n_tokens = 64, .n_kv = 64, .n_heads = 2, .n_kv_heads = 1}, "one whole tile, group of 2", kQuick, kOnce},
    {"tile_plus_one",
     {.n_tokens = 65, .n_kv = 65, .n_heads = 2, .n_kv_heads = 2},
     "second tile holds one row",
     kQuick,
     kInvariant},
    {"gqa_2",
     {.n_tokens = 17, .n_kv = 17, .n_heads = 4, .n_kv_heads = 2},
     "group of 2: heads of the sample model",
     kQuick,
     kOnce},
    {"gqa_llama3_8b",
     {.n_tokens = 19, .n_kv = 19, .n_heads = 32, .n_kv_heads = 8, .head_dim = 128},
     "group of 4: head -> KV head mapping of Llama-3-8B",
     kQuick,
     kOnce},
    {"gqa_llama3_70b",
     {.n_tokens = 5, .n_kv = 9, .n_heads = 64, .n_kv_heads = 8, .head_dim = 128},
     "group of 8: mapping of Llama-3-70B",
     kQuick,
     kOnce},
    {"mqa", {.n_tokens = 7, .n_kv = 11, .n_heads = 8, .n_kv_heads = 1}, "one KV head for all", kQuick, kOnce},
    {"interleaved_heads",
     {.n_tokens = 9, .n_kv = 13, .n_heads = 6, .n_kv_heads = 3, .head_map = 1},
     "head h reads KV head h mod n_kv_heads",
     kQuick,
     kOnce},
    {"split_minus_one",
     {.n_tokens = 2, .n_kv = 511, .n_heads = 2, .n_kv_heads = 1},
     "one key short of a split",
     kQuick,
     kOnce},
    {"split",
     {.n_tokens = 2, .n_kv = 512, .n_heads = 2, .n_kv_heads = 1, .head_dim = 128},
     "exactly one split",
     kQuick,
     kOnce},
    {"split_plus_one",
     {.n_tokens = 5, .n_kv = 513, .n_heads = 2, .n_kv_heads = 1},
     "queries on both sides of the split's edge; second split holds one key",
     kQuick,
     kInvariant},
    {"three_splits",
     {.n_tokens = 3, .n_kv = 1031, .n_heads = 2, .n_kv_heads = 2},
     "two merges, prime n_kv",
     kQuick,
     kOnce},
    {"chunk",
     {.n_tokens = 16, .n_kv = 523, .n_heads = 4, .n_kv_heads = 2, .head_dim = 128},
     "queries start mid-cache; prime n_kv",
     kQuick,
     kInvariant},
    {"spare_capacity",
     {.n_tokens = 4, .n_kv = 70, .n_heads = 2, .n_kv_heads = 1, .kv_capacity = 100},
     "cache rows beyond n_kv hold NaN",
     kQuick,
     kOnce},
    {"ragged_batch",
     {.batch = 4, .n_tokens = 9, .n_kv = 75, .n_heads = 4, .n_kv_heads = 2, .kv_capacity = 80},
     "sequences of different lengths, NaN beyond each",
     kQuick,
     kInvariant},
    {"prime", {.n_tokens = 127, .n_kv = 131, .n_heads = 3, .n_kv_heads = 3}, "prime in both directions", kQuick, kOnce},
    {"whole_splits",
     {.n_tokens = 521, .n_kv = 521, .n_heads = 4, .n_kv_heads = 2},
     "a prefill from zero across a split's edge",
     kFull,
     kInvariant},
    {"llama3_8b",
     {.n_tokens = 128, .n_kv = 128, .n_heads = 32, .n_kv_heads = 8, .head_dim = 128},
     "a prefill of Llama-3-8B",
     kQuick,
     kOnce},
    {"llama3_70b",
     {.n_tokens = 67, .n_kv = 707, .n_heads = 64, .n_kv_heads = 8, .head_dim = 128},
     "a chunk of a Llama-3-70B prefill across a split's edge",
     kFull,
     kOnce},
    {"long",
     {.n_tokens = 16, .n_kv = 4099, .n_heads = 8, .n_kv_heads = 2, .head_dim = 128},
     "nine splits, prime n_kv",
     kQuick,
     kOnce},
};

class PrefillAttention final : public OperatorOf<P, PrefillAttentionRung> {
 public:
  std::string name() const override { return "prefill_attention"; }
  std::vector<Case> cases() const override {
    std::vector<Case> out;
    for (const auto& row : kCases)
      for (const DType dtype : {DType::kF16, DType::kBF16}) {
        P p = row.problem;
        p.dtype = dtype;
        out.push_back(make_case(row, p, fmt::format("dtype={}", dtype_name(dtype))));
      }
    return out;
  }

 protected:
  std::span<const PrefillAttentionRung> ladder() const override { return prefill_attention_ladder(); }
  Data integers(const P& p, uint64_t seed) const override { return whole_attention(p, false, seed); }
  Data random(const P& p, uint64_t seed) const override { return random_attention(p, false, seed); }

  std::vector<Output> launch(const PrefillAttentionRung& rung, const P& p, const Data& data,
                             const RunOptions& options) const override {
    Buffers buffers(name());
    PrefillAttentionArgs args;
    args.q = buffers.in(data["q"]);
    args.k = buffers.in(data["k"]);
    args.v = buffers.in(data["v"]);
    const AttentionValues values = attention_values(data);
    args.o = buffers.out(attention_rows("o", p, false), reference::prefill_attention_written(p, values.inputs()));
    if (is_ragged(data)) {
      args.n_tokens_of = buffers.in(data["n_tokens_of"]).as<const int32_t>("n_tokens_of");
      args.n_kv_of = buffers.in(data["n_kv_of"]).as<const int32_t>("n_kv_of");
    }
    args.scale = scale_of(data);
    args.exp = options.exp;
    if (const size_t floats = prefill_attention_workspace(p))
      args.workspace = buffers.scratch("workspace", DType::kF32, floats).as<float>("workspace");
    prefill_attention(buffers.stream(), rung, p, args);
    return buffers.collect();
  }
  std::vector<Tensor> twin_of(const P& p, const std::string& arithmetic, const Data& data) const override {
    return {
        filled(attention_rows("o", p, false),
               reference::prefill_attention_twin(p, arithmetic, attention_values(data).inputs(), matrix_machine()))};
  }
  std::vector<reference::Bounded> oracle_of(const P& p, const std::string& arithmetic, ExpMode exp,
                                            const Data& data) const override {
    return {reference::prefill_attention_oracle(p, arithmetic, exp, attention_values(data).inputs())};
  }
  /// A query that sees one key answers with its value, exactly.
  bool rounds_in(const P& p) const override { return p.n_kv > 1; }

  std::vector<std::string> relations_of(const P& p) const override {
    if (p.batch > 1) return {"sequence_alone"};
    std::vector<std::string> out = {"decode", "batch_position", "padding"};
    if (p.n_tokens > 1) out.insert(out.end(), {"query_alone", "chunks"});
    return out;
  }
  void plant_nan(const P& p, const std::string& arithmetic, Data& data, reference::Random& random) const override {
    OperatorOf::plant_nan(p, arithmetic, data, random);
    if (on_matrix_tiles(arithmetic)) keep_hidden_values_finite(p, data);
  }
  Relation relate(const std::string& which, const P& p, const std::string& arithmetic, const Data& data,
                  uint64_t seed) const override {
    reference::Random random(seed);
    if (which == "sequence_alone") return sequence_alone(p, data, random);
    if (which == "batch_position") return batch_position(p, data, random);
    if (which == "padding") {
      P padded = p;
      padded.kv_capacity = p.capacity() + kPaddingRows;
      Relation relation = one_step(which, to_line(padded), {}, {0, 0, 0, p.n_tokens * p.n_heads * p.head_dim});
      relation.steps[0].data = with_more_capacity(padded, data);
      return relation;
    }
    Relation relation;
    relation.name = which;
    if (which == "chunks") {
      for (int64_t begin = 0; begin < p.n_tokens;) {
        const int64_t left = p.n_tokens - begin;
        const int64_t n =
            1 + static_cast<int64_t>(random.below(static_cast<uint64_t>(std::min(left, (p.n_tokens + 2) / 3))));
        relation.steps.push_back(queries(p, data, begin, n, nullptr));
        begin += n;
      }
      return relation;
    }
    for (const int64_t t : interesting_queries(p, random))
      relation.steps.push_back(
          queries(p, data, t, 1, which == "decode" && decodes(arithmetic) ? &decode_attention_operator() : nullptr));
    return relation;
  }

 private:
  static bool decodes(const std::string& arithmetic) {
    const auto rungs = decode_attention_operator().rungs();
    return std::any_of(rungs.begin(), rungs.end(), [&](const RungInfo& r) { return r.arithmetic == arithmetic; });
  }
  /// First, last, one at random, and those on both sides of a tile's and a split's edge.
  static std::vector<int64_t> interesting_queries(const P& p, reference::Random& random) {
    std::vector<int64_t> out = {0, p.n_tokens - 1,
                                static_cast<int64_t>(random.below(static_cast<uint64_t>(p.n_tokens)))};
    for (const int64_t edge : {kAttentionTile, kAttentionSplit})
      for (const int64_t visible : {edge - 1, edge, edge + 1})
        if (const int64_t t = visible - 1 - (p.n_kv - p.n_tokens); t >= 0 && t < p.n_tokens) out.push_back(t);
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
  }

  /// Queries [first, first + n) as a call of their own, with the whole cache behind what they may see.
  static Relation::Step queries(const P& p, const Data& data, int64_t first, int64_t n, const Operator* decode) {
    P part = p;
    part.kv_capacity = p.capacity(), part.n_tokens = n, part.n_kv = p.n_kv - p.n_tokens + first + n;
    const int64_t width = p.n_heads * p.head_dim;
    Relation::Step step;
    step.other = decode;
    step.problem = decode ? to_line(DecodeAttentionProblem{.n_kv = part.n_kv,
                                                           .n_heads = p.n_heads,
                                                           .n_kv_heads = p.n_kv_heads,
                                                           .head_dim = p.head_dim,
                                                           .kv_capacity = part.kv_capacity,
                                                           .head_map = p.head_map,
                                                           .dtype = p.dtype})
                          : to_line(part);
    Tensor q = attention_rows("q", part, decode != nullptr);
    std::memcpy(q.bytes.data(), data["q"].bytes.data() + static_cast<size_t>(first * width * q.element_bytes()),
                q.bytes.size());
    step.data.tensors = {std::move(q), data["k"], data["v"], data["scale"]};
    step.pieces = {{0, first * width, 0, n * width}};
    return step;
  }
  static Relation batch_position(const P& p, const Data& data, reference::Random& random) {
    const int64_t size = p.n_tokens * p.n_heads * p.head_dim;
    Relation relation;
    relation.name = "batch_position";
    for (const int64_t batch : kBatchSizes) {
      P many = p;
      many.batch = batch;
      const auto at = static_cast<int64_t>(random.below(static_cast<uint64_t>(batch)));
      Relation one = one_step(relation.name, to_line(many), {}, {0, 0, at * size, size});
      one.steps[0].data = among_nan(p, data, false, batch, at);
      relation.steps.push_back(std::move(one.steps[0]));
    }
    return relation;
  }
  static Relation sequence_alone(const P& p, const Data& data, reference::Random& random) {
    auto b = static_cast<int64_t>(random.below(static_cast<uint64_t>(p.batch)));
    if (tokens_of(p, data, b) == 0) b = 0;
    P one = p;
    one.batch = 1, one.n_tokens = tokens_of(p, data, b), one.n_kv = keys_of(p, data, b), one.kv_capacity = p.capacity();
    const int64_t width = p.n_heads * p.head_dim;
    Relation relation =
        one_step("sequence_alone", to_line(one), {}, {0, b * p.n_tokens * width, 0, one.n_tokens * width});
    relation.steps[0].data = one_sequence(p, data, false, b);
    return relation;
  }
};

}  // namespace

const Operator& prefill_attention_operator() {
  static const PrefillAttention op;
  return op;
}

}  // namespace greta::verify
