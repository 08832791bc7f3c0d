// RoPE on the device: launch function and ladder. Problem and arithmetic: rope_problem.hpp.
#pragma once

#include <span>

#include "kernels/hip/ladder.hpp"
#include "kernels/hip/tensor.hpp"
#include "kernels/rope/rope_problem.hpp"

namespace greta {

struct RopeArgs {
  hip::AnyView x;                            ///< [n_tokens, n_heads, head_dim] of problem.dtype; rotated in place
  hip::DeviceView<const int32_t> positions;  ///< [n_tokens] absolute, 0-based
  hip::DeviceView<const float> table;        ///< [n_positions, head_dim / 2, {cos, sin}], made on the host
};

using RopeLaunch = void (*)(hip::Stream&, const RopeProblem&, const RopeArgs&);
using RopeRung = Rung<RopeProblem, RopeLaunch>;

/// Every rung, slowest first.
std::span<const RopeRung> rope_ladder();

/// Validates, asks the rung, launches. A position outside [0, n_positions) is data the host cannot check here: the
/// device reads no table row outside and writes NaN over the token's heads. Callers that know the positions check them
/// first. Fails with kInvalidArgument naming field, got and wanted.
void rope(hip::Stream& stream, const RopeRung& rung, const RopeProblem& problem, const RopeArgs& args);

}  // namespace greta
