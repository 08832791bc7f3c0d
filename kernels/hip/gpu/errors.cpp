// Error discipline of the GPU platforms. A device reports a fault at the next call that waits, not at the launch that
// caused it: what is found there is labelled with the launches it can come from, made sticky, and never retried.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "kernels/hip/blame.hpp"
#include "kernels/hip/gpu/api.hpp"
#include "kernels/hip/markers.hpp"
#include "kernels/hip/platform.hpp"

namespace greta::hip::gpu {
namespace {

/// Launches of a stream that are not known to be done.
struct Pending {
  uint64_t first = 0;
  uint64_t last = 0;
};
struct Ledger {
  std::mutex mutex;
  std::map<const Stream::Impl*, Pending> pending;
};
Ledger& ledger() {
  static auto* l = new Ledger;  // never destroyed: streams may end after it would be
  return *l;
}

bool device_lost(hipError_t error) { return error == hipErrorNoDevice || error == hipErrorECCNotCorrectable; }

/// "originates in launches #3..#7:" and a line for each that the ring still has.
std::string origin() {
  Pending range;
  {
    std::lock_guard lock(ledger().mutex);
    for (const auto& [stream, p] : ledger().pending) {
      range.first = range.first ? std::min(range.first, p.first) : p.first;
      range.last = std::max(range.last, p.last);
    }
  }
  if (range.last == 0)
    return "no launch of this process is unfinished, so it comes from the runtime's own work, the driver or the device";
  std::string text = range.first == range.last
                         ? fmt::format("asynchronous: originates in launch #{}:", range.first)
                         : fmt::format("asynchronous: originates in launches #{}..#{}:", range.first, range.last);
  std::vector<std::string> candidates;
  for (const LaunchRecord& launch : recent_launches()) {
    if (launch.sequence < range.first || launch.sequence > range.last) continue;
    candidates.push_back(describe(launch));
    text += "\n  " + describe(launch);
    for (const LaunchArgument& a : launch.arguments)
      if (a.direction != "scalar") text += fmt::format("\n      {} {} = {}", a.direction, a.name, a.text);
  }
  neutral::blame_candidates(std::move(candidates));
  if (range.first == range.last) neutral::blame_launch(range.first);
  for (const platform::DeviceMark& mark : platform::device_marks()) {
    if (mark.finished || mark.sequence < range.first || mark.sequence > range.last) continue;
    neutral::blame_launch(mark.sequence);
    text += fmt::format("\n  the device began #{} and did not finish it", mark.sequence);
  }
  if (range.first != range.last)
    text += "\n  next step: run again in checked mode, which waits after every launch and so names one";
  return text;
}

}  // namespace

std::string error_text(hipError_t error) {
  const std::string name = hipGetErrorName(error), meaning = hipGetErrorString(error);
  return name == meaning ? name : name + " (" + meaning + ")";
}

void check(hipError_t error, const std::string& what) {
  if (error == hipSuccess) return;
  (void)hipGetLastError();
  const std::string text = fmt::format("{}: {}", what, error_text(error));
  if (error == hipErrorOutOfMemory) throw Error(ErrorKind::kOutOfMemory, text);
  if (device_lost(error)) throw Error(ErrorKind::kNoDevice, text);
  neutral::raise_fault(text + "; " + origin());
}

void check_after_wait(hipError_t error, const std::string& found_by) {
  if (error == hipSuccess) return;
  (void)hipGetLastError();
  const std::string text = fmt::format("{}, found by {}; {}", error_text(error), found_by, origin());
  if (device_lost(error)) throw Error(ErrorKind::kNoDevice, "device lost: " + text);
  neutral::raise_fault(text);
}

void note_enqueued(const Stream& stream, uint64_t sequence) {
  std::lock_guard lock(ledger().mutex);
  Pending& p = ledger().pending[&stream.impl()];
  if (p.first == 0) p.first = sequence;
  p.last = sequence;
}

namespace {
/// What the device marked as finished, into the flight recorder; nothing where it marks nothing.
void bring_marks_home() {
  for (const platform::DeviceMark& mark : platform::device_marks())
    if (mark.finished) neutral::note_finished(mark.sequence);
}
}  // namespace

void note_waited(const Stream& stream) {
  bring_marks_home();
  forget(&stream.impl());
}

void note_waited_for_all() {
  bring_marks_home();
  std::lock_guard lock(ledger().mutex);
  ledger().pending.clear();
}

void forget(const Stream::Impl* stream) {
  std::lock_guard lock(ledger().mutex);
  ledger().pending.erase(stream);
}

}  // namespace greta::hip::gpu
