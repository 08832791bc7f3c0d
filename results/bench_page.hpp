// Tables of measured speed, made from records of `greta bench` and from nothing else: docs/speed_h200.md is this.
#pragma once

#include <span>
#include <string>

#include "results/store.hpp"

namespace greta::results {

/// Markdown: the runs, a table an operator, and what exactness costs: of every row that has a free variant (rungs whose
/// names have "_free" in them) the fastest rung with the arithmetic's one order against the fastest without. Of a case
/// that was measured several times (same operator, rung, row and exp2) the last counts. A case that is not PASS keeps
/// its row, with its verdict where figures would be. Throws kInvalidArgument when there is no record of kind "bench".
std::string bench_page(std::span<const StoredRun> runs);

}  // namespace greta::results
