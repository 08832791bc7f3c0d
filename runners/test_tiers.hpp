// Which tests of runners_test `greta test` runs in which tier. The quick tier leaves out what runs whole audits and
// sweeps again and again; each verb of those keeps a quick check (`greta audit defects --one-each`), and the full tier
// runs everything.
#pragma once

#include <string>

namespace greta::runners {

/// A step of their own in both tiers.
inline constexpr const char* kLintTests[] = {"RawCalls*", "Includes*", "Length*", "QuietKernels*", "Formatting*"};

/// Each takes a second or more.
inline constexpr const char* kSlowTests[] = {
    "GateProgram.EveryDefectIsRedOnEachSideAndPlaced",
    "DefectCatalogue.EveryGateThatCanMeetADefect*",
    "KnobAudits.ASeedChanges*",
    "DefectCatalogue.OneOfEveryRoom*",
    "DefectCatalogue.AGateThatIsRed*",
    "Audits.ACellThatDies*",
    "Audits.ARedCellIsRed*",
    "Audits.Determinism*",
    "Audits.Copies*",
    "Audits.Memory*",
    "Audits.CrashesKillsAndHangs*",
    "Audits.AMissingWait*",
    "Instruments.*",
    "GateProgram.EveryPathHasTheBits*",
    "KnobAudits.GreenOnTheSample",
    "KnobAudits.AKnobThatIsDropped*",
    "KnobAudits.WhatMustNotDepend*",
    "PlantedExport.EveryMistake*",
    "Verify.EveryListedDefectIsRed",
    "Verify.MatrixTilesAreChecked",
    "OutputAudit.*",
    "Forensics.ReadoutIsTheLastTokens*",
    "Forensics.BisectPlacesEveryDefect",
    "Forensics.BisectFindsWhatWasPlanted",
    "Forensics.BisectOfRightPaths*",
    "LayoutAudit.EveryKindOfDamage*",
    "LauncherTest.EveryKindOfChange*",
    "LauncherTest.BuildFailureShows*",
    "LauncherTest.TreeThatMoved*",
    "Forensics.BisectTakesTheGates*",
    "Forensics.BisectAgainstASavedTrace",
    "GateProgram.OneWorkerAndTwoAgree",
};

/// A filter of GoogleTest that names them all.
template <size_t n>
std::string filter_of(const char* const (&patterns)[n]) {
  std::string all;
  for (const char* pattern : patterns) all += (all.empty() ? "" : ":") + std::string(pattern);
  return all;
}

}  // namespace greta::runners
