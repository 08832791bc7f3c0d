// Does bisection find what was planted? A small mistake at every stage of every layer, one at a time, on either side in
// turn: located (position, layer, stage), its class named, and the right side accused.
#pragma once

#include "runners/gates/bisect.hpp"

namespace greta::runners {

struct SweepRow {
  model::Planting planting;
  std::string side;  ///< that it was planted on
  bool located = false, class_right = false, side_right = false;
  std::string found;  ///< what bisection said
  double seconds = 0;
  bool right() const { return located && class_right && side_right; }
};

/// The 13 stages (embed_out and logits once, the others in each of `layers`; empty: all) at the last position. Reads of
/// a wrong buffer at residual_pre_attn, one moved element elsewhere. `each` is called after every row.
std::vector<SweepRow> sweep_bisect(const BisectRequest& request, const std::vector<int64_t>& layers,
                                   const std::function<void(const SweepRow&)>& each = {});

}  // namespace greta::runners
