// The most device memory that was held during a part of a run.
#pragma once

#include <cstddef>

namespace greta::hip {

/// Starts a phase: its high water begins at what is held now.
void begin_memory_phase();
/// Bytes of live allocations (as asked for, without guard zones), the most since then.
size_t phase_high_water();

}  // namespace greta::hip
