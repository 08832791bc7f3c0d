// KV store on the device: launch function and ladder. Problem: kv_store_problem.hpp.
#pragma once

#include <span>

#include "kernels/hip/ladder.hpp"
#include "kernels/hip/tensor.hpp"
#include "kernels/kv_store/kv_store_problem.hpp"

namespace greta {

struct KvStoreArgs {
  hip::AnyView k, v;                         ///< [n_tokens, n_kv_heads, head_dim] of problem.dtype
  hip::AnyView k_cache, v_cache;             ///< [n_slots, kv_capacity, n_kv_heads, head_dim]
  hip::DeviceView<const int32_t> slots;      ///< [n_tokens] the sequence's place in the cache, 0 .. n_slots - 1
  hip::DeviceView<const int32_t> positions;  ///< [n_tokens] 0 .. kv_capacity - 1; no two tokens share slot and position
};

using KvStoreLaunch = void (*)(hip::Stream&, const KvStoreProblem&, const KvStoreArgs&);
using KvStoreRung = Rung<KvStoreProblem, KvStoreLaunch>;

/// Every rung, slowest first.
std::span<const KvStoreRung> kv_store_ladder();

/// Validates, asks the rung, launches. A slot or position out of range is data the host cannot check here: the device
/// stores nothing for that token (its row of the cache keeps what it held: poison, in a fresh cache). Callers that know
/// slots and positions check them first. Fails with kInvalidArgument naming field, got and wanted.
void kv_store(hip::Stream& stream, const KvStoreRung& rung, const KvStoreProblem& problem, const KvStoreArgs& args);

}  // namespace greta
