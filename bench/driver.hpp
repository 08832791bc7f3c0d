// Runs benchmark cases through Google Benchmark: manual time from device events, one row a case, records beside it.
//
// A row is red when its answer is wrong (FAIL) or it is faster than the roofline (MISTRUSTED). Rows print median,
// spread, GB/s and % of the copy ceiling, TFLOP/s and % of the arithmetic ceiling, and the speed relative to the first
// rung of the same problem, if that ran before.
#pragma once

#include <string>
#include <vector>

#include "bench/bench_case.hpp"
#include "results/store.hpp"

namespace greta::bench {

struct RunOptions {
  Options inputs;
  std::string filter;              ///< regular expression searched in "operator/rung/row"; empty: all
  std::vector<std::string> flags;  ///< Google Benchmark's own, as given ("--benchmark_...")
  std::string repeat_words;        ///< common flags to repeat a row with
  std::vector<BenchCase> cases;    ///< usually all_cases()
};

/// Runs what the filters leave and returns the program's exit code. Throws kInvalidArgument for a bad filter or flag
/// and for filters that leave nothing; infrastructure errors (device fault, no space for records) stop the run and are
/// thrown after what was measured has been written. May be called once in a process with flags: Google Benchmark keeps
/// them.
int run(const RunOptions& options, results::Store& store);

/// The cases whose name matches; throws kInvalidArgument for a bad expression.
std::vector<BenchCase> filtered(const std::vector<BenchCase>& cases, const std::string& filter);

/// Checks what Google Benchmark would end the process for, or take without a word. Throws kInvalidArgument naming the
/// flag.
void check_flags(const std::vector<std::string>& flags);

}  // namespace greta::bench
