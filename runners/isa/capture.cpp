#include "runners/isa/capture.hpp"

#include <cstring>

namespace greta::runners::isa {
namespace {

Bytes bytes_at(const void* from, size_t count) {
  Bytes bytes(count);
  if (count) std::memcpy(bytes.data(), from, count);
  return bytes;
}

}  // namespace

void Capture::before(const hip::LaunchShape& shape, std::span<const hip::ErasedArgument> arguments,
                     const hip::KernelCall& call) {
  CapturedLaunch launch;
  launch.shape = shape;
  launch.kernel = call.kernel;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const hip::ErasedArgument& a = arguments[i];
    CapturedArgument c;
    c.name = a.name, c.direction = a.direction, c.dtype = a.dtype, c.parameter = call.parameters[i];
    if (c.parameter.kind == hip::Parameter::Kind::kPointer)
      c.before = bytes_at(a.pointer, a.pointer ? a.needed * a.element_bytes : 0);
    else
      c.before = bytes_at(call.pointers[i], c.parameter.bytes);
    launch.arguments.push_back(std::move(c));
  }
  launches_.push_back(std::move(launch));
}

void Capture::after(const hip::LaunchShape&, std::span<const hip::ErasedArgument> arguments, const hip::KernelCall&) {
  CapturedLaunch& launch = launches_.back();
  for (size_t i = 0; i < arguments.size(); ++i) {
    CapturedArgument& c = launch.arguments[i];
    if (c.is_buffer() && c.direction != "in") c.after = bytes_at(arguments[i].pointer, c.before.size());
  }
}

}  // namespace greta::runners::isa
