// Every rung of prefill attention on small problems: near a plain double loop; the same bits on both waves, in every
// order, alone, in chunks and in a batch; blind to what lies beyond its keys; refusals.
#include "kernels/prefill_attention/prefill_attention.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "kernels/tile/attention_test_data.hpp"

namespace greta {
namespace {

using namespace attention_test;
using Order = hip::ExecConfig::Order;
using Poison = hip::ExecConfig::Poison;

struct Case {
  const char* name;
  int64_t batch, n_tokens, n_kv, n_heads, n_kv_heads, head_dim, head_map;
  DType dtype;
};
constexpr Case kCases[] = {
    // name          batch  n_tokens  n_kv heads kv  d  map  why this row exists
    {"one_token", 1, 1, 1, 1, 1, 64, 0, DType::kF16},          // smallest legal problem
    {"one_tile", 1, 64, 64, 1, 1, 128, 0, DType::kBF16},       // whole tile, each of its masks
    {"tile_plus_one", 1, 5, 65, 2, 2, 64, 0, DType::kF16},     // a tile with one key
    {"gqa_grouped", 1, 7, 13, 8, 2, 128, 0, DType::kF16},      // head -> kv_head by group
    {"gqa_interleaved", 1, 7, 13, 8, 2, 64, 1, DType::kBF16},  // head -> kv_head by remainder
    {"mqa", 1, 3, 67, 8, 1, 64, 0, DType::kF16},               // one KV head for all
    {"batch", 3, 4, 70, 4, 2, 64, 0, DType::kF16},             // several sequences
    {"split_edge", 1, 3, 513, 2, 1, 64, 0, DType::kF16},       // rows with 511, 512 and 513 keys: one split and two
    {"three_splits", 1, 2, 1087, 1, 1, 128, 0, DType::kBF16},  // prime; two merges
};

PrefillAttentionProblem problem_of(const Case& c) {
  PrefillAttentionProblem p;
  p.batch = c.batch, p.n_tokens = c.n_tokens, p.n_kv = c.n_kv, p.n_heads = c.n_heads, p.n_kv_heads = c.n_kv_heads;
  p.head_dim = c.head_dim, p.head_map = c.head_map, p.dtype = c.dtype;
  return p;
}

struct Inputs {
  Bits q, k, v;
  std::vector<int32_t> n_tokens_of, n_kv_of;  ///< empty: not given
  float scale = 0.0f;
};
Inputs random_inputs(const PrefillAttentionProblem& p, uint32_t seed = 1) {
  return {random_values(p.dtype, p.q_elements(), seed),
          random_values(p.dtype, p.kv_elements(), seed + 1),
          random_values(p.dtype, p.kv_elements(), seed + 2),
          {},
          {}};
}

Bits run(const PrefillAttentionRung& rung, const PrefillAttentionProblem& p, const Inputs& in) {
  hip::Stream stream;
  const auto q = upload(stream, "q", p.dtype, in.q, p.q_elements()),
             k = upload(stream, "k", p.dtype, in.k, p.kv_elements()),
             v = upload(stream, "v", p.dtype, in.v, p.kv_elements());
  const hip::DeviceTensor o("o", p.dtype, p.q_elements());
  hip::DeviceBuffer<int32_t> n_tokens_of("n_tokens_of", in.n_tokens_of.size()), n_kv_of("n_kv_of", in.n_kv_of.size());
  n_tokens_of.upload(stream, in.n_tokens_of), n_kv_of.upload(stream, in.n_kv_of);
  PrefillAttentionArgs args{q.view(), k.view(), v.view(), o.view(), {}, {}, in.scale, ExpMode::kPortable};
  args.n_tokens_of = n_tokens_of.cview(), args.n_kv_of = n_kv_of.cview();
  hip::DeviceBuffer<float> workspace("workspace", prefill_attention_workspace(p));
  args.workspace = workspace.view();
  prefill_attention(stream, rung, p, args);
  stream.synchronize();
  return download(stream, o);
}

/// Rungs on matrix tiles: the bits depend on the machine, and a row shares its tiles with the rows beside it.
bool on_matrix_tiles(const PrefillAttentionRung& rung) { return std::string(rung.arithmetic) == "online_mma"; }

/// The machine whose bits matrix tiles have, until the end of the scope.
class WithModel {
 public:
  explicit WithModel(MatrixModel model) : saved_(hip::exec_config()) {
    hip::ExecConfig config = saved_;
    config.matrix_model = model;
    hip::set_exec_config(config);
  }
  ~WithModel() { hip::set_exec_config(saved_); }
  WithModel(const WithModel&) = delete;
  WithModel& operator=(const WithModel&) = delete;

 private:
  hip::ExecConfig saved_;
};

/// Compares every row with the double loop; returns how many elements lie outside (NaN is outside).
int outside(const PrefillAttentionProblem& p, const Inputs& in, const Bits& got) {
  int count = 0;
  const int64_t d = p.head_dim;
  for (int64_t b = 0; b < p.batch; ++b)
    for (int64_t t = 0; t < p.n_tokens; ++t)
      for (int64_t h = 0; h < p.n_heads; ++h) {
        const int64_t g = p.head_map == 0 ? h / p.group() : h % p.n_kv_heads;
        const int64_t row = ((b * p.n_tokens + t) * p.n_heads + h) * d;
        std::vector<double> q(d);
        for (int64_t c = 0; c < d; ++c) q[c] = from_bits(p.dtype, in.q[row + c]);
        const auto at = [&](const Bits& cache, int64_t j, int64_t c) -> double {
          return from_bits(p.dtype, cache[((b * p.capacity() + j) * p.n_kv_heads + g) * d + c]);
        };
        const double scale = in.scale != 0.0f ? in.scale : 1.0 / std::sqrt(static_cast<double>(d));
        const PlainRow want = plain_row(
            q, p.n_kv - p.n_tokens + t + 1, scale, [&](int64_t j, int64_t c) { return at(in.k, j, c); },
            [&](int64_t j, int64_t c) { return at(in.v, j, c); });
        for (int64_t c = 0; c < d; ++c) {
          const double error = std::abs(from_bits(p.dtype, got[row + c]) - want.o[c]);
          count += !(error <= tolerance(p.dtype, want.magnitude[c]));
        }
      }
  return count;
}

TEST(PrefillAttention, NearThePlainDoubleLoop) {
  for (const PrefillAttentionRung& rung : prefill_attention_ladder())
    for (const Case& c : kCases) {
      const PrefillAttentionProblem p = problem_of(c);
      const Inputs in = random_inputs(p);
      EXPECT_EQ(outside(p, in, run(rung, p, in)), 0) << rung.name << " " << c.name;
    }
}

TEST(PrefillAttention, TheDoubleLoopTellsWrongFromRight) {
  const PrefillAttentionProblem p = problem_of(kCases[3]);
  const Inputs in = random_inputs(p);
  const auto& rung = prefill_attention_ladder().front();
  Bits o = run(rung, p, in);
  o[5] = to_bits(p.dtype, NAN);
  EXPECT_EQ(outside(p, in, o), 1);
  EXPECT_GT(outside(p, in, Bits(o.size(), 0)), 100);
  PrefillAttentionProblem other_map = p;
  other_map.head_map = 1;
  EXPECT_GT(outside(p, in, run(rung, other_map, in)), 100);
  Inputs other_scale = in;
  other_scale.scale = 1.0f;
  EXPECT_GT(outside(p, in, run(rung, p, other_scale)), 100);
}

TEST(PrefillAttention, SameBitsOnBothWavesInEveryOrderAndPoison) {
  for (const PrefillAttentionRung& rung : prefill_attention_ladder())
    for (const Case& c : kCases) {
      const PrefillAttentionProblem p = problem_of(c);
      Inputs in = random_inputs(p);
      if (p.dtype == DType::kBF16) leave_only_rounding(in.k, in.v, p.n_kv, p.n_kv_heads * p.head_dim);
      // CDNA3 adds k by eights, and the waves place keys differently among them: there the same bits belong to one
      // wave.
      const WithModel model(on_matrix_tiles(rung) ? MatrixModel::kHopper : MatrixModel::kCdna3);
      const Bits want = run(rung, p, in);
      for (const int wave : {64, 32})
        for (const auto& [order, seed] :
             {std::pair{Order::kForward, 0}, {Order::kReverse, 0}, {Order::kRandom, 1}, {Order::kRandom, 2}}) {
          const WithConfig config(wave, order, seed, seed % 2 ? Poison::kLargeFinite : Poison::kNan);
          EXPECT_EQ(run(rung, p, in), want) << rung.name << " " << c.name << " wave " << wave;
        }
    }
}

TEST(PrefillAttention, RungsOfOneArithmeticAgreeInEveryBit) {
  for (const Case& c : kCases) {
    const PrefillAttentionProblem p = problem_of(c);
    Inputs in = random_inputs(p);
    if (p.dtype == DType::kBF16) leave_only_rounding(in.k, in.v, p.n_kv, p.n_kv_heads * p.head_dim);
    std::map<std::string, Bits> of;
    for (const PrefillAttentionRung& rung : prefill_attention_ladder()) {
      const Bits o = run(rung, p, in);
      const auto [first, fresh] = of.emplace(rung.arithmetic, o);
      EXPECT_TRUE(fresh || o == first->second) << rung.name << " " << c.name;
    }
    EXPECT_TRUE(p.dtype != DType::kBF16 || p.n_kv < 64 || of["online_f32"] != of["online_mma"]) << "no order shows";
  }
}

/// Columns [first, first + count) of tokens of Q or O.
Bits tokens(const PrefillAttentionProblem& p, const Bits& q, int64_t first, int64_t count) {
  const int64_t row = p.n_heads * p.head_dim;
  return Bits(q.begin() + first * row, q.begin() + (first + count) * row);
}

TEST(PrefillAttention, TotalsOfSplitsHaveTheSameBitsInLdsAsInTheWorkspace) {
  // The same head again and again: alone its workgroup keeps totals in LDS, where wave 32 has room; in a grid of more
  // workgroups than CUs they go through the workspace.
  const WithConfig config(32);
  const PrefillAttentionProblem one = problem_of({"", 1, 5, 1100, 1, 1, 64, 0, DType::kBF16});
  PrefillAttentionProblem many = one;
  many.n_heads = many.n_kv_heads * (hip::device_info().compute_units + 1);
  Inputs in = random_inputs(one);
  leave_only_rounding(in.k, in.v, one.n_kv, one.head_dim);
  Inputs repeated = in;
  repeated.q.clear();
  for (int64_t t = 0; t < one.n_tokens; ++t)
    for (int64_t h = 0; h < many.n_heads; ++h)
      repeated.q.insert(repeated.q.end(), in.q.begin() + t * one.head_dim, in.q.begin() + (t + 1) * one.head_dim);
  const PrefillAttentionRung& rung = find_rung("prefill_attention", prefill_attention_ladder(), "v4");
  const hip::LaunchLog log;
  const Bits alone = run(rung, one, in), among = run(rung, many, repeated);
  ASSERT_EQ(log.rows().size(), 2u);
  EXPECT_EQ(log.rows()[0].kernel, "prefill_attention_v4_totals_in_lds<bf16,64>");
  EXPECT_EQ(log.rows()[1].kernel, "prefill_attention_v4<bf16,64>");
  for (int64_t t = 0; t < one.n_tokens; ++t)
    for (int64_t c = 0; c < one.head_dim; ++c)
      ASSERT_EQ(alone[t * one.head_dim + c], among[t * many.n_heads * one.head_dim + c]) << "t " << t << " c " << c;
}

TEST(PrefillAttention, AnyChunkingGivesTheSameBits) {
  PrefillAttentionProblem p = problem_of({"", 1, 530, 530, 1, 1, 64, 0, DType::kBF16});
  Inputs in = random_inputs(p);
  leave_only_rounding(in.k, in.v, p.n_kv, p.n_kv_heads * p.head_dim);
  for (const PrefillAttentionRung& rung : prefill_attention_ladder()) {
    const Bits whole = run(rung, p, in);
    for (const int64_t chunk : {529, 512, 200, 67}) {
      for (int64_t first = 0; first < p.n_tokens; first += chunk) {
        PrefillAttentionProblem part = p;
        part.n_tokens = std::min(chunk, p.n_tokens - first), part.n_kv = first + part.n_tokens,
        part.kv_capacity = p.n_kv;
        const Inputs part_in = {tokens(p, in.q, first, part.n_tokens), in.k, in.v, {}, {}};
        EXPECT_EQ(run(rung, part, part_in), tokens(p, whole, first, part.n_tokens)) << rung.name << " at " << first;
      }
    }
  }
}

TEST(PrefillAttention, RaggedBatchGivesEachSequenceItsOwnBitsAndWritesNoMore) {
  PrefillAttentionProblem p = problem_of({"", 3, 9, 80, 4, 2, 64, 0, DType::kBF16});
  p.kv_capacity = 90;
  Inputs in = random_inputs(p);
  in.n_tokens_of = {9, 1, 4}, in.n_kv_of = {80, 1, 66};
  for (const PrefillAttentionRung& rung : prefill_attention_ladder()) {
    const Bits got = run(rung, p, in);
    const Bits untouched = [&] {
      hip::Stream stream;
      return download(stream, hip::DeviceTensor("o", p.dtype, p.q_elements()));
    }();
    const int64_t q_size = p.q_elements() / p.batch, kv_size = p.kv_elements() / p.batch, row = p.n_heads * p.head_dim;
    for (int64_t b = 0; b < p.batch; ++b) {
      PrefillAttentionProblem alone = p;
      alone.batch = 1, alone.n_tokens = in.n_tokens_of[b], alone.n_kv = in.n_kv_of[b];
      const auto part = [&](const Bits& all, int64_t from, int64_t count) {
        return Bits(all.begin() + from, all.begin() + from + count);
      };
      const Inputs own = {part(in.q, b * q_size, alone.n_tokens * row),
                          part(in.k, b * kv_size, kv_size),
                          part(in.v, b * kv_size, kv_size),
                          {},
                          {}};
      EXPECT_EQ(part(got, b * q_size, alone.n_tokens * row), run(rung, alone, own)) << rung.name << " sequence " << b;
      for (int64_t i = b * q_size + alone.n_tokens * row; i < (b + 1) * q_size; ++i)
        ASSERT_TRUE(std::isnan(from_bits(p.dtype, got[i]))) << rung.name << ": wrote element " << i << " of no row";
    }
    ASSERT_TRUE(std::isnan(from_bits(p.dtype, untouched[0]))) << "poison is not NaN: the check above sees nothing";
  }
}

TEST(PrefillAttention, BlindToRowsBeyondItsKeysButNotToItsOwn) {
  PrefillAttentionProblem p = problem_of({"", 1, 3, 70, 2, 1, 64, 0, DType::kF16});
  const Inputs clean = random_inputs(p);
  p.kv_capacity = 130;
  const int64_t row = p.n_kv_heads * p.head_dim;
  for (const PrefillAttentionRung& rung : prefill_attention_ladder()) {
    Inputs in = clean;
    const Bits want = run(rung, p, in);  // rows 70 .. 129 are poison: NaN
    const uint16_t nan = to_bits(p.dtype, NAN), inf = to_bits(p.dtype, INFINITY);
    // The first query sees 68 keys: NaN and infinity in keys 68 and 69 are the others' concern.
    in.k[69 * row] = nan;
    // On matrix tiles a V that is not finite reaches the rows of its tile that do not see it: zero times NaN.
    if (!on_matrix_tiles(rung)) in.v[69 * row + 3] = inf, in.v[68 * row + 1] = nan;
    const Bits got = run(rung, p, in);
    EXPECT_EQ(tokens(p, got, 0, 1), tokens(p, want, 0, 1)) << rung.name;
    const int64_t q_row = p.n_heads * p.head_dim;
    EXPECT_EQ(std::isnan(from_bits(p.dtype, got[q_row + 1])), !on_matrix_tiles(rung)) << rung.name;  // V of key 68
    EXPECT_FALSE(std::isnan(from_bits(p.dtype, got[q_row + 2]))) << rung.name;     // and of no other channel
    EXPECT_TRUE(std::isnan(from_bits(p.dtype, got[2 * q_row + 2]))) << rung.name;  // token 2: K of key 69
  }
}

TEST(PrefillAttention, MaskedKeysAddNothingToAnInfinity) {
  // The last visible key stands in for masked ones: 0 times its infinite V would make NaN of infinity.
  const PrefillAttentionProblem p = problem_of({"", 1, 2, 70, 1, 1, 64, 0, DType::kF16});
  Inputs in = random_inputs(p);
  in.v[69 * 64 + 5] = to_bits(p.dtype, INFINITY);
  for (const PrefillAttentionRung& rung : prefill_attention_ladder()) {
    if (on_matrix_tiles(rung)) continue;  // V of the sequence must be finite there
    const Bits o = run(rung, p, in);
    EXPECT_EQ(from_bits(p.dtype, o[64 + 5]), INFINITY) << rung.name;
    EXPECT_TRUE(std::isfinite(from_bits(p.dtype, o[5]))) << rung.name;
  }
}

std::string refusal(const PrefillAttentionRung& rung, const PrefillAttentionProblem& p, const Inputs& in) {
  try {
    run(rung, p, in);
    return {};
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInvalidArgument);
    return e.what();
  }
}

TEST(PrefillAttention, RefusalsSayWhatWasWanted) {
  for (const PrefillAttentionRung& rung : prefill_attention_ladder()) {
    PrefillAttentionProblem p = problem_of({"", 1, 2, 3, 1, 1, 96, 0, DType::kF16});
    EXPECT_NE(refusal(rung, p, random_inputs(p)).find("head_dim must be 64 or 128, got 96"), std::string::npos);
    p.head_dim = 64;
    Inputs in = random_inputs(p);
    in.scale = INFINITY;
    EXPECT_NE(refusal(rung, p, in).find("scale must be finite"), std::string::npos);

    hip::Stream stream;
    const hip::DeviceTensor q("q", p.dtype, p.q_elements() + 4), kv("kv", p.dtype, p.kv_elements()),
        o("o", p.dtype, p.q_elements()), bf16("bf16", DType::kBF16, p.kv_elements());
    const auto refused = [&](const PrefillAttentionArgs& args) -> std::string {
      try {
        prefill_attention(stream, rung, p, args);
      } catch (const Error& e) {
        return e.what();
      }
      return {};
    };
    const auto whole = q.view().slice(0, p.q_elements());
    EXPECT_EQ(refused({whole, kv.view(), kv.view(), o.view(), {}, {}, 0.0f, ExpMode::kPortable}), "");
    EXPECT_NE(refused({whole, bf16.view(), kv.view(), o.view(), {}, {}, 0.0f, ExpMode::kPortable})
                  .find("k: dtype must be the problem's f16, got bf16"),
              std::string::npos);
    EXPECT_NE(
        refused({q.view().slice(4, p.q_elements()), kv.view(), kv.view(), o.view(), {}, {}, 0.0f, ExpMode::kPortable})
            .find("q: must start at a multiple of 16 bytes, got 8"),
        std::string::npos);
    EXPECT_NE(refused({whole, {}, kv.view(), o.view(), {}, {}, 0.0f, ExpMode::kPortable}).find("k is missing"),
              std::string::npos);
    EXPECT_NE(refused({whole, kv.view().slice(0, 64), kv.view(), o.view(), {}, {}, 0.0f, ExpMode::kPortable}), "")
        << "K too short";
#if GRETA_HOST_EXECUTOR
    EXPECT_NE(refused({whole, kv.view(), kv.view(), o.view(), {}, {}, 0.0f, ExpMode::kHardware})
                  .find("exp must be portable on the host"),
              std::string::npos);
#endif
  }
}

TEST(PrefillAttention, LadderIsFoundByName) {
  EXPECT_EQ(std::string(find_rung("prefill_attention", prefill_attention_ladder(), "v2").arithmetic), "online_f32");
  EXPECT_THROW(find_rung("prefill_attention", prefill_attention_ladder(), "v9"), Error);
}

TEST(PrefillAttention, ScaleIsRoundedOnce) {
  EXPECT_EQ(attention_scale_log2(0.0f, 64), static_cast<float>(0.125 * 1.4426950408889634));
  EXPECT_EQ(attention_scale_log2(0.5f, 64), static_cast<float>(0.5 * 1.4426950408889634));
  EXPECT_EQ(attention_scale_log2(0.0f, 128),
            static_cast<float>(static_cast<double>(static_cast<float>(1.0 / std::sqrt(128.0))) * 1.4426950408889634));
}

}  // namespace
}  // namespace greta
