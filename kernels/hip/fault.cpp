#include "kernels/hip/fault.hpp"

#include <mutex>

#include "kernels/hip/registry.hpp"

namespace greta::hip {
namespace {

struct State {
  std::mutex mutex;
  std::optional<std::string> text;
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

void set_fault(const std::string& text) noexcept {
  std::lock_guard lock(state().mutex);
  if (!state().text) state().text = text;
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
