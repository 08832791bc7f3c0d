// The order-faithful twin of attention on matrix tiles, "online_mma" (kernels/prefill_attention/prefill_attention.hpp):
// tile by tile for all queries of a head at once; a query's operations and their order are its own.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/hip/dtype.hpp"
#include "kernels/tile/exp2_portable.hpp"
#include "kernels/tile/kv_layout.hpp"
#include "reference/attention_parts.hpp"

namespace greta::reference {
namespace {

using attention::Sequence;
using Bits = std::vector<uint16_t>;

constexpr float kNone = -std::numeric_limits<float>::infinity();
constexpr int kBlock = 16;
constexpr int kSplitTiles = kTwinSplit / kTwinTile;

uint16_t bits_of(DType dtype, float v) {
  return dtype == DType::kF16 ? from_f32<half_t>(v).bits : from_f32<bf16_t>(v).bits;
}

/// A query's state: of the split in progress and of those that are finished.
struct Row {
  float m = kNone, l[4] = {0, 0, 0, 0};
  float total_m = kNone, total_l = 0;
};

class MmaTwin {
 public:
  MmaTwin(const PrefillAttentionProblem& p, const AttentionInputs& in, MatrixMachine machine)
      : p_(p), in_(in), machine_(machine), scale_log2_(attention_scale_log2(in.scale, p.head_dim)), d_(p.head_dim) {}

  void head(const Sequence& s, int64_t h, std::vector<float>& out) {
    load(s, h);
    const auto rows_count = static_cast<size_t>(s.n_tokens);
    std::vector<Row> rows(rows_count);
    o_.assign(rows_count * static_cast<size_t>(d_), 0.0f);
    total_.assign(o_.size(), 0.0f);
    for (int64_t tile = 0; tile * kTwinTile < s.n_kv; ++tile) {
      // Queries that see a key of the tile: the last ones.
      const int64_t begin = tile * kTwinTile;
      const int64_t first = std::max<int64_t>(0, begin - (s.n_kv - s.n_tokens));
      const int64_t count = s.n_tokens - first;
      if (count <= 0) break;
      weights(s, begin, first, rows);
      std::vector<float> c(o_.begin() + first * d_, o_.end());
      matrix_multiply(machine_.model, p_.dtype, static_cast<int>(count), static_cast<int>(d_), kTwinTile,
                      p_bits_.data(), values_.data() + begin * d_, c.data(), c.data());
      std::copy(c.begin(), c.end(), o_.begin() + first * d_);
      for (int64_t t = first; t < s.n_tokens; ++t)
        if ((tile + 1) % kSplitTiles == 0 || begin + kTwinTile >= s.visible(t))
          merge(rows[static_cast<size_t>(t)], t, tile < kSplitTiles);
    }
    for (int64_t t = 0; t < s.n_tokens; ++t)
      for (int64_t c = 0; c < d_; ++c)
        out[attention::q_row(p_, s.index, t, h) + static_cast<size_t>(c)] =
            round_to(p_.dtype, total_[static_cast<size_t>(t * d_ + c)] / rows[static_cast<size_t>(t)].total_l);
  }

 private:
  /// Which key of a tile stands at depth k of the matrix tiles.
  int64_t key_at(int64_t k) const {
    return k / kBlock * kBlock + key_at_position(machine_.wave, static_cast<int>(k % kBlock));
  }

  /// Scores of the head, and its values in the order in which the tiles take them; zeros beyond n_kv.
  void load(const Sequence& s, int64_t h) {
    const int64_t g = attention::kv_head(p_, h), padded = (s.n_kv + kTwinTile - 1) / kTwinTile * kTwinTile;
    Bits q(static_cast<size_t>(s.n_tokens * d_)), k(static_cast<size_t>(d_ * s.n_kv));
    for (int64_t t = 0; t < s.n_tokens; ++t)
      for (int64_t c = 0; c < d_; ++c)
        q[static_cast<size_t>(t * d_ + c)] =
            bits_of(p_.dtype, in_.q[attention::q_row(p_, s.index, t, h) + static_cast<size_t>(c)]);
    values_.assign(static_cast<size_t>(padded * d_), 0);
    for (int64_t j = 0; j < s.n_kv; ++j)
      for (int64_t c = 0; c < d_; ++c)
        k[static_cast<size_t>(c * s.n_kv + j)] =
            bits_of(p_.dtype, in_.k[attention::kv_row(p_, s.index, j, g) + static_cast<size_t>(c)]);
    for (int64_t at = 0; at < padded; ++at) {
      const int64_t j = at / kTwinTile * kTwinTile + key_at(at % kTwinTile);
      for (int64_t c = 0; c < d_ && j < s.n_kv; ++c)
        values_[static_cast<size_t>(at * d_ + c)] =
            bits_of(p_.dtype, in_.v[attention::kv_row(p_, s.index, j, g) + static_cast<size_t>(c)]);
    }
    n_kv_ = s.n_kv;
    scores_.assign(static_cast<size_t>(s.n_tokens * s.n_kv), 0.0f);
    matrix_multiply(machine_.model, p_.dtype, static_cast<int>(s.n_tokens), static_cast<int>(s.n_kv),
                    static_cast<int>(d_), q.data(), k.data(), scores_.data(), scores_.data());
  }

  /// Softmax of one tile for queries from `first` on: p_bits_, l, m, and o multiplied by the rescale.
  void weights(const Sequence& s, int64_t begin, int64_t first, std::vector<Row>& rows) {
    p_bits_.assign(static_cast<size_t>((s.n_tokens - first) * kTwinTile), 0);
    for (int64_t t = first; t < s.n_tokens; ++t) {
      Row& row = rows[static_cast<size_t>(t)];
      const float* const x = scores_.data() + t * n_kv_ + begin;
      const int64_t n = std::min<int64_t>(kTwinTile, s.visible(t) - begin);
      float top = kNone;
      for (int64_t j = 0; j < n; ++j) top = std::fmax(top, x[j]);
      const float m = std::fmax(row.m, top * scale_log2_);
      const float a = row.m == kNone ? 1.0f : exp2_portable(row.m - m);
      float p[kTwinTile] = {};
      for (int64_t j = 0; j < n; ++j) p[j] = exp2_portable(std::fmaf(x[j], scale_log2_, -m));
      for (int g = 0; g < 4; ++g) {
        float u[4];
        for (int b = 0; b < 4; ++b) {
          const float* const four = p + kBlock * b + 4 * g;
          u[b] = (four[0] + four[1]) + (four[2] + four[3]);
        }
        row.l[g] = std::fmaf(row.l[g], a, (u[0] + u[1]) + (u[2] + u[3]));
      }
      row.m = m;
      for (int64_t c = 0; c < d_; ++c) {
        float& o = o_[static_cast<size_t>(t * d_ + c)];
        o = o * a;
      }
      for (int64_t k = 0; k < kTwinTile; ++k)
        p_bits_[static_cast<size_t>((t - first) * kTwinTile + k)] = bits_of(p_.dtype, p[key_at(k)]);
    }
  }

  /// The split of query t ends here.
  void merge(Row& row, int64_t t, bool first_split) {
    const float l = (row.l[0] + row.l[1]) + (row.l[2] + row.l[3]);
    float* const o = o_.data() + t * d_;
    float* const total = total_.data() + t * d_;
    if (first_split) {
      row.total_m = row.m, row.total_l = l;
      std::copy(o, o + d_, total);
    } else {
      const float m = std::fmax(row.total_m, row.m);
      const float a = exp2_portable(row.total_m - m), b = exp2_portable(row.m - m);
      const float scaled_l = l * b;
      row.total_l = std::fmaf(row.total_l, a, scaled_l);
      for (int64_t c = 0; c < d_; ++c) {
        const float scaled = o[c] * b;
        total[c] = std::fmaf(total[c], a, scaled);
      }
      row.total_m = m;
    }
    std::fill(o, o + d_, 0.0f);
    row.m = kNone;
    std::fill(std::begin(row.l), std::end(row.l), 0.0f);
  }

  const PrefillAttentionProblem& p_;
  const AttentionInputs& in_;
  MatrixMachine machine_;
  float scale_log2_;
  int64_t d_, n_kv_ = 0;
  Bits values_, p_bits_;
  std::vector<float> scores_, o_, total_;
};

}  // namespace

std::vector<float> attention::mma_twin(const PrefillAttentionProblem& p, const AttentionInputs& in,
                                       MatrixMachine machine) {
  std::vector<float> out(static_cast<size_t>(p.q_elements()), 0.0f);
  MmaTwin twin(p, in, machine);
  for (const Sequence& s : sequences(p, in))
    for (int64_t h = 0; h < p.n_heads && s.n_tokens > 0; ++h) twin.head(s, h, out);
  return out;
}

}  // namespace greta::reference
