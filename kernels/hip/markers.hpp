// Inside kernels/hip: what the neutral part and the platforms tell each other about the progress of launches.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/hip/runtime.hpp"

namespace greta::hip {

namespace platform {

/// Launches that the device marked as begun, and whether it marked their end; those of the last 256.
struct DeviceMark {
  uint64_t sequence = 0;
  bool finished = false;
};
/// Empty where the device writes no marks (host) or was not asked to.
std::vector<DeviceMark> device_marks();
void enable_device_marks(bool on);
/// Enqueues the mark; nothing where marks are off.
void mark_begun(Stream& stream, uint64_t sequence);
void mark_finished(Stream& stream, uint64_t sequence);

}  // namespace platform

namespace neutral {

/// For begin_launch() and end_launch(). `done`: the stream was waited for after the launch.
void note_begun(uint64_t sequence);
void note_finished(uint64_t sequence);
/// Async-signal-safe: brings marks of the device into the recorder's file.
void note_finished_in_signal(uint64_t sequence);

}  // namespace neutral
}  // namespace greta::hip
