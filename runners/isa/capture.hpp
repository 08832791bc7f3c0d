// Launches as they were handed to the device, with what was in their buffers before and after.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernels/hip/launch_shape.hpp"

namespace greta::runners::isa {

using Bytes = std::vector<uint8_t>;

struct CapturedArgument {
  std::string name;       ///< of a buffer; a scalar has none
  std::string direction;  ///< "in", "out", "inout", "scalar"
  hip::Parameter parameter{hip::Parameter::Kind::kBytes, 0};
  DType dtype = DType::kU8;
  Bytes before;  ///< of a buffer: the elements the launch may touch; of a scalar: its bytes
  Bytes after;   ///< of out and inout
  bool is_buffer() const { return parameter.kind == hip::Parameter::Kind::kPointer && !before.empty(); }
};

struct CapturedLaunch {
  hip::LaunchShape shape;
  const void* kernel = nullptr;
  std::vector<CapturedArgument> arguments;
};

/// While one lives, every launch of the process is kept (host only: it reads device memory where it lies).
class Capture final : public hip::LaunchObserver {
 public:
  Capture() : outer_(hip::set_launch_observer(this)) {}
  ~Capture() { hip::set_launch_observer(outer_); }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  std::vector<CapturedLaunch> take() { return std::move(launches_); }

 private:
  void before(const hip::LaunchShape& shape, std::span<const hip::ErasedArgument> arguments,
              const hip::KernelCall& call) override;
  void after(const hip::LaunchShape& shape, std::span<const hip::ErasedArgument> arguments,
             const hip::KernelCall& call) override;

  hip::LaunchObserver* outer_;
  std::vector<CapturedLaunch> launches_;
};

}  // namespace greta::runners::isa
