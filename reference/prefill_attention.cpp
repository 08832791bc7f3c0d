// The oracle of attention. The twins are prefill_attention_twin.cpp.
#include "reference/prefill_attention.hpp"

#include <Eigen/Core>

#include "reference/attention_parts.hpp"

namespace greta::reference {
namespace attention {

Arithmetic arithmetic_from_id(std::string_view id) {
  if (id == "two_pass_f32") return Arithmetic::kTwoPass;
  if (id == "online_f32") return Arithmetic::kOnline;
  if (id == "online_mma") return Arithmetic::kMma;
  throw_invalid("attention reference: no arithmetic '" + std::string(id) +
                "'; known: two_pass_f32, online_f32, online_mma");
}

std::vector<Sequence> sequences(const PrefillAttentionProblem& p, const AttentionInputs& in) {
  validate(p);
  std::vector<Sequence> out;
  for (int64_t b = 0; b < p.batch; ++b) {
    const auto i = static_cast<size_t>(b);
    const Sequence s{b, in.n_tokens_of.empty() ? p.n_tokens : in.n_tokens_of[i],
                     in.n_kv_of.empty() ? p.n_kv : in.n_kv_of[i]};
    if (s.n_tokens < 0 || s.n_tokens > p.n_tokens || s.n_kv > p.n_kv || s.n_kv < s.n_tokens)
      throw_invalid("attention reference: sequence " + std::to_string(b) + " has n_tokens=" +
                    std::to_string(s.n_tokens) + " n_kv=" + std::to_string(s.n_kv) + " in a problem of " + to_line(p));
    out.push_back(s);
  }
  return out;
}

}  // namespace attention

namespace {

using attention::Arithmetic;
using attention::Sequence;
using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr double kLog2e = 1.4426950408889634;

/// What the arithmetic contributes to the bound of a query that sees n keys.
struct Paths {
  double numerator, denominator, exps;
};

Paths paths_of(Arithmetic arithmetic, int64_t n) {
  if (arithmetic == Arithmetic::kTwoPass) return {static_cast<double>(n), static_cast<double>(n), 1.0};
  const int64_t splits = (n + kTwinSplit - 1) / kTwinSplit;
  const int64_t in_split = std::min<int64_t>(n, kTwinSplit);
  const int64_t tiles = (in_split + kTwinTile - 1) / kTwinTile;
  const double sum =
      arithmetic == Arithmetic::kMma ? matrix_coefficient((in_split + 15) / 16 * 16) : static_cast<double>(in_split);
  return {sum + static_cast<double>(tiles + splits + 1), static_cast<double>(6 + tiles + splits + 1),
          static_cast<double>(1 + (tiles - 1) + (splits > 1 ? splits : 0))};
}

/// Rows of one head as a matrix of doubles, by the function that gives a row's first element.
template <class At>
Matrix gather(std::span<const float> from, int64_t rows, int64_t width, At&& at) {
  Matrix out(rows, width);
  for (int64_t i = 0; i < rows; ++i)
    out.row(i) = Eigen::Map<const Eigen::RowVectorXf>(from.data() + at(i), width).cast<double>();
  return out;
}

class Oracle {
 public:
  Oracle(const PrefillAttentionProblem& p, Arithmetic arithmetic, ExpMode exp, const AttentionInputs& in)
      : p_(p), arithmetic_(arithmetic), exp_(exp), in_(in) {
    const double scale =
        in.scale != 0.0f ? static_cast<double>(in.scale) : 1.0 / std::sqrt(static_cast<double>(p.head_dim));
    scale_log2_ = scale * kLog2e;
    out_.value.assign(in.q.size(), 0.0);
    out_.bound.assign(in.q.size(), 0.0);
  }

  Bounded run() {
    for (const Sequence& s : attention::sequences(p_, in_))
      for (int64_t h = 0; h < p_.n_heads; ++h)
        if (s.n_tokens > 0) head(s, h);
    return std::move(out_);
  }

 private:
  void head(const Sequence& s, int64_t h) {
    const int64_t g = attention::kv_head(p_, h);
    const auto key = [&](int64_t j) { return attention::kv_row(p_, s.index, j, g); };
    const Matrix q =
        gather(in_.q, s.n_tokens, p_.head_dim, [&](int64_t t) { return attention::q_row(p_, s.index, t, h); });
    const Matrix k = gather(in_.k, s.n_kv, p_.head_dim, key);
    const Matrix v = gather(in_.v, s.n_kv, p_.head_dim, key);
    const Matrix x = scale_log2_ * (q * k.transpose());
    const Matrix sizes = scale_log2_ * (q.cwiseAbs() * k.cwiseAbs().transpose());

    // Row by row: weights p, and their errors in the numerator; both are multiplied by V at once below.
    Matrix weights = Matrix::Zero(s.n_tokens, s.n_kv), errors = weights;
    Eigen::VectorXd sum(s.n_tokens), sum_error(s.n_tokens);
    const bool mma = arithmetic_ == Arithmetic::kMma;
    const double dot = mma ? matrix_coefficient(p_.head_dim) + 2 : static_cast<double>(p_.head_dim) + 3;
    const double rounded_p = mma ? 1 + unit_roundoff(p_.dtype) : 1, tiny_p = mma ? tiny(p_.dtype) : 0;
    for (int64_t t = 0; t < s.n_tokens; ++t) {
      const int64_t n = s.visible(t);
      const Paths paths = paths_of(arithmetic_, n);
      const double m = x.row(t).head(n).maxCoeff();
      const Eigen::ArrayXd eps = gamma(dot) * sizes.row(t).head(n).transpose().array();
      const Eigen::ArrayXd below = m - x.row(t).head(n).transpose().array();
      const Eigen::ArrayXd d = eps + kUnitF32 * (below + 2 * eps.maxCoeff());
      const Eigen::ArrayXd weight = (-below * M_LN2).exp();
      const double exps = std::pow(1 + exp2_relative_error(exp_), paths.exps);
      const Eigen::ArrayXd factor = (d * M_LN2).exp() * exps;  // 1 + rho_j
      weights.row(t).head(n) = weight.matrix().transpose();
      errors.row(t).head(n) =
          (weight * (factor * (1 + gamma(paths.numerator)) * rounded_p - 1) + kExp2Absolute + tiny_p)
              .matrix()
              .transpose();
      sum[t] = weight.sum();
      sum_error[t] = (weight * (factor * (1 + gamma(paths.denominator)) - 1) + kExp2Absolute).sum();
    }
    const Matrix numerator = weights * v, numerator_error = errors * v.cwiseAbs();
    for (int64_t t = 0; t < s.n_tokens; ++t)
      for (int64_t c = 0; c < p_.head_dim; ++c) {
        const double o = numerator(t, c) / sum[t];
        const double left = std::max(sum[t] - sum_error[t], 0.0);  // 0: scores so large that nothing can be promised
        const double before = (numerator_error(t, c) + std::abs(o) * sum_error[t]) / left;
        const double error = before + kUnitF32 * (std::abs(o) + before) + static_cast<double>(p_.head_dim) * kTinyF32;
        const size_t i = attention::q_row(p_, s.index, t, h) + static_cast<size_t>(c);
        out_.value[i] = o;
        out_.bound[i] = error + output_rounding(p_.dtype, std::abs(o) + error);
      }
  }

  const PrefillAttentionProblem& p_;
  Arithmetic arithmetic_;
  ExpMode exp_;
  const AttentionInputs& in_;
  double scale_log2_ = 0;
  Bounded out_;
};

}  // namespace

float attention_scale_log2(float scale, int64_t head_dim) {
  if (scale == 0.0f) scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim)));
  return static_cast<float>(static_cast<double>(scale) * kLog2e);
}

std::vector<uint8_t> prefill_attention_written(const PrefillAttentionProblem& p, const AttentionInputs& in) {
  std::vector<uint8_t> out(static_cast<size_t>(p.q_elements()), 0);
  for (const Sequence& s : attention::sequences(p, in)) {
    const auto begin = out.begin() + static_cast<int64_t>(attention::q_row(p, s.index, 0, 0));
    std::fill(begin, begin + s.n_tokens * p.n_heads * p.head_dim, uint8_t{1});
  }
  return out;
}

Bounded prefill_attention_oracle(const PrefillAttentionProblem& p, std::string_view arithmetic, ExpMode exp,
                                 const AttentionInputs& in) {
  return Oracle(p, attention::arithmetic_from_id(arithmetic), exp, in).run();
}

}  // namespace greta::reference
