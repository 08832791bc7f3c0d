// Named points of a forward pass: what can be watched, traced and bisected, and where a defect can be planted.
//
// In the order of computation; [width] of a row (one token):
//   embed_out [dim]                                         outside layers
//   residual_pre_attn [dim]   what the layer's first norm reads
//   attn_in [dim]   q_pre_rope [q_dim]   k_pre_rope, v [kv_dim]   q_post_rope [q_dim]   k_post_rope [kv_dim]
//   k_cache, v_cache [kv_dim] the token's row of the cache, after it was written and before attention reads it
//   softmax_stats [2 n_heads] (m, l) of each head, m of the scaled scores in base e. Not held by any kernel at the end
//                             of its work: recomputed in double from q_post_rope and the K rows, and labelled so
//   attn_out [q_dim]   wo_out [dim]   residual_post_attn [dim]   ffn_norm_in [dim]
//   gate_up [ffn_dim]         silu(gate) * up, what the down matrix reads
//   mlp_out [dim]   residual_post_mlp [dim]
//   final_norm [dim]   logits [vocab]                       outside layers
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "kernels/hip/tensor.hpp"

namespace greta::model {

struct StageInfo {
  std::string_view name;
  bool per_layer;
  bool main;  ///< one of the 13 stages; the rest are further points
};
/// In the order of computation.
std::span<const StageInfo> stage_table();
/// Row of the table; throws kInvalidArgument listing the names.
const StageInfo& stage_from_name(std::string_view name);
/// Place in the order of computation.
int stage_index(std::string_view name);

/// Whose row of a pass it is.
struct PassRow {
  int64_t slot = 0, position = 0;
};

/// A stage of a pass, on the device, when it has just been computed (in stream order).
struct StageEvent {
  std::string_view stage;
  int64_t layer = -1;  ///< -1 outside layers
  int64_t width = 0;   ///< elements of a row
  hip::AnyView data;
  std::span<const PassRow> rows;       ///< of the pass; row i of them is data row data_row(i)
  std::span<const int64_t> data_rows;  ///< caches: the row of data that belongs to each; else empty
  int64_t data_row(size_t i) const { return data_rows.empty() ? static_cast<int64_t>(i) : data_rows[i]; }
  hip::AnyView row(size_t i) const {
    return data.slice(static_cast<size_t>(data_row(i) * width), static_cast<size_t>(width));
  }
};
using StageSink = std::function<void(const StageEvent&)>;

/// Bytes of a view of a live allocation to the host, and back; both wait for the stream.
void read_view(hip::Stream& stream, const hip::AnyView& view, void* to);
void write_view(hip::Stream& stream, const hip::AnyView& view, const void* from);
/// Where the view begins in its allocation, in bytes.
size_t offset_in_allocation(const hip::AnyView& view);

}  // namespace greta::model
