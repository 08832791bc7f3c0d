// SwiGLU + quantiser on the device: launch function and ladder. Problem and arithmetic: swiglu_quantize_problem.hpp.
#pragma once

#include <span>

#include "kernels/hip/ladder.hpp"
#include "kernels/hip/tensor.hpp"
#include "kernels/swiglu_quantize/swiglu_quantize_problem.hpp"

namespace greta {

struct SwigluQuantizeArgs {
  hip::AnyView gate, up;  ///< [n_rows, width] of problem.dtype
  hip::AnyView blocks;    ///< [n_rows, width / block] of problem.out
  ExpMode exp = ExpMode::kPortable;
};

using SwigluQuantizeLaunch = void (*)(hip::Stream&, const SwigluQuantizeProblem&, const SwigluQuantizeArgs&);
using SwigluQuantizeRung = Rung<SwigluQuantizeProblem, SwigluQuantizeLaunch>;

/// Every rung, slowest first. The arithmetic id holds for ExpMode::kPortable; with kHardware only the bound does.
std::span<const SwigluQuantizeRung> swiglu_quantize_ladder();

/// Validates, asks the rung, launches. Fails with kInvalidArgument naming field, got and wanted.
void swiglu_quantize(hip::Stream& stream, const SwigluQuantizeRung& rung, const SwigluQuantizeProblem& problem,
                     const SwigluQuantizeArgs& args);

}  // namespace greta
