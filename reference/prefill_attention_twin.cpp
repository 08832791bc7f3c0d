// The order-faithful twins of attention, one query at a time. Channels of O and keys of a score row are independent
// chains, so the inner loops run over them side by side; the order inside a chain is the arithmetic id's.
#include <limits>

#include "kernels/tile/exp2_portable.hpp"
#include "reference/attention_parts.hpp"

namespace greta::reference {
namespace {

using attention::Arithmetic;
using attention::Sequence;

constexpr float kNone = -std::numeric_limits<float>::infinity();

/// Keys and values of one KV head of one sequence.
struct Head {
  int64_t n_kv = 0, head_dim = 0;
  std::vector<float> keys_by_channel;  ///< [head_dim, n_kv]
  std::vector<float> values;           ///< [n_kv, head_dim]
};

Head load_head(const PrefillAttentionProblem& p, const AttentionInputs& in, const Sequence& s, int64_t g) {
  Head head{s.n_kv, p.head_dim, {}, {}};
  head.keys_by_channel.resize(static_cast<size_t>(s.n_kv * p.head_dim));
  for (int64_t j = 0; j < s.n_kv; ++j) {
    const size_t row = attention::kv_row(p, s.index, j, g);
    for (int64_t c = 0; c < p.head_dim; ++c)
      head.keys_by_channel[static_cast<size_t>(c * s.n_kv + j)] = in.k[row + static_cast<size_t>(c)];
    head.values.insert(head.values.end(), in.v.begin() + static_cast<int64_t>(row),
                       in.v.begin() + static_cast<int64_t>(row) + p.head_dim);
  }
  return head;
}

/// x_j for keys [0, n): one fma chain over channels ascending, times scale_log2.
std::vector<float> scores(const Head& head, const float* q, float scale_log2, int64_t n) {
  std::vector<float> x(static_cast<size_t>(n), 0.0f);
  for (int64_t c = 0; c < head.head_dim; ++c) {
    const float* k = head.keys_by_channel.data() + c * head.n_kv;
    for (int64_t j = 0; j < n; ++j) x[static_cast<size_t>(j)] = std::fmaf(q[c], k[j], x[static_cast<size_t>(j)]);
  }
  for (float& v : x) v = v * scale_log2;
  return x;
}

/// A softmax in progress: maximum, sum of weights, weighted values.
struct State {
  float m = kNone;
  float l = 0.0f;
  std::vector<float> o;

  void add(float p, const float* v) {
    for (size_t c = 0; c < o.size(); ++c) o[c] = std::fmaf(p, v[c], o[c]);
  }
};

State two_pass(const Head& head, const std::vector<float>& x) {
  State s{kNone, 0.0f, std::vector<float>(static_cast<size_t>(head.head_dim), 0.0f)};
  for (const float v : x) s.m = std::fmax(s.m, v);
  for (size_t j = 0; j < x.size(); ++j) {
    const float p = exp2_portable(x[j] - s.m);
    s.l = s.l + p;
    s.add(p, head.values.data() + static_cast<int64_t>(j) * head.head_dim);
  }
  return s;
}

/// The tiles of the split that starts at key `begin`.
State online_split(const Head& head, const std::vector<float>& x, int64_t begin) {
  State s{kNone, 0.0f, std::vector<float>(static_cast<size_t>(head.head_dim), 0.0f)};
  const int64_t end = std::min<int64_t>(begin + kTwinSplit, static_cast<int64_t>(x.size()));
  for (int64_t tile = begin; tile < end; tile += kTwinTile) {
    const int64_t n = std::min<int64_t>(kTwinTile, end - tile);
    float m = s.m;
    for (int64_t j = 0; j < n; ++j) m = std::fmax(m, x[static_cast<size_t>(tile + j)]);
    const float a = s.m == kNone ? 1.0f : exp2_portable(s.m - m);
    float p[kTwinTile] = {};
    for (int64_t j = 0; j < n; ++j) p[j] = exp2_portable(x[static_cast<size_t>(tile + j)] - m);
    float tree[kTwinTile];
    std::copy(p, p + kTwinTile, tree);
    s.l = std::fmaf(s.l, a, tree_sum(tree));
    for (float& o : s.o) o = o * a;
    for (int64_t j = 0; j < n; ++j) s.add(p[j], head.values.data() + (tile + j) * head.head_dim);
    s.m = m;
  }
  return s;
}

State online(const Head& head, const std::vector<float>& x) {
  State total = online_split(head, x, 0);
  for (int64_t begin = kTwinSplit; begin < static_cast<int64_t>(x.size()); begin += kTwinSplit) {
    const State next = online_split(head, x, begin);
    const float m = std::fmax(total.m, next.m);
    const float a = exp2_portable(total.m - m), b = exp2_portable(next.m - m);
    const float l = next.l * b;
    total.l = std::fmaf(total.l, a, l);
    for (size_t c = 0; c < total.o.size(); ++c) {
      const float o = next.o[c] * b;
      total.o[c] = std::fmaf(total.o[c], a, o);
    }
    total.m = m;
  }
  return total;
}

}  // namespace

std::vector<float> prefill_attention_twin(const PrefillAttentionProblem& p, std::string_view arithmetic,
                                          const AttentionInputs& in, MatrixMachine machine) {
  const Arithmetic id = attention::arithmetic_from_id(arithmetic);
  if (id == Arithmetic::kMma) return attention::mma_twin(p, in, machine);
  const float scale_log2 = attention_scale_log2(in.scale, p.head_dim);
  std::vector<float> out(static_cast<size_t>(p.q_elements()), 0.0f);
  for (const Sequence& s : attention::sequences(p, in))
    for (int64_t g = 0; g < p.n_kv_heads && s.n_tokens > 0; ++g) {
      const Head head = load_head(p, in, s, g);
      for (int64_t h = 0; h < p.n_heads; ++h) {
        if (attention::kv_head(p, h) != g) continue;
        for (int64_t t = 0; t < s.n_tokens; ++t) {
          const size_t row = attention::q_row(p, s.index, t, h);
          const auto x = scores(head, in.q.data() + row, scale_log2, s.visible(t));
          const State state = id == Arithmetic::kTwoPass ? two_pass(head, x) : online(head, x);
          for (size_t c = 0; c < state.o.size(); ++c) out[row + c] = round_to(p.dtype, state.o[c] / state.l);
        }
      }
    }
  return out;
}

}  // namespace greta::reference
