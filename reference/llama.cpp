#include "reference/llama.hpp"

#include <fmt/format.h>
#include <Eigen/Core>

#include <cmath>

#include "kernels/hip/error.hpp"

namespace greta::reference {
namespace {

class Forward {
 public:
  Forward(const LlamaShape& shape, const WeightSource& weights, const LlamaRun& run)
      : shape_(shape), weights_(weights), run_(run) {}

  RowMatrix logits(std::span<const int32_t> ids) {
    RowMatrix x = embed(ids);
    store("embed_out", -1, x);
    for (int64_t layer = 0; layer < shape_.n_layers; ++layer) {
      const std::string blk = fmt::format("blk.{}.", layer);
      see("residual_pre_attn", layer, x);
      RowMatrix h = norm(x, blk + "attn_norm.weight");
      store("attn_in", layer, h);
      const RowMatrix o = attention(h, blk, layer);
      RowMatrix branch = multiply(o, blk + "attn_output.weight");
      store("wo_out", layer, branch);
      x += branch;
      see("residual_post_attn", layer, x);
      RowMatrix g = norm(x, blk + "ffn_norm.weight");
      store("ffn_norm_in", layer, g);
      RowMatrix down = multiply(swiglu(g, blk, layer), blk + "ffn_down.weight");
      store("mlp_out", layer, down);
      x += down;
      see("residual_post_mlp", layer, x);
    }
    const int64_t rows = x.rows() - run_.logits_from;
    RowMatrix last = norm(x.bottomRows(rows), "output_norm.weight");
    store("final_norm", -1, last);
    RowMatrix out = multiply(last, "output.weight");
    see("logits", -1, out);
    return out;
  }

 private:
  void see(std::string_view stage, int64_t layer, const RowMatrix& rows) {
    if (run_.observer) run_.observer(stage, layer, rows);
  }
  void store(std::string_view stage, int64_t layer, RowMatrix& rows) {
    if (run_.rounding) run_.rounding(stage, {}, rows);
    see(stage, layer, rows);
  }

  RowMatrix weight(const std::string& name, int64_t rows, int64_t cols) {
    RowMatrix w = weights_(name);
    if (w.rows() != rows || w.cols() != cols)
      throw_invalid(
          fmt::format("reference model: {} is [{}, {}], want [{}, {}]", name, w.rows(), w.cols(), rows, cols));
    return w;
  }

  RowMatrix embed(std::span<const int32_t> ids) {
    const RowMatrix table = weight("token_embd.weight", shape_.vocab, shape_.dim);
    RowMatrix x(static_cast<int64_t>(ids.size()), shape_.dim);
    for (size_t t = 0; t < ids.size(); ++t) {
      if (ids[t] < 0 || ids[t] >= shape_.vocab)
        throw_invalid(
            fmt::format("token {} of the input is {}, the vocabulary has ids 0..{}", t, ids[t], shape_.vocab - 1));
      x.row(static_cast<int64_t>(t)) = table.row(ids[t]);
    }
    return x;
  }

  RowMatrix norm(const RowMatrix& x, const std::string& name) {
    const RowMatrix w = weight(name, 1, shape_.dim);
    RowMatrix y = x;
    for (int64_t i = 0; i < x.rows(); ++i) {
      const double mean_square = x.row(i).squaredNorm() / static_cast<double>(x.cols());
      y.row(i) = (x.row(i) / std::sqrt(mean_square + shape_.rms_eps)).cwiseProduct(w.row(0));
    }
    return y;
  }

  RowMatrix multiply(const RowMatrix& x, const std::string& name) {
    const RowMatrix w = weights_(name);
    if (w.cols() != x.cols())
      throw_invalid(
          fmt::format("reference model: {} has rows of {} values, its input has {}", name, w.cols(), x.cols()));
    if (!run_.rounding) return x * w.transpose();
    RowMatrix rounded = x;
    run_.rounding({}, name, rounded);
    return rounded * w.transpose();
  }

  void rotate(RowMatrix& x, int64_t heads) const {
    const int64_t d = shape_.head_dim;
    for (int64_t t = 0; t < x.rows(); ++t)
      for (int64_t i = 0; i < d / 2; ++i) {
        const double angle = static_cast<double>(t) * shape_.rope_frequencies[static_cast<size_t>(i)];
        const double c = std::cos(angle), s = std::sin(angle);
        for (int64_t h = 0; h < heads; ++h) {
          double& a = x(t, h * d + 2 * i);
          double& b = x(t, h * d + 2 * i + 1);
          const double rotated = a * c - b * s;
          b = a * s + b * c;
          a = rotated;
        }
      }
  }

  RowMatrix attention(const RowMatrix& h, const std::string& blk, int64_t layer) {
    RowMatrix q = multiply(h, blk + "attn_q.weight");
    RowMatrix k = multiply(h, blk + "attn_k.weight");
    RowMatrix v = multiply(h, blk + "attn_v.weight");
    store("q_pre_rope", layer, q);
    store("k_pre_rope", layer, k);
    store("v", layer, v);
    rotate(q, shape_.n_heads);
    rotate(k, shape_.n_kv_heads);
    store("q_post_rope", layer, q);
    store("k_post_rope", layer, k);

    const int64_t n = h.rows(), d = shape_.head_dim, group = shape_.n_heads / shape_.n_kv_heads;
    const double scale = 1.0 / std::sqrt(static_cast<double>(d));
    RowMatrix o(n, shape_.n_heads * d);
    for (int64_t head = 0; head < shape_.n_heads; ++head) {
      const int64_t g = head / group;
      const RowMatrix scores = scale * q.middleCols(head * d, d) * k.middleCols(g * d, d).transpose();
      RowMatrix p = RowMatrix::Zero(n, n);
      for (int64_t t = 0; t < n; ++t) {
        const auto visible = scores.row(t).head(t + 1).array();
        p.row(t).head(t + 1) = (visible - visible.maxCoeff()).exp().matrix();
        p.row(t) /= p.row(t).sum();
      }
      o.middleCols(head * d, d).noalias() = p * v.middleCols(g * d, d);
    }
    store("attn_out", layer, o);
    return o;
  }

  RowMatrix swiglu(const RowMatrix& g, const std::string& blk, int64_t layer) {
    RowMatrix gate = multiply(g, blk + "ffn_gate.weight");
    RowMatrix up = multiply(g, blk + "ffn_up.weight");
    store("gate", layer, gate);
    store("up", layer, up);
    RowMatrix hidden = (gate.array() / (1.0 + (-gate.array()).exp()) * up.array()).matrix();
    store("gate_up", layer, hidden);
    return hidden;
  }

  const LlamaShape& shape_;
  const WeightSource& weights_;
  const LlamaRun& run_;
};

}  // namespace

RowMatrix llama_logits(const LlamaShape& shape, const WeightSource& weights, std::span<const int32_t> ids,
                       const LlamaRun& run) {
  if (ids.empty()) throw_invalid("reference model: no tokens");
  if (run.logits_from < 0 || run.logits_from >= static_cast<int64_t>(ids.size()))
    throw_invalid(fmt::format("reference model: logits from row {} of {}", run.logits_from, ids.size()));
  if (static_cast<int64_t>(shape.rope_frequencies.size()) * 2 != shape.head_dim)
    throw_invalid(fmt::format("reference model: {} RoPE frequencies for head_dim {}", shape.rope_frequencies.size(),
                              shape.head_dim));
  return Forward(shape, weights, run).logits(ids);
}

}  // namespace greta::reference
