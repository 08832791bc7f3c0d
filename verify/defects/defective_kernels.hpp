// Kernels that are wrong. RMSNorm in ways that only the execution shows: right on the default configuration of the
// host, all of them (forward order, waves of 64, NaN poison). Attention on matrix tiles in the ways that tiles invite.
#pragma once

#include "kernels/prefill_attention/prefill_attention.hpp"
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

enum class AttentionMistake {
  kNone,                 ///< right: the control
  kNoBarrier,            ///< a wave multiplies by a tile that another still copies
  kSwappedFragments,     ///< the weights of two blocks of 16 keys change places in the operand
  kMaskOneLate,          ///< a query sees the key after its own
  kUnmaskedTile,         ///< no masks
  kMergeWithoutRescale,  ///< splits are merged as if their maxima were equal
};
/// Arithmetic "online_mma" for f16, head_dim 64, sequences of full length, portable exp2.
void prefill_attention_defective(AttentionMistake mistake, hip::Stream&, const PrefillAttentionProblem&,
                                 const PrefillAttentionArgs&);

}  // namespace greta::verify
