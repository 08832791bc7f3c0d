// Tables of measured speed, made from records of `greta bench`, beside figures of other programs: docs/speed_h200.md
// is this.
#pragma once

#include <span>
#include <string>

#include "results/store.hpp"

namespace greta::results {

/// Markdown: the runs, a table an operator, and what exactness costs: of every row that has a free variant (rungs whose
/// names have "_free" in them) the fastest rung with the arithmetic's one order against the fastest without. Of a case
/// that was measured several times (same operator, rung, row and exp2) the last counts. A case that is not PASS keeps
/// its row, with its verdict where figures would be.
///
/// `peers`: an array of {"kernel", "case", "figure", "value", "peer", "source"}: what another program reached on a row
/// of ours. `figure` names a measured value: "tflop_per_s", "gb_per_s", "tokens_per_s" or "median_us" (where less is
/// better). The fastest rung with one order stands beside it.
///
/// Throws kInvalidArgument when there is no record of kind "bench", and for a peer without a green row of ours.
std::string bench_page(std::span<const StoredRun> runs, const Json& peers = Json::array());

}  // namespace greta::results
