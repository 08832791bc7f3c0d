// Residual add + RMSNorm + quantiser on the device: launch function and ladder. Problem and arithmetic:
// add_rms_norm_problem.hpp.
#pragma once

#include <span>

#include "kernels/add_rms_norm/add_rms_norm_problem.hpp"
#include "kernels/hip/ladder.hpp"
#include "kernels/hip/tensor.hpp"

namespace greta {

struct AddRmsNormArgs {
  hip::DeviceView<float> x;             ///< [n_rows, width] the residual stream; changed in place when problem.add
  hip::DeviceView<const float> addend;  ///< [n_rows, width]; not looked at without problem.add
  hip::DeviceView<const float> weight;  ///< [width]
  hip::AnyView out;                     ///< [n_rows, width / block] of problem.out
};

using AddRmsNormLaunch = void (*)(hip::Stream&, const AddRmsNormProblem&, const AddRmsNormArgs&);
using AddRmsNormRung = Rung<AddRmsNormProblem, AddRmsNormLaunch>;

/// Every rung, slowest first.
std::span<const AddRmsNormRung> add_rms_norm_ladder();

/// Validates, asks the rung, launches. Fails with kInvalidArgument naming field, got and wanted.
void add_rms_norm(hip::Stream& stream, const AddRmsNormRung& rung, const AddRmsNormProblem& problem,
                  const AddRmsNormArgs& args);

}  // namespace greta
