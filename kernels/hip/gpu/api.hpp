// The host API of HIP for kernels/hip/gpu: HIP's own on rocm, the same names on the CUDA runtime on cuda; and what a
// stream is there.
#pragma once

#if defined(GRETA_CUDA)
#  include "kernels/hip/cuda/hip_on_cuda.hpp"
#else
#  include <hip/hip_runtime_api.h>
#endif

#include <cstdint>
#include <string>

#include "kernels/hip/runtime.hpp"

namespace greta::hip {

struct Stream::Impl {
  std::string name;
  hipStream_t handle = nullptr;
};

namespace gpu {

/// "hipErrorInvalidValue (invalid argument)"; CUDA's own names on cuda.
std::string error_text(hipError_t error);

/// For calls whose errors are their own: throws kNoDevice, kOutOfMemory or kDeviceFault naming `what`.
void check(hipError_t error, const std::string& what);

/// For calls that wait (synchronize, copies): an error is taken to come from launches that are not known to be done.
/// Throws kDeviceFault "asynchronous: originates in launches #a..#b" and makes it sticky. Never retried.
void check_after_wait(hipError_t error, const std::string& found_by);

/// Accounts for launches, so that an error found later is labelled with those it can come from.
void note_enqueued(const Stream& stream, uint64_t sequence);
/// The stream has been waited for without error.
void note_waited(const Stream& stream);
void note_waited_for_all();
void forget(const Stream::Impl* stream);

/// Throws kNoDevice, saying what was looked for, when there is no device this build has code for.
void require_device();

}  // namespace gpu
}  // namespace greta::hip
