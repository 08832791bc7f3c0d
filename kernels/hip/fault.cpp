#include "kernels/hip/fault.hpp"

#include <mutex>
#include <utility>

#include "kernels/hip/blame.hpp"
#include "kernels/hip/launch_ring.hpp"
#include "kernels/hip/registry.hpp"

namespace greta::hip {
namespace {

struct State {
  std::mutex mutex;
  std::optional<std::string> text;
  neutral::Blame blame;  ///< what the next fault's finder said of it
  std::optional<FaultReport> report;
};
State& state() {
  static auto* s = new State;  // never destroyed: buffers released at exit still ask
  return *s;
}

}  // namespace

std::optional<std::string> sticky_fault() {
  std::lock_guard lock(state().mutex);
  return state().text;
}

void reset_sticky_fault_for_tests() {
  std::lock_guard lock(state().mutex);
  state().text.reset();
  state().report.reset();
  state().blame = {};
}

std::optional<FaultReport> last_fault_report() {
  std::lock_guard lock(state().mutex);
  return state().report;
}

bool has_race_checker() {
#if defined(GRETA_RACES)
  return true;
#else
  return false;
#endif
}

namespace neutral {

bool faulted() {
  std::lock_guard lock(state().mutex);
  return state().text.has_value();
}

namespace {
/// The parts of `text` that its finder named. A place counts only where the text speaks of it: of two workgroups that
/// fault at once, one is reported.
FaultReport report_of(const std::string& text, Blame blame) {
  FaultReport report;
  report.text = text;
  if (!blame.place.empty() && text.find(blame.place) != std::string::npos) {
    report.argument = std::move(blame.argument), report.direction = std::move(blame.direction);
    report.buffer = blame.buffer.name, report.buffer_bytes = blame.buffer.bytes;
    report.buffer_freed = blame.buffer.freed, report.offset = blame.offset;
  }
  report.launch = blame.launch;
  if (blame.launch) report.kernel = launch_of(blame.launch).kernel;
  report.candidates = std::move(blame.candidates);
  return report;
}
}  // namespace

void blame_place(Blame place) {
  std::lock_guard lock(state().mutex);
  const uint64_t launch = state().blame.launch;
  auto candidates = std::move(state().blame.candidates);
  state().blame = std::move(place);
  if (!state().blame.launch) state().blame.launch = launch;
  if (state().blame.candidates.empty()) state().blame.candidates = std::move(candidates);
}

void blame_launch(uint64_t sequence) {
  std::lock_guard lock(state().mutex);
  state().blame.launch = sequence;
}

void blame_candidates(std::vector<std::string> launches) {
  std::lock_guard lock(state().mutex);
  state().blame.candidates = std::move(launches);
}

void note_refused(FaultReport report) {
  std::lock_guard lock(state().mutex);
  if (!state().text) state().report = std::move(report);
}

void set_fault(const std::string& text) noexcept {
  Blame blame;
  {
    std::lock_guard lock(state().mutex);
    if (state().text) return;
    state().text = text;
    blame = std::exchange(state().blame, {});
  }
  FaultReport report = report_of(text, std::move(blame));  // reads the launch ring: not under this lock
  std::lock_guard lock(state().mutex);
  state().report = std::move(report);
}

void raise_fault(const std::string& text) {
  set_fault(text);
  throw Error(ErrorKind::kDeviceFault, text);
}

void throw_if_faulted() {
  std::string first;
  {
    std::lock_guard lock(state().mutex);
    if (!state().text) return;
    first = *state().text;
  }
  throw Error(ErrorKind::kDeviceFault,
              "refused: the device faulted earlier and its results cannot be trusted; start a "
              "fresh process. First fault: " +
                  first);
}

std::string short_location(const std::source_location& where) {
  return short_location(where.file_name(), where.line());
}

std::string short_location(std::string file, unsigned line) {
  for (const char* room : {"/kernels/", "/verify/", "/bench/", "/model/", "/runners/", "/reference/", "/results/"}) {
    const size_t at = file.rfind(room);
    if (at != std::string::npos) {
      file = file.substr(at + 1);
      break;
    }
  }
  return file + ":" + std::to_string(line);
}

}  // namespace neutral
}  // namespace greta::hip
