// greta audit defects: does every seeded defect turn something red, and does what is red name the right place?
//
// The catalogue holds every defect that can be planted by name: in kernels (verify/defects), wiring, loader, copies and
// knobs of the engine (model/defects.hpp), stages of the forward pass (model/planting.hpp), comparators and gates
// (audits/instruments.hpp), and what flags of verbs plant in copies, memory, launches, traces, schedules, clocks and
// processes (audits/verb_defects.hpp). Each row says what must catch it and where that must point. A defect that
// nothing catches fails the audit; so does an attribution below 95 %. What is red without the defect too has caught
// nothing: every gate must be green on the sound program, by the same command.
//   kernels       caught by a tier of `greta verify`         placed: the operator of the red check
//   engine        caught by the gate or an audit            placed: stage and layer that `greta bisect` names, or the
//                                                           audit itself for knobs
//   stages        caught by `greta bisect`                  placed: stage and layer, and the side that is wrong
//   verbs         caught by the verb, in a child process    placed: what its first red record names
//   instruments   caught by `greta audit instruments`       placed: the kind of check that is red
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runners/audits/case_sink.hpp"
#include "runners/audits/scratch_folder.hpp"
#include "runners/gates/traced_side.hpp"

namespace greta::runners {

struct DefectRow {
  std::string name;
  std::string room;  ///< "kernel", "wiring", "loader", "copy", "knob", "stage", "memory", "fault", ..., "gate"
  std::string what;
  std::string gate;     ///< what must catch it: "verify", "gate", "bisect", "audit dtype", "trace", ...
  std::string place;    ///< where that must point
  std::string command;  ///< that shows it
};
/// In the order of their rooms.
std::vector<DefectRow> defect_catalogue();

struct DefectResult {
  bool caught = false;
  std::string by;     ///< first red check: "E0", "gate FAIL", "audit dtype VACUOUS"
  std::string place;  ///< that was named; "" when none
  bool placed = false;
  std::map<std::string, std::string> gates;  ///< every gate that was tried on it: "red", "green"
  std::string sound = "green";  ///< the gate on the sound program; else its verdict and reason, and nothing was caught
};

/// A made model of the sample's depth, narrow and with few ids: for gates beside the one that must see a defect.
struct SmallModel {
  explicit SmallModel(const ScratchFolder& scratch);
  model::GgufFile file;
  ModelAtHand at_hand;
};

struct DefectBench {
  ModelAtHand* model = nullptr;
  std::vector<int32_t> ids;
  bool every_gate = false;  ///< try every gate that takes the defect, not only the one that must catch it; the others
                            ///< on a small model
  std::map<std::string, results::Outcome> sound = {};  ///< what each gate said of the sound program, by its command
  ScratchFolder scratch{"greta_defects"};
  std::unique_ptr<SmallModel> small = nullptr;  ///< made when it is needed
};
DefectResult try_defect(const DefectRow& row, DefectBench& bench);

inline constexpr double kAttributedAtLeast = 0.95;
struct DefectSummary {
  int64_t defects = 0, caught = 0, placed = 0;
  results::Outcome outcome() const;
};

/// The catalogue and what became of it, as a page of documentation; byte for byte the same on every run.
std::string defects_page(std::span<const DefectRow> rows, std::span<const DefectResult> results);

}  // namespace greta::runners
