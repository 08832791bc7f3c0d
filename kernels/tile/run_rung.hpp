// What every operator does before a rung launches. HIP-free.
#pragma once

#include <string>

#include "kernels/hip/ladder.hpp"
#include "kernels/hip/problem.hpp"
#include "kernels/hip/runtime.hpp"

namespace greta {

/// Validates the problem, asks the rung (throws kInvalidArgument with its reason), launches.
template <class Problem, class Launch, class Args>
void run_rung(const char* operator_name, hip::Stream& stream, const Rung<Problem, Launch>& rung, const Problem& problem,
              const Args& args) {
  validate(problem);
  if (const std::string reason = rung.accepts(problem); !reason.empty())
    throw_invalid(std::string(operator_name) + " " + rung.name + ": " + reason + " (" + to_line(problem) + ")");
  rung.launch(stream, problem, args);
}

/// For rungs that do every valid problem.
template <class Problem>
std::string accepts_all(const Problem&) {
  return {};
}

}  // namespace greta
