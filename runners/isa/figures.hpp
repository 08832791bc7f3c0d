// The figures of a kernel for gfx942, read from its code object. Passes are 4 clocks; "per wave" where nothing is said.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runners/isa/lds_banks.hpp"
#include "runners/isa/region.hpp"

namespace greta::runners::isa {

/// What the binary does not say; from the manifest.
struct Declared {
  int threads = 0;          ///< of a workgroup, as the operator launches it
  int64_t dynamic_lds = 0;  ///< bytes, the most that is launched
  double hbm_bytes = 0;     ///< of a wave in one pass through the region; 0: all its loads and stores
  bool rereads = false;     ///< the region's loads also hit the cache: load-to-wait is their median
  bool whole_body = false;  ///< the kernel's loops are not its work
};

/// By name, so that table, records, thresholds, waivers and baseline speak of the same things. A figure that does not
/// apply (no MFMA in the loop, no load) is absent.
using Figures = std::map<std::string, double>;

/// Which way is worse, for the drift rule.
enum class Worse { kHigher, kLower, kNeither };
struct FigureInfo {
  const char* name;
  Worse worse;
  const char* what;
};
/// Every figure there is, in the order of reports.
///   registers                vgpr agpr sgpr vgpr_spills sgpr_spills scratch_bytes lds_bytes dynamic_stack
///   occupancy                workgroups_per_cu waves_per_simd
///   hot loop or main path    loop instructions code_bytes mfma_passes valu_passes valu_per_mfma lds_per_mfma ...
std::span<const FigureInfo> figure_table();

struct Report {
  Figures figures;
  std::vector<std::string> forbidden;  ///< hard rules the code breaks: "scratch_load_dword in the hot loop"
  std::string mca_note;                ///< why there is no mca figure, where there ought to be one
  bool loop = false;
};

Report measure(const Toolchain& tools, const Kernel& kernel, const Declared& declared);

/// Waves a SIMD by registers: the pool holds 512, in blocks of 8.
int waves_by_registers(int64_t vgprs);

/// Walks the path three times, queues vector memory operations in order and takes them from the queue at the waits.
struct Waiting {
  std::vector<double> passes;  ///< of each widest load that a wait ends in steady state: passes between the two
  int64_t most_bytes = 0;      ///< largest sum of bytes a lane has outstanding in loads
};
Waiting walk(const Kernel& kernel, const Region& region);

/// llvm-mca on the path without branches and barriers.
struct Mca {
  double cycles = 0, xdl = 0;  ///< of one iteration
  std::string error;
};
Mca run_mca(const Toolchain& tools, const Kernel& kernel, const Region& region);

}  // namespace greta::runners::isa
