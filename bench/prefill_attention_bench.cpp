// Prefill attention, causal, 32 query and 8 KV heads: Llama-3-8B's heads of 128 in both 16-bit types and heads of 64,
// from 1024 tokens to 32768; a chunk of 512 queries behind a cache of 16k; and the sample model for the host.
//
// FLOP count unmasked pairs. Rungs on matrix tiles are judged by the rate of matrix tiles, the others by that of f32.
// v1 does not run from 4096 tokens on: one launch would take seconds. The variant v4_free stands outside the ladder: v4
// without split merges, the running softmax kept from the first key to the last. Its bits are not decode's; what it
// gains is what exactness costs v4.
#include "kernels/prefill_attention/prefill_attention.hpp"

#include <algorithm>

#include "bench/catalogue.hpp"
#include "bench/workload.hpp"
#include "reference/prefill_attention.hpp"
#include "verify/attention_inputs.hpp"
#include "verify/matrix_calibration.hpp"

namespace greta::bench {
namespace {

using verify::Tensor;
using Problem = PrefillAttentionProblem;

constexpr Problem llama(int64_t n_tokens, int64_t n_kv, int64_t head_dim, DType dtype) {
  return {.n_tokens = n_tokens, .n_kv = n_kv, .n_heads = 32, .n_kv_heads = 8, .head_dim = head_dim, .dtype = dtype};
}

constexpr BenchRow<Problem> kRows[] = {
    {"sample_llama/256", {.n_tokens = 256, .n_kv = 256, .n_heads = 4, .n_kv_heads = 2, .head_dim = 64}, true},
    {"llama3_8b_bf16/1024", llama(1024, 1024, 128, DType::kBF16)},
    {"llama3_8b_bf16/4096", llama(4096, 4096, 128, DType::kBF16)},
    {"llama3_8b_bf16/8192", llama(8192, 8192, 128, DType::kBF16)},
    {"llama3_8b_bf16/16384", llama(16384, 16384, 128, DType::kBF16)},
    {"llama3_8b_bf16/32768", llama(32768, 32768, 128, DType::kBF16)},
    {"llama3_8b_bf16/512_of_16384", llama(512, 16384, 128, DType::kBF16)},
    {"llama3_8b_f16/4096", llama(4096, 4096, 128, DType::kF16)},
    {"llama3_8b_f16/8192", llama(8192, 8192, 128, DType::kF16)},
    {"head_64_bf16/8192", llama(8192, 8192, 64, DType::kBF16)},
    {"head_64_f16/8192", llama(8192, 8192, 64, DType::kF16)},
};
/// Pairs of a launch beyond which v1, a thread a query, would take seconds.
constexpr double kMostPairsOfV1 = 1e8;

/// Normal values, the same million over and over.
Tensor filled_normal(Tensor tensor, uint64_t seed) {
  constexpr int64_t kDrawn = 1000003;  // prime: rows do not repeat
  Tensor drawn(tensor.name, tensor.dtype, {{"", std::min(kDrawn, tensor.count())}});
  drawn = verify::normal(std::move(drawn), 1.0f, seed);
  for (size_t at = 0; at < tensor.bytes.size(); at += drawn.bytes.size())
    std::copy_n(drawn.bytes.begin(), std::min(drawn.bytes.size(), tensor.bytes.size() - at),
                tensor.bytes.begin() + static_cast<int64_t>(at));
  return tensor;
}

class PrefillWorkload final : public RotatedWorkload {
 public:
  PrefillWorkload(const PrefillAttentionRung& rung, const Problem& p, const Options& options)
      : RotatedWorkload(p.bytes()),
        rung_(rung),
        p_(p),
        exp_(options.exp),
        q_host_(filled_normal(verify::attention_rows("q", p, false), options.seed)),
        k_host_(filled_normal(verify::attention_cache("k", p), options.seed + 1)),
        v_host_(filled_normal(verify::attention_cache("v", p), options.seed + 2)),
        q_(input(q_host_)),
        k_(input(k_host_)),
        v_(input(v_host_)),
        o_(output(verify::attention_rows("o", p, false))),
        workspace_("bench.workspace", prefill_attention_workspace(p)) {}

  void launch(hip::Stream& stream, int64_t slot) override {
    PrefillAttentionArgs args;
    args.q = q_.view(slot), args.k = k_.view(slot), args.v = v_.view(slot), args.o = o_.view(slot);
    args.exp = exp_, args.workspace = workspace_.view();
    prefill_attention(stream, rung_, p_, args);
  }

  /// Some rows, each alone with its keys, against the twin (portable exp2) or the oracle's bound.
  std::string check(hip::Stream& stream, std::span<const int64_t> launches) override {
    const auto slots = sampled_slots(launches, 2);
    const int64_t d = p_.head_dim;
    for (const int64_t row : sampled_rows(p_.n_tokens * p_.n_heads, 4, 1)) {
      const int64_t token = row / p_.n_heads, kv_head = row % p_.n_heads / p_.group();
      Problem one = p_;
      one.n_tokens = 1, one.n_kv = p_.n_kv - p_.n_tokens + token + 1, one.n_heads = one.n_kv_heads = 1;
      const Tensor got = o_.download(stream, slots.back(), rows_tensor("o", p_.dtype, 1, d), row * d);
      const std::vector<float> q = part(q_host_, row * d, d), k = keys(k_host_, one.n_kv, kv_head),
                               v = keys(v_host_, one.n_kv, kv_head);
      const reference::AttentionInputs in{.q = q, .k = k, .v = v};
      // The variant without splits has no twin, the hardware's exp2 has bits of its own: there the bound decides, but
      // for a query of one key, whose answer is that key's value.
      const bool twin = exp_ == ExpMode::kPortable && std::string_view(rung_.arithmetic) != kPrefillFree.arithmetic;
      const bool bits = twin || one.n_kv == 1;
      const std::string wrong =
          bits ? differs(got, reference::prefill_attention_twin(one, bound_of(rung_.arithmetic), in,
                                                                verify::matrix_machine()))
               : outside(got, reference::prefill_attention_oracle(one, bound_of(rung_.arithmetic), exp_, in));
      if (!wrong.empty()) return "row " + std::to_string(row) + ": " + wrong;
    }
    return slots_differ(stream, o_, verify::attention_rows("o", p_, false), slots);
  }

 private:
  static std::string_view bound_of(std::string_view arithmetic) {
    return arithmetic == kPrefillFree.arithmetic ? "online_mma" : arithmetic;
  }
  static std::vector<float> part(const Tensor& from, int64_t first, int64_t count) {
    std::vector<float> values;
    for (int64_t i = first; i < first + count; ++i) values.push_back(static_cast<float>(from.number(i)));
    return values;
  }
  /// Rows [0, n) of one KV head of the only sequence.
  std::vector<float> keys(const Tensor& cache, int64_t n, int64_t kv_head) const {
    std::vector<float> values;
    for (int64_t j = 0; j < n; ++j)
      for (int64_t c = 0; c < p_.head_dim; ++c)
        values.push_back(static_cast<float>(cache.number((j * p_.n_kv_heads + kv_head) * p_.head_dim + c)));
    return values;
  }

  const PrefillAttentionRung& rung_;
  Problem p_;
  ExpMode exp_;
  Tensor q_host_, k_host_, v_host_;
  RotatedTensor &q_, &k_, &v_, &o_;
  hip::DeviceBuffer<float> workspace_;  // one for all slots: a launch is done with it when the next begins
};

}  // namespace

void add_prefill_attention(std::vector<BenchCase>& to) {
  const auto make = [](const PrefillAttentionRung& rung, const Problem& p, const Options& options) {
    return std::make_unique<PrefillWorkload>(rung, p, options);
  };
  for (const auto& row : kRows) {
    const size_t first = to.size();
    auto ladder = prefill_attention_ladder();
    if (row.problem.pairs() > kMostPairsOfV1) ladder = ladder.subspan(1);
    add_rungs(to, "prefill_attention", ladder, row, Compute::kF32, make);
    add_rungs(to, "prefill_attention", std::span(&kPrefillFree, 1), row, Compute::kMatrix, make);
    for (size_t i = first; i < to.size(); ++i) {
      if (to[i].arithmetic == "online_mma") to[i].compute = Compute::kMatrix;
      to[i].first_rung = i == first;
    }
  }
}

}  // namespace greta::bench
