#include "kernels/argmax/argmax_problem.hpp"

#include <fmt/format.h>

namespace greta {

void validate(const ArgmaxProblem& p) {
  const auto refuse = [&](const char* field, int64_t got, const char* want) {
    throw_invalid(fmt::format("argmax: {} must be {}, got {} ({})", field, want, got, to_line(p)));
  };
  if (p.n_rows < 1) refuse("n_rows", p.n_rows, "at least 1");
  if (p.width < 1) refuse("width", p.width, "at least 1");
}

}  // namespace greta
