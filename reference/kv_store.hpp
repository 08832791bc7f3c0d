// KV store: the answer. Definition: kernels/kv_store/kv_store_problem.hpp. A copy: the answer is the twin.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/kv_store/kv_store_problem.hpp"

namespace greta::reference {

/// The cache (k or v) after the call: cache_before [n_slots, kv_capacity, n_kv_heads, head_dim] with the rows of
/// x [n_tokens, n_kv_heads, head_dim] put at (slot[t], position[t]). T is any element type. Throws kInvalidArgument for
/// a slot or position outside the cache.
template <class T>
std::vector<T> kv_store(const KvStoreProblem& p, std::span<const T> x, std::span<const int32_t> slot,
                        std::span<const int32_t> position, std::vector<T> cache) {
  for (int64_t t = 0; t < p.n_tokens; ++t) {
    const int64_t s = slot[static_cast<size_t>(t)], at = position[static_cast<size_t>(t)];
    if (s < 0 || s >= p.n_slots || at < 0 || at >= p.kv_capacity)
      throw_invalid("kv_store reference: token " + std::to_string(t) + " goes to slot " + std::to_string(s) +
                    ", position " + std::to_string(at) + " of a cache with " + to_line(p));
    for (int64_t c = 0; c < p.row(); ++c)
      cache[static_cast<size_t>((s * p.kv_capacity + at) * p.row() + c)] = x[static_cast<size_t>(t * p.row() + c)];
  }
  return cache;
}

}  // namespace greta::reference
