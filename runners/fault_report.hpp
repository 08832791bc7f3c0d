// What a process leaves behind for whoever looks for its fault: a report in a file, as one JSON object.
#pragma once

#include <optional>
#include <string>

#include "kernels/hip/fault.hpp"
#include "results/record.hpp"

namespace greta::runners {

class Command;  ///< runners/command_line.hpp

/// Flags --sync-every, --sync-until, --checked, --fault-report, --flight-recorder and --device-marks, for every verb.
void add_fault_flags(Command app);

/// To the file of --fault-report, if one was given and there is something to tell: a device fault, whoever caught it,
/// or a launch that was refused and whose error ended the program with `message`. Does not throw.
void write_fault_report(const std::string& message) noexcept;

results::Json to_json(const hip::FaultReport& report);
/// Nothing when there is no file; throws kInvalidArgument when it is torn.
std::optional<hip::FaultReport> read_fault_report(const std::string& path);

}  // namespace greta::runners
