#include <mutex>

#include "kernels/hip/platform.hpp"
#include "kernels/hip/text.hpp"

namespace greta::hip {
namespace {

struct State {
  ExecConfig config;
  std::once_flag queried;
  DeviceInfo info;
};
State& state() {
  static auto* s = new State;
  return *s;
}

}  // namespace

const DeviceInfo& device_info() {
  State& s = state();
  std::call_once(s.queried, [&] {
    s.info = platform::query_device();
    if (s.info.platform == "host") s.info.wave_size = s.config.wave;
  });
  return s.info;
}

std::string_view platform_name() { return GRETA_PLATFORM_NAME; }

const ExecConfig& exec_config() { return state().config; }

void set_exec_config(const ExecConfig& config) {
  if (config.wave != 32 && config.wave != 64) throw_invalid(concat("wave must be 32 or 64, got ", config.wave));
  if (config.workers < 0 || config.workers > 1024)
    throw_invalid(concat("workers must be 0 (one a core) to 1024, got ", config.workers));
  State& s = state();
  s.config = config;
  if (platform_name() == "host") {
    device_info();
    s.info.wave_size = config.wave;
  }
}

}  // namespace greta::hip
