#include "runners/gates/recompute.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "kernels/quant_matmul/quant_matmul.hpp"
#include "reference/embedding.hpp"
#include "reference/prefill_attention.hpp"
#include "reference/quant_matmul.hpp"
#include "reference/residual_add.hpp"
#include "reference/rms_norm.hpp"
#include "reference/rope.hpp"
#include "reference/swiglu.hpp"
#include "verify/attention_inputs.hpp"
#include "verify/matrix_calibration.hpp"

namespace greta::runners {
namespace {

using model::PointKey;
using reference::Bounded;

int stage(std::string_view name) { return model::stage_index(name); }
std::string_view name_of(const PointKey& key) { return model::stage_table()[static_cast<size_t>(key.stage)].name; }

/// What the stage should hold: oracle, and twin where there is one.
struct Expected {
  Bounded oracle;
  std::vector<float> twin;
};

std::vector<float> floats(const RawPoint& p) { return {p.values.begin(), p.values.end()}; }

Expected copy_of(const RawPoint& p) { return {{p.values, std::vector<double>(p.values.size(), 0.0)}, floats(p)}; }

class Stage {
 public:
  Stage(const RecomputeContext& context, const PointKey& key, const RawLookup& lookup)
      : c_(context), m_(*context.config), key_(key), lookup_(lookup) {}

  Expected expected(DType type) {
    const std::string_view name = name_of(key_);
    const std::string blk = fmt::format("blk.{}.", key_.layer);
    if (name == "embed_out") return embedding();
    if (name == "residual_pre_attn" || name == "k_cache" || name == "v_cache") return copy_of(input(0));
    if (name == "attn_in") return norm(blk + "attn_norm.weight", type);
    if (name == "ffn_norm_in") return norm(blk + "ffn_norm.weight", type);
    if (name == "final_norm") return norm("output_norm.weight", type);
    if (name == "q_pre_rope") return product(input(0), blk + "attn_q.weight", type);
    if (name == "k_pre_rope") return product(input(0), blk + "attn_k.weight", type);
    if (name == "v") return product(input(0), blk + "attn_v.weight", type);
    if (name == "wo_out") return product(input(0), blk + "attn_output.weight", type);
    if (name == "mlp_out") return product(input(0), blk + "ffn_down.weight", type);
    if (name == "logits") return product(input(0), "output.weight", type);
    if (name == "q_post_rope") return rotated(m_.n_heads, type);
    if (name == "k_post_rope") return rotated(m_.n_kv_heads, type);
    if (name == "attn_out") return attention(type);
    if (name == "gate_up") return hidden(blk, type);
    if (name == "residual_post_attn" || name == "residual_post_mlp") return sum();
    throw_invalid(fmt::format("{} is not computed by a kernel", name));
  }

 private:
  RawPoint input(size_t i) const { return lookup_(inputs_of(key_, m_.n_layers).at(i)); }

  const model::GgufTensor& tensor(const std::string& name) const {
    const bool tied = m_.tied_output && name == "output.weight";
    const model::GgufTensor* t = c_.file->find_tensor(tied ? "token_embd.weight" : name);
    if (!t) c_.file->fail(fmt::format("tensor {} is missing", name));
    return *t;
  }
  std::span<const float> norm_weight(const std::string& name) const {
    const model::GgufTensor& t = tensor(name);
    weight_.resize(static_cast<size_t>(m_.dim));
    std::memcpy(weight_.data(), t.data.data(), weight_.size() * sizeof(float));
    return weight_;
  }

  Expected embedding() const {
    const model::GgufTensor& table = tensor("token_embd.weight");
    EmbeddingProblem p;
    p.n_tokens = 1, p.n_vocab = m_.vocab_size, p.width = m_.dim, p.weights = table.type;
    const auto ids = c_.ids.subspan(static_cast<size_t>(key_.position), 1);
    return {reference::embedding_oracle(p, ids, table.data.data()),
            reference::embedding_twin(p, ids, table.data.data())};
  }

  Expected norm(const std::string& weight, DType type) const {
    RmsNormProblem p;
    p.n_rows = 1, p.width = m_.dim, p.eps = static_cast<float>(m_.rms_eps), p.y = type;
    const std::vector<float> x = floats(input(0));
    const auto w = norm_weight(weight);
    return {reference::rms_norm_oracle(p, x, w), reference::rms_norm_twin(p, x, w)};
  }

  Expected product(const RawPoint& x, const std::string& weight, DType type) const {
    const model::GgufTensor& w = tensor(weight);
    QuantMatmulProblem p;
    p.m = 1, p.n_out = w.n_rows(), p.n_in = w.row_length(), p.weights = w.type, p.x = x.dtype, p.y = type;
    const std::vector<float> in = floats(x);
    // What the engine runs when no rung is named. A named rung of the other arithmetic of float weights is held to the
    // bound of this one, which is the wider.
    const std::string_view arithmetic = quant_matmul_default_rung(p).arithmetic;
    return {reference::quant_matmul_oracle(p, w.data.data(), in, arithmetic),
            reference::quant_matmul_twin(p, w.data.data(), in, arithmetic, verify::matrix_machine())};
  }

  Expected rotated(int64_t heads, DType type) const {
    RopeProblem p;
    p.n_tokens = 1, p.n_heads = heads, p.head_dim = m_.head_dim, p.n_positions = key_.position + 1, p.dtype = type;
    const std::vector<float> x = floats(input(0)), table = reference::rope_table(m_.rope_angles(), p.n_positions);
    const int32_t at[] = {static_cast<int32_t>(key_.position)};
    return {reference::rope_oracle(p, x, at, table), reference::rope_twin(p, x, at, table)};
  }

  Expected attention(DType type) const {
    PrefillAttentionProblem p;
    p.batch = 1, p.n_tokens = 1, p.n_kv = key_.position + 1, p.n_heads = m_.n_heads, p.n_kv_heads = m_.n_kv_heads;
    p.head_dim = m_.head_dim, p.dtype = type;
    const std::vector<float> q = floats(input(0));
    std::vector<float> k, v;
    for (int64_t j = 0; j <= key_.position; ++j) {
      const std::vector<float> row = floats(lookup_({j, key_.layer, stage("k_cache")}));
      const std::vector<float> value = floats(lookup_({j, key_.layer, stage("v_cache")}));
      k.insert(k.end(), row.begin(), row.end()), v.insert(v.end(), value.begin(), value.end());
    }
    const reference::AttentionInputs in{.q = q, .k = k, .v = v};
    Expected e{reference::prefill_attention_oracle(p, c_.arithmetic, c_.exp, in), {}};
    // The bits of matrix tiles are those of the device's machine: known on the host, where the model is the machine.
    const bool known = c_.arithmetic != "online_mma" || hip::platform_name() == "host";
    if (c_.exp == ExpMode::kPortable && known)
      e.twin = reference::prefill_attention_twin(p, c_.arithmetic, in, verify::matrix_machine());
    return e;
  }

  /// silu(gate) * up: the errors that the two products may have go through the formula. |silu'| <= 1.1.
  Expected hidden(const std::string& blk, DType type) const {
    const RawPoint x = input(0);
    const Expected gate = product(x, blk + "ffn_gate.weight", type), up = product(x, blk + "ffn_up.weight", type);
    SwigluProblem p;
    p.n_rows = 1, p.width = m_.ffn_dim, p.dtype = type;
    const auto narrowed = [](const Bounded& b) { return std::vector<float>(b.value.begin(), b.value.end()); };
    Expected e{reference::swiglu_oracle(p, c_.exp, narrowed(gate.oracle), narrowed(up.oracle)), {}};
    for (size_t i = 0; i < e.oracle.value.size(); ++i) {
      const double g = gate.oracle.value[i], u = up.oracle.value[i];
      const double narrowing = 0x1p-24, silu = std::abs(g / (1 + std::exp(-g)));
      const double dg = gate.oracle.bound[i] + narrowing * std::abs(g),
                   du = up.oracle.bound[i] + narrowing * std::abs(u);
      // The rounding of the result is in the oracle's bound for the exact result; it grows by at most the same share.
      e.oracle.bound[i] += (1 + 0x1p-7) * (1.1 * dg * (std::abs(u) + du) + silu * du);
    }
    if (c_.exp == ExpMode::kPortable) e.twin = reference::swiglu_twin(p, gate.twin, up.twin);
    return e;
  }

  Expected sum() const {
    ResidualAddProblem p;
    p.n_rows = 1, p.width = m_.dim;
    const std::vector<float> x = floats(input(0)), y = floats(input(1));
    return {reference::residual_add_oracle(p, x, y), reference::residual_add_twin(p, x, y)};
  }

  const RecomputeContext& c_;
  const model::LlamaConfig& m_;
  PointKey key_;
  const RawLookup& lookup_;
  mutable std::vector<float> weight_;
};

}  // namespace

std::vector<PointKey> inputs_of(const PointKey& key, int64_t n_layers) {
  const std::string_view name = name_of(key);
  const auto here = [&](std::string_view of) { return PointKey{key.position, key.layer, stage(of)}; };
  // What the layer finds in the residual stream.
  const PointKey stream = key.layer > 0 ? PointKey{key.position, key.layer - 1, stage("residual_post_mlp")}
                                        : PointKey{key.position, -1, stage("embed_out")};
  static const std::map<std::string_view, std::string_view> kOne = {
      {"attn_in", "residual_pre_attn"}, {"q_pre_rope", "attn_in"},
      {"k_pre_rope", "attn_in"},        {"v", "attn_in"},
      {"q_post_rope", "q_pre_rope"},    {"k_post_rope", "k_pre_rope"},
      {"k_cache", "k_post_rope"},       {"v_cache", "v"},
      {"wo_out", "attn_out"},           {"ffn_norm_in", "residual_post_attn"},
      {"gate_up", "ffn_norm_in"},       {"mlp_out", "gate_up"}};
  if (name == "embed_out") return {};
  if (name == "residual_pre_attn") return {stream};
  if (name == "residual_post_attn") return {stream, here("wo_out")};
  if (name == "residual_post_mlp") return {here("residual_post_attn"), here("mlp_out")};
  if (name == "attn_out" || name == "softmax_stats") return {here("q_post_rope"), here("k_cache"), here("v_cache")};
  if (name == "final_norm") return {{key.position, n_layers - 1, stage("residual_post_mlp")}};
  if (name == "logits") return {here("final_norm")};
  if (const auto it = kOne.find(name); it != kOne.end()) return {here(it->second)};
  return {};
}

bool reads_cache_row(const PointKey& key, const PointKey& of) {
  return (name_of(key) == "attn_out" || name_of(key) == "softmax_stats") && of.layer == key.layer &&
         of.position <= key.position && (name_of(of) == "k_cache" || name_of(of) == "v_cache");
}

Recomputed recompute(const RecomputeContext& context, const PointKey& key, const RawLookup& lookup) {
  Recomputed r;
  try {
    const RawPoint got = lookup(key);
    if (got.dtype == DType::kF64) {
      r.why_not = "the reference is what stages are recomputed by";
      return r;
    }
    const Expected want = Stage(context, key, lookup).expected(got.dtype);
    if (want.oracle.value.size() != got.values.size())
      throw_invalid(fmt::format("{} holds {} values, its inputs give {}", key.text(), got.values.size(),
                                want.oracle.value.size()));
    r.done = true;
    for (size_t i = 0; i < got.values.size(); ++i) {
      const double error = std::abs(got.values[i] - want.oracle.value[i]);
      double ratio = error == 0 ? 0 : error / want.oracle.bound[i];
      if (std::isnan(ratio)) ratio = std::numeric_limits<double>::infinity();
      if (i == 0 || ratio > r.worst_ratio)
        r.worst_ratio = ratio, r.worst_element = static_cast<int64_t>(i), r.got = got.values[i],
        r.value = want.oracle.value[i], r.bound = want.oracle.bound[i];
    }
    r.twin = !want.twin.empty();
    for (size_t i = 0; i < want.twin.size(); ++i)
      r.bits_differ += static_cast<double>(want.twin[i]) != got.values[i];  // NaN differs; +0 equals -0
  } catch (const Error& error) {
    r.why_not = error.what();
  }
  return r;
}

}  // namespace greta::runners
