// Variants of quantised GEMM that stand outside the ladder: neither models nor `greta verify` run them. Benchmarks do,
// beside v2 to v4: shapes to choose from, and what exactness costs.
#pragma once

#include "kernels/quant_matmul/quant_matmul.hpp"

namespace greta {

/// v2 in another shape for many rows of X; v2's bits.
/// narrow  128 tokens x 64 rows by 4 waves: two workgroups on a CU, one of which multiplies while the other unpacks or
///         waits at its barrier
/// tall    256 tokens x 64 rows by 8 waves: half as many weights to unpack for a product
void gemm_v2_narrow(hip::Stream& stream, const QuantMatmulProblem& problem, const QuantMatmulArgs& args);
void gemm_v2_tall(hip::Stream& stream, const QuantMatmulProblem& problem, const QuantMatmulArgs& args);

/// v2 freed from one order of summing: `splits` workgroups for a tile, each with its share of the superblocks, add
/// their sums to Y as they come. y is f32. 0 splits: as many as make the launch shortest by gemm_v2_free_splits(). More
/// splits than superblocks are as many as there are superblocks. Bits: those of v2 for one split, else of no order in
/// particular; any split and order stays within the bound of v2's own arithmetic (gemm_v2_free.hip).
void gemm_v2_free(hip::Stream& stream, const QuantMatmulProblem& problem, const QuantMatmulArgs& args,
                  int64_t splits = 0);

/// v3 with 64 tokens to a workgroup whatever m is; v3's bits. On sm_90a what v3 does for more than 32, on gfx942 half
/// as many workgroups, which read the weights once.
void gemm_v3_wide(hip::Stream& stream, const QuantMatmulProblem& problem, const QuantMatmulArgs& args);

/// v3 freed from one order of summing: every wave sums its own superblocks in registers, and a workgroup adds the sums
/// of its waves at its end. Bits of its own, which the number of waves decides; within the bound of v3's arithmetic,
/// for the reason that gemm_v2_free's are. Any y.
void gemm_v3_free(hip::Stream& stream, const QuantMatmulProblem& problem, const QuantMatmulArgs& args);

/// v4 freed in the same way as v2 (0 splits: as many as gemm_v2_free_splits() says), m <= 64, Q4_K or Q6_K, y f32. On
/// sm_90a always with the wider tile for more than 32 tokens, with which it is fastest: v4 may be faster still.
void gemm_v4_free(hip::Stream& stream, const QuantMatmulProblem& problem, const QuantMatmulArgs& args,
                  int64_t splits = 0);

/// Splits for `tiles` tiles of `superblocks` superblocks on a device that holds `workgroups` at once: the fewest with
/// the least rounds x (superblocks of a workgroup + what it costs to begin and end one).
int64_t gemm_v2_free_splits(int64_t tiles, int64_t superblocks, int64_t workgroups);

}  // namespace greta
