#include "kernels/kv_store/kv_store.hpp"

#include "kernels/tile/kernel_testing.hpp"

namespace greta {
namespace {
using namespace testing_support;

struct Caches {
  std::vector<float> k, v;
};
Caches run(const KvStoreProblem& p, const std::vector<float>& k, const std::vector<float>& v,
           const std::vector<int32_t>& slots, const std::vector<int32_t>& positions) {
  hip::Stream stream;
  const auto ks = tensor_of(stream, "k", p.dtype, k), vs = tensor_of(stream, "v", p.dtype, v);
  hip::DeviceTensor k_cache("k_cache", p.dtype, static_cast<size_t>(p.cache_elements()));
  hip::DeviceTensor v_cache("v_cache", p.dtype, static_cast<size_t>(p.cache_elements()));
  const auto s = buffer_of(stream, "slots", slots), at = buffer_of(stream, "positions", positions);
  kv_store(stream, kv_store_ladder().front(), p,
           {ks.view(), vs.view(), k_cache.view(), v_cache.view(), s.cview(), at.cview()});
  return {floats_of(stream, k_cache), floats_of(stream, v_cache)};
}

TEST(KvStore, RowsLandWhereTheySay) {
  for (const int64_t head_dim : {5, 64})  // element-wise and wide kernels
    for (const DType dtype : {DType::kF16, DType::kBF16}) {
      const KvStoreProblem p{
          .n_tokens = 4, .n_kv_heads = 3, .head_dim = head_dim, .n_slots = 2, .kv_capacity = 5, .dtype = dtype};
      const std::vector<int32_t> slots = {1, 0, 1, 1}, positions = {4, 0, 2, 0};
      const auto k = rounded(dtype, random_values(static_cast<size_t>(p.elements()), 1));
      const auto v = rounded(dtype, random_values(static_cast<size_t>(p.elements()), 2));
      for_every_schedule([&](const std::string& label) {
        const Caches got = run(p, k, v, slots, positions);
        std::vector<float> want_k(got.k.size(), std::nanf("")), want_v = want_k;  // untouched rows keep their poison
        for (size_t t = 0; t < 4; ++t)
          for (int64_t c = 0; c < p.row(); ++c) {
            const auto to = static_cast<size_t>((slots[t] * p.kv_capacity + positions[t]) * p.row() + c);
            want_k[to] = k[t * static_cast<size_t>(p.row()) + static_cast<size_t>(c)];
            want_v[to] = v[t * static_cast<size_t>(p.row()) + static_cast<size_t>(c)];
          }
        EXPECT_EQ(difference(want_k, got.k), "") << to_line(p) << " " << label;
        EXPECT_EQ(difference(want_v, got.v), "") << to_line(p) << " " << label;
      });
    }
}

TEST(KvStore, OutOfRangeStoresNothing) {
  const KvStoreProblem p{.n_tokens = 4, .n_kv_heads = 1, .head_dim = 64, .n_slots = 2, .kv_capacity = 3};
  const std::vector<float> ones(256, 1.0f);
  const Caches got = run(p, ones, ones, {0, 2, -1, 1}, {3, 0, 0, -1});
  for (const float v : got.k) EXPECT_TRUE(std::isnan(v));
  for (const float v : got.v) EXPECT_TRUE(std::isnan(v));
}

TEST(KvStore, CostsLinesAndRefusals) {
  const KvStoreProblem p{.n_tokens = 3, .n_kv_heads = 2, .head_dim = 4, .n_slots = 1, .kv_capacity = 8};
  EXPECT_EQ(p.flops(), 0);
  EXPECT_EQ(p.bytes(), 4 * 24 * 2 + 3 * 8);  // K and V read and written; slot and position a token
  EXPECT_EQ(to_line(from_line<KvStoreProblem>(to_line(p))), to_line(p));
  expect_refused([] { validate(KvStoreProblem{.kv_capacity = 0}); }, {"kv_capacity", "got 0"});
  expect_refused([] { validate(KvStoreProblem{.dtype = DType::kI32}); }, {"dtype", "i32"});
  hip::Stream stream;
  const auto x = tensor_of(stream, "x", DType::kF16, std::vector<float>(64, 1.0f));
  const auto at = buffer_of(stream, "at", std::vector<int32_t>{0});
  expect_refused(
      [&] {
        kv_store(stream, kv_store_ladder().front(), {},
                 {x.view(), x.view(), x.view(), x.view(), at.cview(), at.cview()});
      },
      {"kv_store_v1", "overlap"});
}

}  // namespace
}  // namespace greta
