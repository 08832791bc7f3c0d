// One stage of a forward pass computed again from the inputs that a side itself had: which side of a difference is
// wrong.
//
//   stage                          from                                        held to
//   embed_out                      the token's id                              embedding oracle and twin
//   residual_pre_attn              embed_out, or residual_post_mlp of the      a copy
//                                  layer before
//   attn_in, ffn_norm_in,          residual_pre_attn, residual_post_attn,      RMSNorm oracle and twin
//   final_norm                     residual_post_mlp
//   q_pre_rope, k_pre_rope, v,     attn_in, attn_out, gate_up, final_norm      matmul oracle and twin, on the weights
//   wo_out, mlp_out, logits                                                    of the file
//   q_post_rope, k_post_rope       q_pre_rope, k_pre_rope                      RoPE oracle and twin
//   k_cache, v_cache               k_post_rope, v                              a copy
//   attn_out                       q_post_rope, k_cache and v_cache of all     attention oracle and twin of the
//                                  positions seen                              side's arithmetic
//   residual_post_attn, _post_mlp  the residual stream and the branch          residual oracle and twin
//   gate_up                        ffn_norm_in                                 two matmuls and SwiGLU, bounds together
// The oracle computes in double and has a derived bound (reference/): beyond it a side is wrong. Within it, the twin
// predicts the bits where it can (portable exp): a side that has other bits than the twin is the one that strayed.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "model/trace.hpp"
#include "runners/gates/traced_side.hpp"

namespace greta::runners {

/// The points that `key` is computed from, without the earlier positions of the caches.
std::vector<model::PointKey> inputs_of(const model::PointKey& key, int64_t n_layers);
/// True for the points of earlier positions that attention at `key` reads.
bool reads_cache_row(const model::PointKey& key, const model::PointKey& of);

struct Recomputed {
  bool done = false;
  std::string why_not;     ///< when not done
  double worst_ratio = 0;  ///< largest |got - value| / bound; infinite for NaN
  int64_t worst_element = 0;
  double got = 0, value = 0, bound = 0;  ///< there
  bool twin = false;                     ///< the twin was computed, and:
  int64_t bits_differ = 0;               ///< elements whose bits are not the twin's
  bool wrong() const { return done && !(worst_ratio <= 1); }
};

/// Raw points of the side, by key: values as doubles, and their type.
struct RawPoint {
  DType dtype;
  std::vector<double> values;
};
using RawLookup = std::function<RawPoint(const model::PointKey&)>;

/// What the engine knew beside its tensors.
struct RecomputeContext {
  const model::GgufFile* file = nullptr;
  const model::LlamaConfig* config = nullptr;
  std::span<const int32_t> ids;
  std::string arithmetic;  ///< of the pass's attention
  ExpMode exp = ExpMode::kPortable;
};

/// `stage` of the side computed from the side's own inputs; lookup throws when it has no such point.
Recomputed recompute(const RecomputeContext& context, const model::PointKey& key, const RawLookup& lookup);

}  // namespace greta::runners
