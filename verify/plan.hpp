// What a run of `greta verify` checks: every rung x case x tier, in order; and the words that name one of them.
//
//   prefill_attention/v2 gqa_llama3_8b tier=E1 dtype=f16 seed=1234      a row of a table, its variant
//   prefill_attention/v2 tier=B n_tokens=16 n_kv=4099 n_heads=32 seed=3 a free problem line
#pragma once

#include <string>
#include <vector>

#include "verify/operator.hpp"

namespace greta::verify {

/// One case on one rung and the tiers to run on it.
struct PlannedCase {
  const Operator* op = nullptr;
  RungInfo rung;
  Case row;  ///< name empty for a free problem line
  std::vector<std::string> tiers;
  uint64_t seed = 1;
};

/// "prefill_attention/v2 gqa_llama3_8b tier=E1 dtype=f16 seed=1234": accepted by parse_repeat() and by --filter's
/// regex.
std::string title(const PlannedCase& planned, const std::string& tier);

struct PlanOptions {
  std::string filter;  ///< regular expression searched in title(); empty: all
  /// quick; full (all rows, each with seed, seed + 1 and seed + 2); or tiers of the quick rows: "E1", "I:wave", "E0,B".
  std::string tier = "quick";
  uint64_t seed = 1;
  std::vector<std::pair<std::string, std::string>> rungs;  ///< operator, rung: only that rung of that operator
};

/// Throws kInvalidArgument for a bad expression, an unknown tier, operator or rung.
std::vector<PlannedCase> plan(std::span<const Operator* const> operators, const PlanOptions& options);

/// Words as title() writes them; a missing tier means all tiers, a missing seed `default_seed`. Throws kInvalidArgument
/// saying which word is not understood and what is known.
PlannedCase parse_repeat(std::span<const Operator* const> operators, const std::string& words, uint64_t default_seed);

}  // namespace greta::verify
