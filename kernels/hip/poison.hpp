// Poison: what fresh memory holds, so that a value that was never written is seen and its origin known. HIP-free.
//
// Poison::kNan         f32  quiet NaN 0x7fc0pppp, p = 16 bits of the allocation's id
//                      f64  quiet NaN with the same payload in both halves
//                      f16  quiet NaN 0x7e00 | 9 bits of the id;  bf16  quiet NaN 0x7fc0 | 6 bits of the id
//                      quantised blocks: their scales are such NaNs, so every value read from them is NaN
//                      integers 0xa5 in every byte
// Poison::kLargeFinite floats of about 1e30 (f16: 45056), integers 0x5a in every byte
// Running twice, once with each, and comparing bits finds reads of memory nobody wrote, without any tool.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/hip/runtime.hpp"

namespace greta::hip {

/// Four bytes, little-endian, repeated from the start of the allocation (or LDS array). A payload is never 0.
uint32_t poison_pattern(DType dtype, AllocationId id, ExecConfig::Poison poison);

/// Names the live allocations whose NaN poison has the payload of this f32 NaN, as in "poison of 'workspace.scores'";
/// empty when the value is no NaN or none fits. 16-bit poison widened to f32 is recognised too.
std::string name_poison(float value);

}  // namespace greta::hip
