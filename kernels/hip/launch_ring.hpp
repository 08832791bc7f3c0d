// Notes of launches: the ring behind recent_launches() and the logs behind LaunchLog. For the .cpp files of
// kernels/hip.
#pragma once

#include <span>

#include "kernels/hip/launch_shape.hpp"

namespace greta::hip::neutral {

/// Keeps the launch in the ring and counts it in every LaunchLog that lives.
void note_launch(const Stream& stream, const LaunchShape& shape, std::span<const ErasedArgument> arguments);

/// The launch of that number, while the ring has it.
LaunchRecord launch_of(uint64_t sequence);
std::vector<ErasedArgument> arguments_of(uint64_t sequence);

}  // namespace greta::hip::neutral
