#include "kernels/prefill_attention/prefill_attention.hpp"

#include <fmt/format.h>

#include <cmath>

#include "kernels/prefill_attention/rungs.hpp"
#include "kernels/tile/attention_checks.hpp"

namespace greta {

namespace {

constexpr PrefillAttentionRung kPrefillAttentionLadder[] = {
    // name  launch                accepts                                                  arithmetic      the change
    {"v1", prefill_attention_v1, attention_accepts_d64_d128<PrefillAttentionProblem>, "two_pass_f32",
     "one thread per output row, two passes over its keys"},
    {"v2", prefill_attention_v2, attention_accepts_d64_d128<PrefillAttentionProblem>, "online_f32",
     "one pass over the keys with a running maximum, one wave per output row"},
    {"v3", prefill_attention_v3, attention_accepts_d64_d128<PrefillAttentionProblem>, "online_f32",
     "Q, K and V tiles in LDS, a register tile of both products in every thread"},
    {"v4", prefill_attention_v4, attention_accepts_d64_d128<PrefillAttentionProblem>, "online_mma",
     "both products on matrix cores, K and V copied ahead, two workgroups on a CU in turns"},
};

}  // namespace

const PrefillAttentionRung kPrefillFree = {"v4_free", prefill_attention_v4_free,
                                           [](const PrefillAttentionProblem& p) -> std::string {
                                             if (p.head_dim != 128)
                                               return fmt::format("head_dim must be 128, got {}", p.head_dim);
                                             return attention_accepts_d64_d128(p);
                                           },
                                           "online_mma_free", "v4 without splits"};

std::span<const PrefillAttentionRung> prefill_attention_ladder() { return kPrefillAttentionLadder; }

float attention_scale_log2(float scale, int64_t head_dim) {
  constexpr double kLog2E = 0x1.71547652b82fep+0;
  if (!std::isfinite(scale)) throw_invalid(fmt::format("attention: scale must be finite, got {}", scale));
  if (scale == 0.0f) scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim)));
  return static_cast<float>(static_cast<double>(scale) * kLog2E);
}

size_t prefill_attention_workspace(const PrefillAttentionProblem& p) {
  if (p.n_kv <= kAttentionSplit) return 0;
  constexpr int64_t kRows = 128;
  return static_cast<size_t>(p.batch * p.n_heads * ((p.n_tokens + kRows - 1) / kRows * kRows) * p.head_dim);
}

void prefill_attention(hip::Stream& stream, const PrefillAttentionRung& rung, const PrefillAttentionProblem& p,
                       const PrefillAttentionArgs& args) {
  validate(p);
  if (const std::string reason = rung.accepts(p); !reason.empty())
    throw_invalid(fmt::format("prefill_attention {}: {} ({})", rung.name, reason, to_line(p)));
  require_attention_tensor("prefill_attention: q", args.q, p.dtype);
  require_attention_tensor("prefill_attention: k", args.k, p.dtype);
  require_attention_tensor("prefill_attention: v", args.v, p.dtype);
  require_attention_tensor("prefill_attention: o", args.o, p.dtype);
  rung.launch(stream, p, args);
}

}  // namespace greta
