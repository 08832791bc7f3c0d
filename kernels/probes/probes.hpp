// Kernels whose answer depends on what no other kernel's may depend on: the proof that a setting of the runtime reached
// the machine.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/hip/runtime.hpp"

namespace greta {

/// 4 workgroups of 128 threads each take a ticket from one counter: result[i] is the ticket of thread i of all, the
/// last element the lanes of a wave. On a GPU, and on host with several workers, tickets differ from run to run.
std::vector<int32_t> probe_schedule(hip::Stream& stream);

}  // namespace greta
