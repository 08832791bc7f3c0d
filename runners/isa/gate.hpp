// The static gate: every kernel of every code object against its row of the manifest and the baseline.
#pragma once

#include <functional>

#include "runners/isa/rules.hpp"

namespace greta::runners::isa {

struct Judged {
  std::string object;
  const Kernel* kernel;
  const Row* row = nullptr;  ///< null: no row, which is red
  Report report;
  Judgement judgement;
  std::string key() const { return object + " " + kernel->name; }
};

/// Measures and judges the kernels of these objects. `baseline` null: no drift rule.
std::vector<Judged> judge_objects(const Toolchain& tools, const std::vector<CodeObject>& objects,
                                  std::span<const Row> rows, const Baseline* baseline);

/// Rows, waivers and baseline entries that no kernel answers to: a gate that looks at nothing. One line each.
std::vector<std::string> idle_entries(const std::vector<Judged>& judged, std::span<const Row> rows,
                                      const Baseline* baseline);

/// Figures of a kernel in the columns of its class.
std::string table_head(Kind kind);
std::string table_line(const Judged& judged);

}  // namespace greta::runners::isa
