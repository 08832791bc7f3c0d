// RMSNorm kernels that are wrong in ways that only the execution shows. Right on the default configuration of the host,
// all of them: forward order, waves of 64, NaN poison.
#pragma once

#include "kernels/rms_norm/rms_norm.hpp"

namespace greta::verify {

/// No barrier between the thread that stores the total and those that read it: their order decides.
void rms_norm_missing_barrier(hip::Stream&, const RmsNormProblem&, const RmsNormArgs&);
/// Partial sums of waves are added one after the other when there are eight of them, as a tree when there are four.
void rms_norm_serial_waves(hip::Stream&, const RmsNormProblem&, const RmsNormArgs&);
/// A flag in a workspace that nobody wrote: NaN compares false, large numbers compare true.
void rms_norm_reads_unwritten(hip::Stream&, const RmsNormProblem&, const RmsNormArgs&);
/// A row past the last one is read.
void rms_norm_reads_past_end(hip::Stream&, const RmsNormProblem&, const RmsNormArgs&);

}  // namespace greta::verify
