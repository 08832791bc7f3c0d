// Defects that a flag of a verb plants, in copies, memory, launches, traces, schedules, clocks and processes: tried as
// a user would, the verb in a child process. What was caught is read from the child's records, the place from the value
// "named" of the first red one, or else from the name of its case.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "results/record.hpp"
#include "runners/audits/scratch_folder.hpp"
#include "runners/child_process.hpp"

namespace greta::runners {

struct VerbDefect {
  std::string name, room, what;
  std::string gate;          ///< "audit copies", "trace": the first words of the command
  std::string sound, plant;  ///< flags: without the defect the gate is green, with `plant` added it must be red
  int64_t tokens = 0;        ///< of the input; 0: the gate takes none
  std::string place;         ///< that must be named
  bool host_only = false;
  std::string sound_plant = {};  ///< instead of nothing, for what has no other green run
  bool text = false;             ///< the input is the sample's text, not ids: for verbs that take nothing else
};
/// Those of this platform, in the order of their rooms.
std::span<const VerbDefect> verb_defects();
/// Throws kInvalidArgument for a name that is none.
const VerbDefect& verb_defect_from_name(const std::string& name);

/// The command as documentation shows it: M for the model, T for the text.
std::string command_of(const VerbDefect& defect);

struct VerbVerdict {
  results::Outcome outcome;  ///< of the first case that is not green; INCOMPLETE for planned cases that never began
  std::string named;
};
/// Runs the gate in a child; `planted` or sound. An exit code that its records contradict is FAIL.
VerbVerdict try_verb(const VerbDefect& defect, bool planted, const std::string& model, std::span<const int32_t> ids,
                     const ScratchFolder& scratch);

}  // namespace greta::runners
