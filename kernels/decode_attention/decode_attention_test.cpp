// Every rung of decode attention: the bits of prefill's last row in the same arithmetic, for every length around tile
// and split edges; the same bits on both waves, in every order, in any batch; blind to what lies beyond its keys.
#include <cmath>

#include "kernels/decode_attention/decode_attention_testing.hpp"
#include "kernels/prefill_attention/prefill_attention.hpp"

namespace greta {
namespace {

using namespace decode_test;
using Order = hip::ExecConfig::Order;

/// The same queries as a prefill of one token a sequence, in the arithmetic asked for.
Bits run_prefill(const char* arithmetic, const DecodeAttentionProblem& d, const Inputs& in) {
  for (const PrefillAttentionRung& rung : prefill_attention_ladder()) {
    if (std::string_view(rung.arithmetic) != arithmetic) continue;
    const PrefillAttentionProblem p = {d.batch,      1,          d.n_kv, d.n_heads, d.n_kv_heads, d.head_dim,
                                       d.capacity(), d.head_map, d.dtype};
    hip::Stream stream;
    const auto q = upload(stream, "q", p.dtype, in.q, p.q_elements()),
               k = upload(stream, "k", p.dtype, in.k, p.kv_elements()),
               v = upload(stream, "v", p.dtype, in.v, p.kv_elements());
    const hip::DeviceTensor o("o", p.dtype, p.q_elements());
    hip::DeviceBuffer<int32_t> n_kv_of("n_kv_of", in.n_kv_of.size());
    n_kv_of.upload(stream, in.n_kv_of);
    hip::DeviceBuffer<float> workspace("workspace", prefill_attention_workspace(p));
    PrefillAttentionArgs args = {q.view(), k.view(), v.view(), o.view(), {}, n_kv_of.cview()};
    args.workspace = workspace.view();
    prefill_attention(stream, rung, p, args);
    stream.synchronize();
    return download(stream, o);
  }
  ADD_FAILURE() << "prefill offers no " << arithmetic;
  return {};
}

TEST(DecodeAttention, BitsOfPrefillAtEveryEdge) {
  for (const DecodeAttentionRung& rung : decode_attention_ladder())
    for (const int64_t n_kv : {1, 2, 63, 64, 65, 127, 128, 129, 511, 512, 513, 575, 1024, 1025, 1601}) {
      const DecodeAttentionProblem p = problem(1, n_kv, 4, 2, 64, DType::kBF16);
      Inputs in = random_inputs(p);
      EXPECT_EQ(run(rung, p, in), run_prefill(rung.arithmetic, p, in)) << rung.name << " n_kv " << n_kv;
      leave_only_rounding(in.k, in.v, n_kv, p.n_kv_heads * p.head_dim);
      EXPECT_EQ(run(rung, p, in), run_prefill(rung.arithmetic, p, in)) << rung.name << " n_kv " << n_kv;
    }
}

TEST(DecodeAttention, AnotherArithmeticShows) {
  // The comparison above can fail: where only rounding is left, the two arithmetics differ almost everywhere.
  const DecodeAttentionProblem p = problem(1, 600, 4, 2, 64, DType::kBF16);
  Inputs in = random_inputs(p);
  leave_only_rounding(in.k, in.v, p.n_kv, p.n_kv_heads * p.head_dim);
  const Bits online = run(decode_attention_rung_for("online_f32"), p, in);
  EXPECT_GT(count_differing(online, run_prefill("two_pass_f32", p, in)), 200) << "of " << online.size();
  EXPECT_EQ(count_differing(online, run_prefill("online_f32", p, in)), 0);
}

TEST(DecodeAttention, BitsOfPrefillForEveryShape) {
  for (const DecodeAttentionRung& rung : decode_attention_ladder())
    for (const DType dtype : {DType::kF16, DType::kBF16})
      for (const int64_t head_dim : {64, 128})
        for (const auto& [n_heads, n_kv_heads] : {std::pair{1, 1}, {3, 3}, {8, 2}, {6, 1}, {16, 2}})
          for (const int64_t head_map : {0, 1}) {
            const DecodeAttentionProblem p = problem(2, 70, n_heads, n_kv_heads, head_dim, dtype, head_map, 75);
            const Inputs in = random_inputs(p);
            EXPECT_EQ(run(rung, p, in), run_prefill(rung.arithmetic, p, in)) << rung.name << " " << to_line(p);
          }
}

TEST(DecodeAttention, LastRowOfAWholePrefill) {
  const int64_t n = 523;
  const DecodeAttentionProblem p = problem(1, n, 2, 1, 64, DType::kBF16);
  PrefillAttentionProblem whole;
  whole.n_tokens = n, whole.n_kv = n, whole.n_heads = 2, whole.dtype = p.dtype;
  const Bits q = random_values(p.dtype, whole.q_elements(), 7);
  Inputs in = random_inputs(p);
  leave_only_rounding(in.k, in.v, n, p.n_kv_heads * p.head_dim);
  in.q.assign(q.end() - p.q_elements(), q.end());
  hip::Stream stream;
  const auto dq = upload(stream, "q", p.dtype, q, q.size()), k = upload(stream, "k", p.dtype, in.k, in.k.size()),
             v = upload(stream, "v", p.dtype, in.v, in.v.size());
  for (const DecodeAttentionRung& rung : decode_attention_ladder())
    for (const PrefillAttentionRung& prefill : prefill_attention_ladder()) {
      if (std::string_view(prefill.arithmetic) != rung.arithmetic) continue;
      const hip::DeviceTensor o("o", p.dtype, q.size());
      hip::DeviceBuffer<float> workspace("workspace", prefill_attention_workspace(whole));
      PrefillAttentionArgs args = {dq.view(), k.view(), v.view(), o.view(), {}, {}};
      args.workspace = workspace.view();
      prefill_attention(stream, prefill, whole, args);
      const Bits all = download(stream, o), last(all.end() - p.q_elements(), all.end());
      EXPECT_EQ(run(rung, p, in), last) << rung.name;
    }
}

TEST(DecodeAttention, NearThePlainDoubleLoop) {
  const DecodeAttentionProblem p = problem(2, 600, 4, 2, 64);
  const Inputs in = random_inputs(p);
  for (const DecodeAttentionRung& rung : decode_attention_ladder()) {
    const Bits got = run(rung, p, in);
    for (int64_t row = 0; row < p.batch * p.n_heads; ++row) {
      const int64_t b = row / p.n_heads, g = row % p.n_heads / p.group();
      std::vector<double> q;
      for (int64_t c = 0; c < 64; ++c) q.push_back(from_bits(p.dtype, in.q[row * 64 + c]));
      const auto at = [&](const Bits& cache, int64_t j, int64_t c) -> double {
        return from_bits(p.dtype, cache[((b * p.n_kv + j) * p.n_kv_heads + g) * 64 + c]);
      };
      const PlainRow want = plain_row(
          q, p.n_kv, 0.125, [&](int64_t j, int64_t c) { return at(in.k, j, c); },
          [&](int64_t j, int64_t c) { return at(in.v, j, c); });
      for (int64_t c = 0; c < 64; ++c)
        EXPECT_NEAR(from_bits(p.dtype, got[row * 64 + c]), want.o[c], tolerance(p.dtype, want.magnitude[c]));
    }
  }
}

TEST(DecodeAttention, SameBitsOnBothWavesInEveryOrderAndPoison) {
  const DecodeAttentionProblem p = problem(2, 1087, 6, 2, 128, DType::kBF16);
  Inputs in = random_inputs(p);
  leave_only_rounding(in.k, in.v, p.n_kv, p.n_kv_heads * p.head_dim);
  // A matrix tile adds the products of one instruction in an order of its own only on CDNA3, and only there the two
  // waves put other keys into an instruction's halves: with Hopper's rule both give the same bits.
  const WithConfig restored(64);
  hip::ExecConfig config = hip::exec_config();
  config.matrix_model = MatrixModel::kHopper;
  hip::set_exec_config(config);
  for (const DecodeAttentionRung& rung : decode_attention_ladder()) {
    const Bits want = run(rung, p, in);
    for (const int wave : {64, 32})
      for (const auto& [order, seed] :
           {std::pair{Order::kForward, 0}, {Order::kReverse, 0}, {Order::kRandom, 1}, {Order::kRandom, 2}}) {
        const WithConfig with(wave, order, seed,
                              seed % 2 ? hip::ExecConfig::Poison::kLargeFinite : hip::ExecConfig::Poison::kNan);
        EXPECT_EQ(run(rung, p, in), want) << rung.name << " wave " << wave << " seed " << seed;
      }
  }
}

TEST(DecodeAttention, RaggedBatchGivesEachSequenceItsOwnBitsWhateverTheNeighbours) {
  const DecodeAttentionProblem p = problem(4, 1100, 4, 2, 64, DType::kF16, 0, 1103);
  Inputs in = random_inputs(p);
  in.n_kv_of = {1100, 1, 512, 600};
  const int64_t q_size = p.q_elements() / p.batch, kv_size = p.kv_elements() / p.batch,
                kv_row = p.n_kv_heads * p.head_dim;
  const uint16_t nan = to_bits(p.dtype, NAN);
  for (int64_t b = 0; b < p.batch; ++b)  // what lies beyond a sequence's keys is of no consequence
    for (int64_t i = in.n_kv_of[b] * kv_row; i < kv_size; ++i) in.k[b * kv_size + i] = in.v[b * kv_size + i] = nan;
  std::fill(in.k.begin() + 3 * kv_size, in.k.end(), nan);  // neither is a neighbour that is all NaN
  for (const DecodeAttentionRung& rung : decode_attention_ladder()) {
    const Bits got = run(rung, p, in);
    for (int64_t b = 0; b < p.batch; ++b) {
      const auto part = [&](const Bits& all, int64_t size) {
        return Bits(all.begin() + b * size, all.begin() + (b + 1) * size);
      };
      DecodeAttentionProblem alone = p;
      alone.batch = 1, alone.n_kv = in.n_kv_of[b];
      const Bits own = run(rung, alone, {part(in.q, q_size), part(in.k, kv_size), part(in.v, kv_size), {}, {}});
      if (b == 3) {
        for (const uint16_t bits : part(got, q_size)) EXPECT_TRUE(std::isnan(from_bits(p.dtype, bits)));
      } else {
        EXPECT_EQ(part(got, q_size), own) << rung.name << " sequence " << b;
        for (const uint16_t bits : own) ASSERT_FALSE(std::isnan(from_bits(p.dtype, bits))) << rung.name;
      }
    }
  }
}

TEST(DecodeAttention, RefusalsSayWhatWasWanted) {
  DecodeAttentionProblem p = problem(1, 600, 2, 1, 64);
  hip::Stream stream;
  hip::DeviceTensor q("q", p.dtype, p.q_elements()), kv("kv", p.dtype, p.kv_elements()),
      o("o", p.dtype, p.q_elements());
  hip::DeviceBuffer<float> workspace("workspace", decode_attention_workspace(p));
  const DecodeAttentionRung& rung = decode_attention_rung_for("online_f32");
  const auto refused = [&](const DecodeAttentionProblem& problem, const DecodeAttentionArgs& args) -> std::string {
    try {
      decode_attention(stream, rung, problem, args);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInvalidArgument);
      return e.what();
    }
    return {};
  };
  const DecodeAttentionArgs good = {q.view(), kv.view(), kv.view(), o.view(), {}, workspace.view()};
  EXPECT_EQ(refused(p, good), "");
  DecodeAttentionArgs args = good;
  args.workspace = workspace.view().slice(0, static_cast<size_t>(p.n_heads) * 2 * (64 + 2) - 1);  // two splits of v2
  EXPECT_NE(refused(p, args).find("workspace"), std::string::npos);
  args = good, args.v = {};
  EXPECT_NE(refused(p, args).find("v is missing"), std::string::npos);
  p.head_dim = 96;
  EXPECT_NE(refused(p, good).find("decode_attention v2: head_dim must be 64 or 128, got 96"), std::string::npos);
  EXPECT_THROW(decode_attention_rung_for("no_such_arithmetic"), Error);
}

TEST(DecodeAttention, OneRungForEachArithmeticOfPrefill) {
  for (const PrefillAttentionRung& rung : prefill_attention_ladder())
    EXPECT_STREQ(decode_attention_rung_for(rung.arithmetic).arithmetic, rung.arithmetic);
}

/// As many splits as v5 takes, one or two at a time, and more query heads than a fragment has rows: a sequence with all
/// eight, one whose last split has one key, one of a single block.
TEST(DecodeAttention, EverySplitOfV5) {
  const DecodeAttentionRung& v5 = find_rung("decode_attention", decode_attention_ladder(), "v5");
  for (const int64_t head_dim : {64, 128}) {
    const DecodeAttentionProblem p = problem(3, 4096, 18, 1, head_dim, DType::kBF16);
    Inputs in = random_inputs(p);
    leave_only_rounding(in.k, in.v, p.n_kv, head_dim);  // of the first sequence
    in.n_kv_of = {4096, 3585, 17};
    for (const int wave : {64, 32}) {
      const WithConfig with(wave, Order::kRandom, 3);
      EXPECT_EQ(run(v5, p, in), run(decode_attention_rung_for("online_mma"), p, in)) << "wave " << wave;
    }
  }
}

TEST(DecodeAttention, V5SaysHowManyKeysItTakes) {
  const DecodeAttentionRung& v5 = find_rung("decode_attention", decode_attention_ladder(), "v5");
  DecodeAttentionProblem p = problem(1, 4096, 2, 1, 64);
  EXPECT_EQ(v5.accepts(p), "");
  p.n_kv = 4097;
  EXPECT_EQ(v5.accepts(p), "n_kv must be at most 4096, got 4097: v4 takes any");
  p.n_kv = 1, p.head_dim = 96;
  EXPECT_EQ(v5.accepts(p), "head_dim must be 64 or 128, got 96");
}

TEST(DecodeAttention, RungForAProblemFollowsItsSplits) {
  const int64_t cus = hip::device_info().compute_units;
  DecodeAttentionProblem p = problem(1, 512, 2, 1, 64, DType::kBF16);
  EXPECT_STREQ(decode_attention_rung_for("online_mma", p).name, cus >= 4 ? "v5" : "v4");
  EXPECT_STREQ(decode_attention_rung_for("online_f32", p).name, "v2");
  p.batch = cus;  // one split a CU
  EXPECT_STREQ(decode_attention_rung_for("online_mma", p).name, "v4");
  p.n_kv = 1025;  // three splits a CU
  EXPECT_STREQ(decode_attention_rung_for("online_mma", p).name, "v3");
  EXPECT_THROW(decode_attention_rung_for("no_such_arithmetic", p), Error);
}

TEST(DecodeAttention, LaunchesAreNamedAndCountTheirRows) {
  const DecodeAttentionProblem p = problem(2, 600, 4, 2, 128, DType::kBF16);
  const hip::LaunchLog log;
  run(decode_attention_rung_for("online_f32"), p, random_inputs(p));
  const auto rows = log.rows();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].kernel, "decode_attention_v2_split<bf16,128>");
  EXPECT_EQ(rows[1].kernel, "decode_attention_v2_merge<bf16,128>");
  EXPECT_EQ(rows[0].rows, 2);
  EXPECT_EQ(rows[0].grid[0], 2u);
}

TEST(DecodeAttention, LaunchesOfV5CutKeysThenChannels) {
  const DecodeAttentionProblem p = problem(2, 600, 4, 2, 128, DType::kBF16);
  const hip::LaunchLog log;
  run(find_rung("decode_attention", decode_attention_ladder(), "v5"), p, random_inputs(p));
  const auto rows = log.rows();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].kernel, "decode_attention_v5_scores<bf16,128>");
  EXPECT_EQ(rows[1].kernel, "decode_attention_v5_channels<bf16,128>");
  EXPECT_EQ(rows[0].grid[0], 10u * 2);  // tiles, KV heads
  EXPECT_EQ(rows[1].grid[0], 128u / (hip::device_info().wave_size == 64 ? 32 : 16) * 2);
}

}  // namespace
}  // namespace greta
