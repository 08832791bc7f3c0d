#include "kernels/rope_kv_store/rope_kv_store.hpp"

#include "kernels/kv_store/kv_store.hpp"
#include "kernels/rope/rope.hpp"
#include "kernels/tile/kernel_testing.hpp"

namespace greta {
namespace {
using namespace testing_support;

struct Inputs {
  std::vector<float> q, k, v, table;
  std::vector<int32_t> slots, positions;
};
Inputs inputs_of(const RopeKvStoreProblem& p) {
  Inputs in;
  in.q = rounded(p.dtype, random_values(static_cast<size_t>(p.q_elements()), 1));
  in.k = rounded(p.dtype, random_values(static_cast<size_t>(p.kv_elements()), 2));
  in.v = rounded(p.dtype, random_values(static_cast<size_t>(p.kv_elements()), 3));
  in.table = random_values(static_cast<size_t>(p.n_positions * p.head_dim), 4);
  for (int64_t t = 0; t < p.n_tokens; ++t) {
    in.slots.push_back(static_cast<int32_t>(t % p.n_slots));
    in.positions.push_back(static_cast<int32_t>(p.kv_capacity - 1 - t / p.n_slots));
  }
  return in;
}

/// q after the call, K cache, V cache; untouched rows of the caches are NaN poison.
using Answer = std::vector<std::vector<float>>;
Answer run(const RopeKvStoreProblem& p, const Inputs& in, bool sequence) {
  hip::Stream stream;
  auto q = tensor_of(stream, "q", p.dtype, in.q), k = tensor_of(stream, "k", p.dtype, in.k);
  const auto v = tensor_of(stream, "v", p.dtype, in.v);
  const auto n_cache = static_cast<size_t>(p.store().cache_elements());
  hip::DeviceTensor k_cache("k_cache", p.dtype, n_cache), v_cache("v_cache", p.dtype, n_cache);
  const auto slots = buffer_of(stream, "slots", in.slots), at = buffer_of(stream, "positions", in.positions);
  const auto table = buffer_of(stream, "table", in.table);
  if (sequence) {
    rope(stream, rope_ladder().front(), p.rotation(p.n_heads), {q.view(), at.cview(), table.cview()});
    rope(stream, rope_ladder().front(), p.rotation(p.n_kv_heads), {k.view(), at.cview(), table.cview()});
    kv_store(stream, kv_store_ladder().front(), p.store(),
             {k.view(), v.view(), k_cache.view(), v_cache.view(), slots.cview(), at.cview()});
  } else {
    rope_kv_store(
        stream, rope_kv_store_ladder().front(), p,
        {q.view(), k.view(), v.view(), k_cache.view(), v_cache.view(), slots.cview(), at.cview(), table.cview()});
    EXPECT_EQ(difference(in.k, floats_of(stream, k)), "") << "k is only read";
  }
  return {floats_of(stream, q), floats_of(stream, k_cache), floats_of(stream, v_cache)};
}

TEST(RopeKvStore, TheBitsOfTheSequence) {
  for (const auto& [heads, kv_heads, head_dim] :
       {std::array<int64_t, 3>{1, 1, 16}, {4, 2, 64}, {9, 3, 48}, {32, 8, 128}, {70, 5, 128}})
    for (const int64_t half_split : {0, 1})
      for (const DType dtype : {DType::kF16, DType::kBF16}) {
        const RopeKvStoreProblem p{.n_tokens = 7,
                                   .n_heads = heads,
                                   .n_kv_heads = kv_heads,
                                   .head_dim = head_dim,
                                   .half_split = half_split,
                                   .n_positions = 9,
                                   .n_slots = 2,
                                   .kv_capacity = 6,
                                   .dtype = dtype};
        const Inputs in = inputs_of(p);
        const Answer want = run(p, in, true);
        for_every_schedule([&](const std::string& label) {
          const Answer got = run(p, in, false);
          for (size_t i = 0; i < 3; ++i)
            EXPECT_EQ(difference(want[i], got[i]), "") << i << " " << to_line(p) << " " << label;
        });
      }
}

TEST(RopeKvStore, PlacesOutsideAsTheSequenceHasThem) {
  const RopeKvStoreProblem p{
      .n_tokens = 5, .n_heads = 2, .n_kv_heads = 1, .head_dim = 64, .n_positions = 4, .n_slots = 2, .kv_capacity = 6};
  Inputs in = inputs_of(p);
  in.slots = {0, 1, -1, 2, 1};
  in.positions = {3, 5, 0, 1, -1};  // 5: in the cache, outside the table
  const Answer want = run(p, in, true), got = run(p, in, false);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(difference(want[i], got[i]), "") << i;
}

TEST(RopeKvStore, CostsLinesAndRefusals) {
  const RopeKvStoreProblem p{.n_tokens = 2, .n_heads = 4, .n_kv_heads = 1, .head_dim = 16, .n_positions = 5};
  EXPECT_EQ(p.flops(), 3 * 2 * 5 * 16);
  EXPECT_EQ(p.bytes(), 2 * 2 * 6 * 16 * 2 + 2 * (4 * 16 + 8));  // six heads of two bytes read and written
  EXPECT_EQ(to_line(from_line<RopeKvStoreProblem>(to_line(p))), to_line(p));
  expect_refused([] { validate(RopeKvStoreProblem{.dtype = DType::kF32}); }, {"dtype", "f32"});
  expect_refused([] { validate(RopeKvStoreProblem{.n_slots = 0}); }, {"n_slots", "got 0"});
  expect_refused([] { validate(RopeKvStoreProblem{.head_dim = 33}); }, {"head_dim", "even", "got 33"});
  EXPECT_NE(rope_kv_store_ladder().front().accepts({.head_dim = 24}), "");
}

}  // namespace
}  // namespace greta
