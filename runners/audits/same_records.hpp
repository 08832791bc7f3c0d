// Whether the cells of a run hold the bits of an earlier run's, made elsewhere: another platform with the same matrix
// model and portable exp2 owes them.
#pragma once

#include <span>
#include <string>

#include "results/record.hpp"

namespace greta::runners {

/// Cells of this run against the cases of the same names in the last run that `file` (JSON Lines) holds: verdict,
/// every measured value but those of the process (how it ended, its memory), and the hash of both sides' logits. A
/// cell that is in one of the two only, or has no hash, is a failure, and so is a file with no cell. Fills r.measured
/// with `cells`, `different` and where the earlier run was made, and r.outcome: PASS, FAIL naming each difference,
/// VACUOUS when both runs name one platform, device and commit: a thing compared with itself. Throws kInvalidArgument
/// for a file that cannot be read.
void compare_with_earlier(std::span<const results::Record> cells, const results::Environment& here,
                          const std::string& file, results::Record& r);

}  // namespace greta::runners
