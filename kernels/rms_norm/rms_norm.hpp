// RMSNorm on the device: launch function and ladder. Problem and arithmetic: rms_norm_problem.hpp.
#pragma once

#include <span>

#include "kernels/hip/ladder.hpp"
#include "kernels/hip/tensor.hpp"
#include "kernels/rms_norm/rms_norm_problem.hpp"

namespace greta {

struct RmsNormArgs {
  hip::DeviceView<const float> x;       ///< [n_rows, width]
  hip::DeviceView<const float> weight;  ///< [width]
  hip::AnyView y;                       ///< [n_rows, width] of problem.y; not x
};

using RmsNormLaunch = void (*)(hip::Stream&, const RmsNormProblem&, const RmsNormArgs&);
using RmsNormRung = Rung<RmsNormProblem, RmsNormLaunch>;

/// Every rung, slowest first.
std::span<const RmsNormRung> rms_norm_ladder();

/// Validates, asks the rung, launches. A NaN or infinity in a row makes the whole row NaN (infinity: 0 or NaN).
/// Fails with kInvalidArgument naming field, got and wanted.
void rms_norm(hip::Stream& stream, const RmsNormRung& rung, const RmsNormProblem& problem, const RmsNormArgs& args);

}  // namespace greta
