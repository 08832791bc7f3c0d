// What an exp2 of kernels may be off by, as bounds need it.
//
// portable   kernels/tile/exp2_portable.hpp: 0.857 ulp measured on [-126, 0], below 0.9 by its test: 2 u relative.
//            Below -126 the result is 2^-126 where it should be smaller.
// hardware   v_exp_f32 is specified to 1 ulp (2 u; LLVM AMDGPUUsage), ex2.approx.f32 to 2^-22 (4 u; PTX ISA; 2.42 u
//            measured on an H200 over every fraction, kernels/hip/numbers_test.hip); results below 2^-126 are
//            flushed to zero.
#pragma once

#include "kernels/hip/ladder.hpp"
#include "reference/rounding.hpp"

namespace greta::reference {

inline double exp2_relative_error(ExpMode mode) { return (mode == ExpMode::kPortable ? 2 : 4) * kUnitF32; }
/// Absolute error that comes on top, whichever the mode: the end of the normal numbers.
inline constexpr double kExp2Absolute = 0x1p-126;

}  // namespace greta::reference
