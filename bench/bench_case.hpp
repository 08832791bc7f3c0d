// What a benchmark is here: one rung of one operator on one problem. An operator's file (bench/<operator>_bench.cpp)
// lists its cases; the driver (bench/driver.hpp) registers them with Google Benchmark, times them, checks their
// answers, judges them by the roofline and writes records.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/ceilings/ceilings.hpp"
#include "kernels/hip/ladder.hpp"
#include "kernels/hip/problem.hpp"
#include "kernels/hip/runtime.hpp"

namespace greta::bench {

struct Options {
  uint64_t seed = 1;
  ExpMode exp = ExpMode::kPortable;
};

/// Inputs and outputs of a case in several copies (slots), so that a launch finds its data cold.
class Workload {
 public:
  virtual ~Workload() = default;
  virtual int64_t slots() const = 0;
  /// Bytes of all slots together: what rotates through the caches.
  virtual double footprint() const = 0;
  /// Bytes of one launch, when they are known only now; 0: as the case says.
  virtual double bytes() const { return 0; }
  /// Enqueues one launch on that slot.
  virtual void launch(hip::Stream& stream, int64_t slot) = 0;
  /// Whether slots hold the right answer after launches[slot] launches each: empty, or what is wrong and where.
  virtual std::string check(hip::Stream& stream, std::span<const int64_t> launches) = 0;
};

struct BenchCase {
  std::string op;          ///< operator: "rms_norm"
  std::string rung;        ///< "v1"
  std::string arithmetic;  ///< of the rung
  std::string row;         ///< row of the case table, unique with its variant within the operator: "llama3_8b/4096"
  std::string problem;     ///< line
  double flops = 0;        ///< of one launch, as the problem counts them
  double bytes = 0;        ///< each operand once
  Compute compute = Compute::kF32;
  bool first_rung = false;  ///< the rung that ratios refer to
  double tokens = 0;        ///< that a launch gets through, for a column of tokens/s; 0: no such column
  std::function<std::unique_ptr<Workload>(const Options&)> make;

  std::string name() const { return op + "/" + rung + "/" + row; }
  std::string row_key() const { return op + "/" + row; }
};

/// Row of an operator's table of benchmarked problems.
template <class P>
struct BenchRow {
  const char* name;
  P problem;
  bool on_host = false;  ///< small enough for the CPU
};

/// A case for every rung that accepts the problem, in ladder order; rows that are not for the host are left out there.
/// make(rung, problem, options) gives the workload.
template <class P, class R, class Make>
void add_rungs(std::vector<BenchCase>& to, const char* op, std::span<const R> ladder, const BenchRow<P>& row,
               Compute compute, Make make) {
  if (!row.on_host && hip::platform_name() == "host") return;
  bool first = true;
  for (const R& rung : ladder) {
    if (!rung.accepts(row.problem).empty()) continue;
    BenchCase c;
    c.op = op, c.rung = rung.name, c.arithmetic = rung.arithmetic, c.row = row.name;
    c.problem = to_line(row.problem), c.flops = row.problem.flops(), c.bytes = row.problem.bytes();
    c.compute = compute, c.first_rung = first;
    c.make = [make, &rung, problem = row.problem](const Options& options) { return make(rung, problem, options); };
    to.push_back(std::move(c));
    first = false;
  }
}

/// Every case of every operator, in the order of a forward pass.
std::vector<BenchCase> all_cases();

}  // namespace greta::bench
