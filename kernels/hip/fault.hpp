// The sticky fault: the first thing that went wrong on the device, quoted by everything that is refused after it.
#pragma once

#include <optional>
#include <string>

namespace greta::hip {

/// The text of the first device fault of this process, if there was one. Launches, copies and waits throw it from then
/// on: nothing computed after a fault can be trusted.
std::optional<std::string> sticky_fault();

/// Forgets the fault. On host the executor is whole again after a fault; on a GPU only a fresh process is. For tests
/// that plant faults.
void reset_sticky_fault_for_tests();

/// Whether this build has the host platform's shadow memory (preset host-races).
bool has_race_checker();

}  // namespace greta::hip
