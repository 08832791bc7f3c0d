// SwiGLU on the device: launch function and ladder. Problem and arithmetic: swiglu_problem.hpp.
#pragma once

#include <span>

#include "kernels/hip/ladder.hpp"
#include "kernels/hip/tensor.hpp"
#include "kernels/swiglu/swiglu_problem.hpp"

namespace greta {

struct SwigluArgs {
  hip::AnyView gate, up;  ///< [n_rows, width] of problem.dtype
  hip::AnyView y;         ///< [n_rows, width] of problem.dtype; not gate or up
  ExpMode exp = ExpMode::kPortable;
};

using SwigluLaunch = void (*)(hip::Stream&, const SwigluProblem&, const SwigluArgs&);
using SwigluRung = Rung<SwigluProblem, SwigluLaunch>;

/// Every rung, slowest first. The arithmetic id holds for ExpMode::kPortable; with kHardware only the bound does.
std::span<const SwigluRung> swiglu_ladder();

/// Validates, asks the rung, launches. Because exp2 ends at 2^127, silu(g) of g below about -88 is g * 2^-127, not 0.
/// Fails with kInvalidArgument naming field, got and wanted.
void swiglu(hip::Stream& stream, const SwigluRung& rung, const SwigluProblem& problem, const SwigluArgs& args);

}  // namespace greta
