// Residual add on the device: launch function and ladder. Problem: residual_add_problem.hpp.
#pragma once

#include <span>

#include "kernels/hip/ladder.hpp"
#include "kernels/hip/tensor.hpp"
#include "kernels/residual_add/residual_add_problem.hpp"

namespace greta {

struct ResidualAddArgs {
  hip::DeviceView<float> x;        ///< [n_rows, width]; x += y
  hip::DeviceView<const float> y;  ///< [n_rows, width]; not x
};

using ResidualAddLaunch = void (*)(hip::Stream&, const ResidualAddProblem&, const ResidualAddArgs&);
using ResidualAddRung = Rung<ResidualAddProblem, ResidualAddLaunch>;

/// Every rung, slowest first.
std::span<const ResidualAddRung> residual_add_ladder();

/// Validates, asks the rung, launches. Fails with kInvalidArgument naming field, got and wanted.
void residual_add(hip::Stream& stream, const ResidualAddRung& rung, const ResidualAddProblem& problem,
                  const ResidualAddArgs& args);

}  // namespace greta
