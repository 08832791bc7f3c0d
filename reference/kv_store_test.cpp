#include "reference/kv_store.hpp"

#include <gtest/gtest.h>

#include "kernels/hip/error.hpp"

namespace greta::reference {
namespace {

TEST(KvStoreReference, ByHand) {
  KvStoreProblem p{.n_tokens = 2, .n_kv_heads = 1, .head_dim = 2, .n_slots = 2, .kv_capacity = 2};
  const std::vector<int> x = {1, 2, 3, 4};
  const std::vector<int32_t> slot = {1, 0}, position = {0, 1};
  EXPECT_EQ(kv_store<int>(p, x, slot, position, std::vector<int>(8, 9)), (std::vector<int>{9, 9, 3, 4, 1, 2, 9, 9}));
}

TEST(KvStoreReference, OutsideTheCacheIsRefused) {
  KvStoreProblem p{.n_tokens = 1, .n_kv_heads = 1, .head_dim = 1, .n_slots = 1, .kv_capacity = 2};
  const std::vector<int> x = {1};
  const std::vector<int32_t> zero = {0}, two = {2}, minus = {-1};
  EXPECT_THROW(kv_store<int>(p, x, zero, two, {0, 0}), Error);
  EXPECT_THROW(kv_store<int>(p, x, minus, zero, {0, 0}), Error);
}

}  // namespace
}  // namespace greta::reference
