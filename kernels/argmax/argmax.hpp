// Argmax on the device: launch function and ladder. Problem: argmax_problem.hpp.
#pragma once

#include <span>

#include "kernels/argmax/argmax_problem.hpp"
#include "kernels/hip/ladder.hpp"
#include "kernels/hip/tensor.hpp"

namespace greta {

struct ArgmaxArgs {
  hip::DeviceView<const float> logits;  ///< [n_rows, width]
  /// [n_rows] the lowest column that holds the row's maximum (-0 equals +0);
  /// -1 - (lowest column that holds a NaN) for a row with a NaN: never a legal index.
  hip::DeviceView<int32_t> index;
};

using ArgmaxLaunch = void (*)(hip::Stream&, const ArgmaxProblem&, const ArgmaxArgs&);
using ArgmaxRung = Rung<ArgmaxProblem, ArgmaxLaunch>;

/// Every rung, slowest first.
std::span<const ArgmaxRung> argmax_ladder();

/// Validates, asks the rung, launches. Fails with kInvalidArgument naming field, got and wanted.
void argmax(hip::Stream& stream, const ArgmaxRung& rung, const ArgmaxProblem& problem, const ArgmaxArgs& args);

}  // namespace greta
