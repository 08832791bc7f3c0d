#include "kernels/decode_attention/decode_attention.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/decode_attention/rungs.hpp"
#include "kernels/prefill_attention/prefill_attention.hpp"
#include "kernels/tile/attention_checks.hpp"

namespace greta {

namespace {

std::string accepts(const DecodeAttentionProblem& p) {
  constexpr int64_t kMaxRows = int64_t{1} << 30;  // rows of the pool are counted in int
  if (p.paged() && p.pages() * p.page_size > kMaxRows)
    return fmt::format("n_pages * page_size must be at most 2^30, got {}", p.pages() * p.page_size);
  return attention_accepts_d64_d128(p);
}
std::string accepts_few_keys(const DecodeAttentionProblem& p) {
  if (p.n_kv > kDecodeScoresKeys)
    return fmt::format("n_kv must be at most {}, got {}: v4 takes any", kDecodeScoresKeys, p.n_kv);
  return accepts(p);
}

constexpr DecodeAttentionRung kDecodeAttentionLadder[] = {
    // name  launch          accepts  arithmetic      the change
    {"v1", decode_attention_v1, accepts, "two_pass_f32", "one thread per query head, two passes over the keys"},
    {"v2", decode_attention_v2, accepts, "online_f32",
     "split-KV: one wave per 512 keys and head, then a merge in order"},
    {"v3", decode_attention_v3, accepts, "online_mma",
     "both products on matrix tiles, the query heads of a KV head as their rows, K and V read once"},
    {"v4", decode_attention_v4, accepts, "online_mma",
     "a workgroup per split, whose waves share every tile: for contexts of few splits"},
    {"v5", decode_attention_v5, accepts_few_keys, "online_mma",
     "scores by a launch that cuts the keys, P V by one that cuts the channels: for few keys"},
};

/// Workgroups of v4, each alone on its CU; waves of v3.
int64_t units_of(const DecodeAttentionProblem& p) { return p.batch * p.n_kv_heads * decode_splits(p); }

/// v5 instead of v4: where v4 leaves most CUs idle. v5 sends for all of K, then for all of V, from many CUs, and pays
/// with scores through memory and with p computed again for every group of channels.
bool leaves_most_cus_idle(const DecodeAttentionProblem& p) {
  constexpr int64_t kCusOfUnit = 4;
  return kCusOfUnit * units_of(p) <= hip::device_info().compute_units && accepts_few_keys(p).empty();
}

}  // namespace

std::span<const DecodeAttentionRung> decode_attention_ladder() { return kDecodeAttentionLadder; }

const DecodeAttentionRung& decode_attention_rung_for(std::string_view arithmetic) {
  std::string known;
  for (const DecodeAttentionRung& rung : kDecodeAttentionLadder) {
    if (rung.arithmetic == arithmetic) return rung;
    known += fmt::format("{}{} ({})", known.empty() ? "" : ", ", rung.arithmetic, rung.name);
  }
  throw_invalid(fmt::format("decode_attention: no rung with arithmetic '{}'; there are: {}", arithmetic, known));
}

const DecodeAttentionRung& decode_attention_rung_for(std::string_view arithmetic, const DecodeAttentionProblem& p) {
  const DecodeAttentionRung& first = decode_attention_rung_for(arithmetic);
  if (arithmetic != "online_mma") return first;
  // v4 has a workgroup where v3 has a wave: it is for as many as there are CUs.
  if (units_of(p) > hip::device_info().compute_units) return first;
  return find_rung("decode_attention", decode_attention_ladder(), leaves_most_cus_idle(p) ? "v5" : "v4");
}

size_t decode_attention_workspace(const DecodeAttentionProblem& p) {
  const size_t partials = decode_partials_workspace(p, decode_splits(p));
  return p.n_kv > kDecodeScoresKeys ? partials : std::max(partials, decode_scores_workspace(p));
}

void decode_attention(hip::Stream& stream, const DecodeAttentionRung& rung, const DecodeAttentionProblem& p,
                      const DecodeAttentionArgs& args) {
  validate(p);
  if (const std::string reason = rung.accepts(p); !reason.empty())
    throw_invalid(fmt::format("decode_attention {}: {} ({})", rung.name, reason, to_line(p)));
  require_attention_tensor("decode_attention: q", args.q, p.dtype);
  require_attention_tensor("decode_attention: k", args.k, p.dtype);
  require_attention_tensor("decode_attention: v", args.v, p.dtype);
  require_attention_tensor("decode_attention: o", args.o, p.dtype);
  if (p.paged() != static_cast<bool>(args.page_table))
    throw_invalid(fmt::format("decode_attention {}: page_table is {}, wanted {} ({})", rung.name,
                              args.page_table ? "given" : "missing",
                              p.paged() ? "one entry a page of every sequence" : "none without pages", to_line(p)));
  if (const auto off = reinterpret_cast<uintptr_t>(args.workspace.data()) % 16)
    throw_invalid(
        fmt::format("decode_attention: workspace must start at a multiple of 16 bytes, got {} past one", off));
  rung.launch(stream, p, args);
}

}  // namespace greta
