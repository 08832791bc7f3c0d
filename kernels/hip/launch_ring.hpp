// Notes of launches: the ring behind recent_launches() and the logs behind LaunchLog. For the .cpp files of
// kernels/hip.
#pragma once

#include <span>

#include "kernels/hip/launch_shape.hpp"

namespace greta::hip::neutral {

/// Keeps the launch in the ring and counts it in every LaunchLog that lives.
void note_launch(const Stream& stream, const LaunchShape& shape, std::span<const ErasedArgument> arguments);

/// While the calling thread records a graph: keeps the launch for it and returns true.
bool note_recorded(const LaunchShape& shape);

/// Counts the launch among rows of distinct ones.
void count_launch(std::vector<LaunchLog::Row>& rows, const LaunchShape& shape);
/// One entry in the ring for a replayed graph, and its launches in every LaunchLog that lives.
void note_replay(const Stream& stream, const LaunchShape& shape, std::span<const LaunchLog::Row> launches);

/// The launch of that number, while the ring has it.
LaunchRecord launch_of(uint64_t sequence);
std::vector<ErasedArgument> arguments_of(uint64_t sequence);

}  // namespace greta::hip::neutral
