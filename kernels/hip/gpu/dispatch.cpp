// Launches on a GPU: hipPeekAtLastError before, hipGetLastError after, so that a configuration error is this launch's
// and everything else is not.
#include <fmt/format.h>

#include "kernels/hip/gpu/api.hpp"
#include "kernels/hip/launch_shape.hpp"
#include "kernels/hip/platform.hpp"
#include "kernels/hip/registry.hpp"

namespace greta::hip {
namespace {

/// "file.hip:42: hipErrorInvalidValue (invalid argument) launching K grid (64,32,1) block (256,1,1) lds 69632; ..."
std::string launch_error(hipError_t error, const LaunchShape& s) {
  return fmt::format("{}: {} launching {} grid ({},{},{}) block ({},{},{}) lds {}; LDS limit {} B",
                     neutral::short_location(s.where), gpu::error_text(error), s.kernel, s.grid.x, s.grid.y, s.grid.z,
                     s.block.x, s.block.y, s.block.z, s.dynamic_lds_bytes, device_info().lds_bytes_per_block);
}

void check_launch(hipError_t error, const LaunchShape& shape) {
  if (error == hipSuccess) return;
  (void)hipGetLastError();
  const std::string text = launch_error(error, shape);
  bool of_this_launch =
      error == hipErrorInvalidValue || error == hipErrorInvalidConfiguration || error == hipErrorLaunchOutOfResources;
#if !defined(GRETA_CUDA)
  // HIP says so when a workgroup exceeds the kernel's launch bounds. (On CUDA it is a fault of earlier work; a fault on
  // HIP ends the process.)
  of_this_launch = of_this_launch || error == hipErrorLaunchFailure;
#endif
  if (of_this_launch) throw_invalid(text);
  if (error == hipErrorInvalidDeviceFunction || error == hipErrorNoBinaryForGpu)
    throw Error(ErrorKind::kNoDevice,
                text + "; this build has no code of that kernel for " + device_info().architecture);
  gpu::check_after_wait(error, "the launch " + text);
}

}  // namespace

void platform::before_launch(Stream& stream) {
  gpu::check_after_wait(hipPeekAtLastError(),
                        "looking for errors of earlier work before a launch on stream '" + stream.name() + "'");
}

void dispatch(Stream& stream, const LaunchShape& shape, const KernelCall& call) {
#if defined(GRETA_CUDA)
  // More than 48 KiB of shared memory has to be asked for, kernel by kernel. A kernel's static arrays count, and are
  // not known here: there is room for 16 KiB of them.
  constexpr size_t kWithoutAsking = size_t{32} << 10;
  if (shape.dynamic_lds_bytes > kWithoutAsking)
    check_launch(hipFuncSetAttribute(call.kernel, hipFuncAttributeMaxDynamicSharedMemorySize,
                                     static_cast<int>(shape.dynamic_lds_bytes)),
                 shape);
#endif
  const hipError_t error = hipLaunchKernel(call.kernel, dim3(shape.grid.x, shape.grid.y, shape.grid.z),
                                           dim3(shape.block.x, shape.block.y, shape.block.z), call.pointers,
                                           shape.dynamic_lds_bytes, stream.impl().handle);
  const hipError_t after = hipGetLastError();
  check_launch(error != hipSuccess ? error : after, shape);
  if (!neutral::recording()) gpu::note_enqueued(stream, neutral::current_sequence());
}

}  // namespace greta::hip
