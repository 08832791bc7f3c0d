// Settings of the runtime that must not change a bit.
#pragma once

#include <string>
#include <vector>

#include "kernels/hip/runtime.hpp"
#include "results/record.hpp"

namespace greta::verify {

struct ExecKnob {
  std::string name;  ///< "order=reverse"
  hip::ExecConfig config;
};

/// True for "poison", "order", "wave", "workers".
bool is_exec_knob(const std::string& which);
/// The settings to try, derived from the configuration in force; none where the platform has no such setting.
std::vector<ExecKnob> exec_knobs(const std::string& which, uint64_t seed);

/// The configuration in force, for records.
results::Json exec_as_json();

/// Sets a configuration and puts the old one back.
class ScopedExecConfig {
 public:
  explicit ScopedExecConfig(const hip::ExecConfig& config) : before_(hip::exec_config()) {
    hip::set_exec_config(config);
  }
  ~ScopedExecConfig() { hip::set_exec_config(before_); }
  ScopedExecConfig(const ScopedExecConfig&) = delete;
  ScopedExecConfig& operator=(const ScopedExecConfig&) = delete;

 private:
  hip::ExecConfig before_;
};

}  // namespace greta::verify
