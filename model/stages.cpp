#include "model/stages.hpp"

#include <array>

namespace greta::model {
namespace {

constexpr std::array<StageInfo, 20> kStages = {{
    {"embed_out", false, true},     {"residual_pre_attn", true, true},
    {"attn_in", true, true},        {"q_pre_rope", true, true},
    {"k_pre_rope", true, true},     {"v", true, false},
    {"q_post_rope", true, true},    {"k_post_rope", true, true},
    {"k_cache", true, false},       {"v_cache", true, false},
    {"softmax_stats", true, false}, {"attn_out", true, true},
    {"wo_out", true, false},        {"residual_post_attn", true, true},
    {"ffn_norm_in", true, true},    {"gate_up", true, false},
    {"mlp_out", true, true},        {"residual_post_mlp", true, true},
    {"final_norm", false, false},   {"logits", false, true},
}};

}  // namespace

std::span<const StageInfo> stage_table() { return kStages; }

int stage_index(std::string_view name) {
  std::string known;
  for (size_t i = 0; i < kStages.size(); ++i) {
    if (kStages[i].name == name) return static_cast<int>(i);
    known += (known.empty() ? "" : ", ") + std::string(kStages[i].name);
  }
  throw_invalid("no stage '" + std::string(name) + "'; there are: " + known);
}

const StageInfo& stage_from_name(std::string_view name) { return kStages[static_cast<size_t>(stage_index(name))]; }

size_t offset_in_allocation(const hip::AnyView& view) {
  return static_cast<size_t>(static_cast<const char*>(view.data()) -
                             static_cast<const char*>(hip::address_of(view.id())));
}

void read_view(hip::Stream& stream, const hip::AnyView& view, void* to) {
  const size_t bytes = view.count() * static_cast<size_t>(dtype_block_bytes(view.dtype()));
  if (bytes) hip::copy_from_device(stream, view.id(), offset_in_allocation(view), to, bytes);
}

void write_view(hip::Stream& stream, const hip::AnyView& view, const void* from) {
  const size_t bytes = view.count() * static_cast<size_t>(dtype_block_bytes(view.dtype()));
  if (bytes) hip::copy_to_device(stream, view.id(), offset_in_allocation(view), from, bytes);
}

}  // namespace greta::model
