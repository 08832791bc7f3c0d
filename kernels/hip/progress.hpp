// How far launches got, for finding faults: when launches are waited for beside what the program asks, a recorder in a
// file that outlives the process, and markers that the device itself writes.
//
//   host  a launch has finished when launch() returns, so the recorder alone is exact
//   GPUs  launches of checked mode are waited for one by one; without it the device marks the begin and the end of each
//         launch in pinned host memory (the runtime's fill kernel, one word before and one after it), which an error
//         report reads
//
// All of it is off until asked for, and costs a branch a launch then.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace greta::hip {

/// Waits that the runtime adds. They never change a result that was right: on host nothing is ever in flight.
struct WaitPlan {
  uint64_t every = 0;  ///< after every k-th launch; 0: never
  uint64_t until = 0;  ///< after each of the launches #1..#until
};
void set_wait_plan(const WaitPlan& plan);
/// Whether the plan waits after the launch of that number.
bool wait_planned_after(uint64_t launch);

/// From now on each launch is noted in the file when it begins and when it is known to have finished: what it was, for
/// whoever looks after a crash, a hang or a kill. The file is made anew. Throws kInvalidArgument when it cannot be.
void open_flight_recorder(const std::string& path);

/// What a recorder's file tells.
struct Flight {
  struct Launch {
    uint64_t sequence = 0;
    bool finished = false;
    std::string text;  ///< "#17 rms_norm<f16> grid (4,1,1) ... ; in x = 'hidden' [+0, 256 of 256 f32]; ..."
  };
  uint64_t begun = 0;            ///< number of the last launch handed over
  uint64_t finished = 0;         ///< highest number known to have finished
  std::vector<Launch> launches;  ///< oldest first; the last 8192
};
/// Throws kInvalidArgument when the file is none or is torn.
Flight read_flight(const std::string& path);

/// Device markers, on GPUs: from now on each launch is framed by two writes into pinned host memory. No effect on host.
void mark_launches_on_device(bool on);

}  // namespace greta::hip
