// What the device can do at most: kernels that only move bytes or only multiply. A benchmark measures them in its own
// run and judges its rows by them (bench/roofline.hpp).
#pragma once

#include "kernels/hip/runtime.hpp"

namespace greta {

/// to = from, 16 bytes a thread at a time. Both views must have the same count, a multiple of 4, and start on 16 bytes.
/// Moves 8 * count bytes.
void ceiling_copy(hip::Stream& stream, hip::DeviceView<const float> from, hip::DeviceView<float> to);

/// Reads `from` and writes nothing; `sink` is one element that the compiler must believe in. Moves 4 * count bytes.
void ceiling_read(hip::Stream& stream, hip::DeviceView<const float> from, hip::DeviceView<float> sink);

/// The arithmetic that a roofline may be about.
enum class Compute {
  kF32,       ///< fmaf: 2 FLOP
  kI8,        ///< dot4_i8 (on host dot16_i8): 8 (32) FLOP
  kI8Matrix,  ///< mma_16x16x32: 16384 FLOP a wave
  /// mma_16x16x16 in bf16, 8192 FLOP a wave. On sm_90a that is mma.sync, behind which wgmma would still be faster.
  kMatrix,
};
const char* compute_name(Compute compute);

/// Every thread runs `rounds` rounds of independent chains of one instruction; nothing is read or written.
/// Returns the FLOP of the launch.
double ceiling_compute(hip::Stream& stream, Compute compute, int rounds, hip::DeviceView<float> sink);

}  // namespace greta
