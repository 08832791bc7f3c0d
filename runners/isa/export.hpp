// Cases on which an executor of gfx942 code runs the machine code itself: what the operators launch on host, written
// down at the one place where kernels start.
//
// DIR/manifest.json is a list of cases:
//   {"case": "prefill_attention/v2/gqa dtype=f16 #2", "code_object": "objects/....co", "symbol": "...",
//    "grid": [x,y,z] (workgroups), "block": [x,y,z], "lds_bytes": dynamic LDS,
//    "args": [{"name": "q", "kind": "buffer", "file": "3.q.bin", "direction": "in|out|inout",
//              "expected": "3.q.expected.bin", "compare": "bits" | {"type": "f16|bf16|f32", "atol": a, "rtol": r}},
//             {"name": "4", "kind": "f32|i32|u32|i64|u64|bytes", "value": 0.125 | 7 | "hex"}]}
// Files are raw little-endian bytes; an output's file holds the poison it had before the launch.
#pragma once

#include "results/store.hpp"
#include "runners/isa/code_object.hpp"

namespace greta::runners::isa {

struct ExportOptions {
  std::string folder;  ///< made when missing; must be empty or an earlier export
  std::string filter;  ///< regular expression over case names
  uint64_t seed = 1;
};

/// Runs every operator and rung on small problems drawn from the seed and writes each launch as a case; then, for each
/// instance with the hardware's exp2, the case of its portable twin with a tolerance. One record a kernel of the code
/// objects: FAIL for one that no case launches, SKIP with the reason for one that cannot be launched so. Throws
/// kInvalidArgument for a launch whose symbol is in no code object.
void export_cases(const ExportOptions& options, const Toolchain& tools, const std::vector<CodeObject>& objects,
                  results::Store& store);

/// Cases on which an executor must fail, and their control: launches of a sound attention kernel on matrix tiles with
/// its expected outputs, where the code object holds it ("planted/sound/...") or the same kernel with one mistake
/// ("planted/no_barrier/...", "planted/swapped_fragments/..."). `objects` are those of the target gfx942_defects.
void export_planted_cases(const ExportOptions& options, const std::vector<CodeObject>& objects);

}  // namespace greta::runners::isa
