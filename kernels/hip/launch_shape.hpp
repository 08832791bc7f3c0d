// What a launch is, without any HIP header: for the neutral runtime and the platforms (.cpp), and for launch.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <span>
#include <string>

#include "kernels/hip/runtime.hpp"

namespace greta::hip {

/// Extents of a grid or a workgroup; made from a number or from the platform's dim3.
struct Extent3 {
  unsigned x = 1;
  unsigned y = 1;
  unsigned z = 1;
  constexpr Extent3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  template <class Dim3>
  requires requires(const Dim3& d) { d.x + d.y + d.z; }
  constexpr Extent3(const Dim3& d) : x(d.x), y(d.y), z(d.z) {}
  constexpr uint64_t total() const { return uint64_t{x} * y * z; }
};

struct LaunchShape {
  std::string kernel;
  Extent3 grid;
  Extent3 block;
  size_t dynamic_lds_bytes = 0;
  int64_t rows = 0;  ///< M, recorded
  /// Where the braces of this shape are written: the operator's call of launch().
  std::source_location where = std::source_location::current();
};

/// A kernel argument as the checks see it. `name` and `direction` are string literals.
struct ErasedArgument {
  const char* name = "";
  const char* direction = "scalar";
  const void* pointer = nullptr;
  size_t view_count = 0;
  size_t needed = 0;
  DType dtype = DType::kU8;
  size_t element_bytes = 0;
  size_t element_alignment = 1;
  AllocationId id = 0;
  std::string text;  ///< of scalars
};

/// Checks the arguments against the registry and the shape against the device, notes the launch in the ring; throws
/// kInvalidArgument naming kernel, argument, buffer, got and wanted. Throws the sticky fault if there was one.
void begin_launch(Stream& stream, const LaunchShape& shape, std::span<const ErasedArgument> arguments);
/// One parameter as the kernel's signature has it.
struct Parameter {
  enum class Kind { kPointer, kF32, kI32, kU32, kI64, kU64, kBytes };  ///< kBytes: a struct, or a scalar of other size
  Kind kind;
  size_t bytes;
};
/// Runs or enqueues. `invoke` is used on host, `kernel` and `pointers` on GPUs.
struct KernelCall {
  const void* kernel;
  void** pointers;  ///< to the values, one a parameter
  void (*invoke)(void* context);
  void* context;
  std::span<const Parameter> parameters;
};
void dispatch(Stream& stream, const LaunchShape& shape, const KernelCall& call);
/// dispatch() between the two calls of the observer, if there is one.
void observed_dispatch(Stream& stream, const LaunchShape& shape, std::span<const ErasedArgument> arguments,
                       const KernelCall& call);
/// After the launch: in checked mode the guard zones of its buffers.
void end_launch(Stream& stream, const LaunchShape& shape);

/// Sees every launch of the process after its checks, before and after it is dispatched, on the launching thread: for
/// tools that write down what is launched (greta isa --export). On host the work is done when after() is called.
class LaunchObserver {
 public:
  virtual void before(const LaunchShape& shape, std::span<const ErasedArgument> arguments, const KernelCall& call) = 0;
  virtual void after(const LaunchShape& shape, std::span<const ErasedArgument> arguments, const KernelCall& call) = 0;

 protected:
  ~LaunchObserver() = default;
};
/// Null for none; returns the one before. Not while another thread launches.
LaunchObserver* set_launch_observer(LaunchObserver* observer);

}  // namespace greta::hip
