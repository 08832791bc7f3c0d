// Decode attention as verification sees it.
#include "kernels/decode_attention/decode_attention.hpp"

#include "reference/decode_attention.hpp"
#include "verify/attention_inputs.hpp"
#include "verify/buffers.hpp"
#include "verify/catalogue.hpp"
#include "verify/draw.hpp"
#include "verify/matrix_calibration.hpp"
#include "verify/operator_of.hpp"
#include "verify/paged_kv.hpp"

namespace greta::verify {
namespace {

using P = DecodeAttentionProblem;
using reference::as_prefill;

constexpr CaseRow<P> kCases[] = {
    {"one_key", {.n_kv = 1, .n_heads = 1, .n_kv_heads = 1}, "the first token of a sequence", kQuick, kOnce},
    {"tiny", {.n_kv = 3, .n_heads = 2, .n_kv_heads = 2, .head_dim = 128}, "fewer keys than lanes", kQuick, kInvariant},
    {"tile_minus_one", {.n_kv = 63, .n_heads = 4, .n_kv_heads = 2}, "ragged tile", kQuick, kOnce},
    {"tile", {.n_kv = 64, .n_heads = 4, .n_kv_heads = 2}, "exactly one whole tile", kQuick, kOnce},
    {"tile_plus_one", {.n_kv = 65, .n_heads = 4, .n_kv_heads = 2}, "second tile holds one key", kQuick, kInvariant},
    {"split_minus_one", {.n_kv = 511, .n_heads = 4, .n_kv_heads = 2}, "one key short of a split", kQuick, kOnce},
    {"split",
     {.n_kv = 512, .n_heads = 4, .n_kv_heads = 2, .head_dim = 128},
     "exactly one split: no merge",
     kQuick,
     kOnce},
    {"split_plus_one", {.n_kv = 513, .n_heads = 4, .n_kv_heads = 2}, "second split holds one key", kQuick, kInvariant},
    {"two_splits", {.n_kv = 1024, .n_heads = 2, .n_kv_heads = 1}, "two whole splits", kQuick, kOnce},
    {"three_splits",
     {.n_kv = 1031, .n_heads = 4, .n_kv_heads = 4, .head_dim = 128},
     "two merges, prime n_kv, no GQA",
     kQuick,
     kOnce},
    {"gqa_llama3_8b",
     {.n_kv = 197, .n_heads = 32, .n_kv_heads = 8, .head_dim = 128},
     "group of 4, prime n_kv",
     kQuick,
     kOnce},
    {"gqa_llama3_70b",
     {.n_kv = 67, .n_heads = 64, .n_kv_heads = 8, .head_dim = 128},
     "group of 8, prime n_kv",
     kQuick,
     kOnce},
    {"interleaved_heads",
     {.n_kv = 71, .n_heads = 6, .n_kv_heads = 3, .head_map = 1},
     "head h reads KV head h mod n_kv_heads",
     kQuick,
     kOnce},
    {"ragged_batch",
     {.batch = 5, .n_kv = 600, .n_heads = 4, .n_kv_heads = 2, .kv_capacity = 640},
     "sequences with one split and with two, NaN beyond each",
     kQuick,
     kInvariant},
    {"mqa_heads_of_two_waves",
     {.n_kv = 130, .n_heads = 20, .n_kv_heads = 1},
     "more query heads of a KV head than a matrix tile has rows",
     kQuick,
     kOnce},
    {"pages_of_16",
     {.batch = 3, .n_kv = 600, .n_heads = 4, .n_kv_heads = 2, .kv_capacity = 640, .page_size = 16},
     "ragged sequences in shuffled pages, a first page that two of them share, NaN in all that no key uses",
     kQuick,
     kInvariant},
    {"pages_of_64",
     {.n_kv = 577, .n_heads = 8, .n_kv_heads = 2, .head_dim = 128, .page_size = 64, .n_pages = 13},
     "a last page with one key, more pages than the sequence needs",
     kQuick,
     kInvariant},
    {"pages_of_128",
     {.batch = 2, .n_kv = 1100, .n_heads = 4, .n_kv_heads = 1, .head_map = 1, .page_size = 128},
     "pages of two tiles, three splits",
     kQuick,
     kOnce},
    {"eight_splits",
     {.n_kv = 4085, .n_heads = 4, .n_kv_heads = 1, .head_dim = 128, .page_size = 16},
     "nearly all keys that the rung of few keys takes",
     kQuick,
     kOnce},
    {"long_batch",
     {.batch = 7, .n_kv = 2111, .n_heads = 32, .n_kv_heads = 8, .head_dim = 128, .kv_capacity = 2200},
     "a ragged batch of Llama-3-8B",
     kFull,
     kInvariant},
    {"long",
     {.batch = 2, .n_kv = 4099, .n_heads = 8, .n_kv_heads = 2, .head_dim = 128},
     "nine splits, prime n_kv",
     kQuick,
     kOnce},
};

class DecodeAttention final : public OperatorOf<P, DecodeAttentionRung> {
 public:
  std::string name() const override { return "decode_attention"; }
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
  std::span<const DecodeAttentionRung> ladder() const override { return decode_attention_ladder(); }
  Data integers(const P& p, uint64_t seed) const override {
    Data data = whole_attention(as_prefill(p), true, seed);
    return data.no_exact.empty() ? to_pages(p, std::move(data), false, seed + 5) : data;
  }
  Data random(const P& p, uint64_t seed) const override {
    Data data = random_attention(as_prefill(p), true, seed);
    // The second sequence begins like the first, so that they can share a page.
    if (p.paged() && p.batch > 1 && keys_of(as_prefill(p), data, 1) >= p.page_size)
      for (const char* which : {"k", "v"}) {
        std::vector<uint8_t>& bytes = data[which].bytes;
        std::copy_n(bytes.begin(), static_cast<int64_t>(bytes.size()) / p.batch / p.capacity() * p.page_size,
                    bytes.begin() + static_cast<int64_t>(bytes.size()) / p.batch);
      }
    return to_pages(p, std::move(data), true, seed + 5);
  }

  std::vector<Output> launch(const DecodeAttentionRung& rung, const P& p, const Data& data,
                             const RunOptions& options) const override {
    Buffers buffers(name());
    DecodeAttentionArgs args;
    args.q = buffers.in(data["q"]);
    args.k = buffers.in(data["k"]);
    args.v = buffers.in(data["v"]);
    args.o = buffers.out(attention_rows("o", as_prefill(p), true));
    if (is_ragged(data)) args.n_kv_of = buffers.in(data["n_kv_of"]).as<const int32_t>("n_kv_of");
    if (p.paged()) args.page_table = buffers.in(data["page_table"]).as<const int32_t>("page_table");
    args.workspace = buffers.scratch("workspace", DType::kF32, decode_attention_workspace(p)).as<float>("workspace");
    args.scale = scale_of(data);
    args.exp = options.exp;
    decode_attention(buffers.stream(), rung, p, args);
    return buffers.collect();
  }
  std::vector<Tensor> twin_of(const P& p, const std::string& arithmetic, const Data& data) const override {
    return {filled(attention_rows("o", as_prefill(p), true),
                   reference::decode_attention_twin(contiguous(p), arithmetic,
                                                    attention_values(from_pages(p, data)).inputs(), matrix_machine()))};
  }
  std::vector<reference::Bounded> oracle_of(const P& p, const std::string& arithmetic, ExpMode exp,
                                            const Data& data) const override {
    return {reference::decode_attention_oracle(contiguous(p), arithmetic, exp,
                                               attention_values(from_pages(p, data)).inputs())};
  }
  bool rounds_in(const P& p) const override { return p.n_kv > 1; }

  std::vector<std::string> relations_of(const P& p) const override {
    std::vector<std::string> names = p.batch > 1 ? std::vector<std::string>{"sequence_alone"}
                                                 : std::vector<std::string>{"prefill", "batch_position", "padding"};
    if (p.paged()) names.push_back("contiguous");
    return names;
  }
  /// The other computation has no pages, whatever this one has.
  Relation relate(const std::string& which, const P& paged, const std::string&, const Data& paged_data,
                  uint64_t seed) const override {
    const P p = contiguous(paged);
    const Data data = from_pages(paged, paged_data);
    if (which == "contiguous") return one_step(which, to_line(p), data.tensors, {0, 0, 0, p.q_elements()});
    reference::Random random(seed);
    const PrefillAttentionProblem prefill = as_prefill(p);
    const int64_t width = p.n_heads * p.head_dim;
    if (which == "prefill") {
      Tensor q = attention_rows("q", prefill, false);
      q.bytes = data["q"].bytes;
      Relation relation =
          one_step(which, to_line(prefill), {std::move(q), data["k"], data["v"], data["scale"]}, {0, 0, 0, width});
      relation.steps[0].other = &prefill_attention_operator();
      return relation;
    }
    P other = p;
    if (which == "batch_position") {
      Relation relation;
      relation.name = which;
      for (const int64_t batch : kBatchSizes) {
        const auto at = static_cast<int64_t>(random.below(static_cast<uint64_t>(batch)));
        other.batch = batch;
        Relation one = one_step(which, to_line(other), {}, {0, 0, at * width, width});
        one.steps[0].data = among_nan(prefill, data, true, batch, at);
        relation.steps.push_back(std::move(one.steps[0]));
      }
      return relation;
    }
    if (which == "padding") {
      other.kv_capacity = p.capacity() + kPaddingRows;
      Relation relation = one_step(which, to_line(other), {}, {0, 0, 0, width});
      relation.steps[0].data = with_more_capacity(as_prefill(other), data);
      return relation;
    }
    const auto b = static_cast<int64_t>(random.below(static_cast<uint64_t>(p.batch)));
    other.batch = 1, other.n_kv = keys_of(prefill, data, b), other.kv_capacity = p.capacity();
    Relation relation = one_step(which, to_line(other), {}, {0, b * width, 0, width});
    relation.steps[0].data = one_sequence(prefill, data, true, b);
    return relation;
  }
};

}  // namespace

const Operator& decode_attention_operator() {
  static const DecodeAttention op;
  return op;
}

}  // namespace greta::verify
