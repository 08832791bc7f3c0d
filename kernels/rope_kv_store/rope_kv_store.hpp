// RoPE + KV store on the device: launch function and ladder. Problem and arithmetic: rope_kv_store_problem.hpp.
#pragma once

#include <span>

#include "kernels/hip/ladder.hpp"
#include "kernels/hip/tensor.hpp"
#include "kernels/rope_kv_store/rope_kv_store_problem.hpp"

namespace greta {

struct RopeKvStoreArgs {
  hip::AnyView q;                            ///< [n_tokens, n_heads, head_dim], rotated in place
  hip::AnyView k, v;                         ///< [n_tokens, n_kv_heads, head_dim]
  hip::AnyView k_cache, v_cache;             ///< [n_slots, kv_capacity, n_kv_heads, head_dim]
  hip::DeviceView<const int32_t> slots;      ///< [n_tokens] 0 .. n_slots - 1
  hip::DeviceView<const int32_t> positions;  ///< [n_tokens] absolute; no two tokens share slot and position
  hip::DeviceView<const float> table;        ///< [n_positions, head_dim / 2, {cos, sin}], made on the host
};

using RopeKvStoreLaunch = void (*)(hip::Stream&, const RopeKvStoreProblem&, const RopeKvStoreArgs&);
using RopeKvStoreRung = Rung<RopeKvStoreProblem, RopeKvStoreLaunch>;

/// Every rung, slowest first.
std::span<const RopeKvStoreRung> rope_kv_store_ladder();

/// Validates, asks the rung, launches. A position outside the table makes the token's heads NaN; a slot or position
/// outside the cache stores nothing there. Fails with kInvalidArgument naming field, got and wanted.
void rope_kv_store(hip::Stream& stream, const RopeKvStoreRung& rung, const RopeKvStoreProblem& problem,
                   const RopeKvStoreArgs& args);

}  // namespace greta
