#include "kernels/argmax/argmax.hpp"

#include "kernels/tile/run_rung.hpp"

namespace greta {

void argmax_v1(hip::Stream&, const ArgmaxProblem&, const ArgmaxArgs&);

namespace {
constexpr ArgmaxRung kLadder[] = {
    {"v1", argmax_v1, accepts_all<ArgmaxProblem>, "exact", "one workgroup of 256 threads a row"},
};
}  // namespace

std::span<const ArgmaxRung> argmax_ladder() { return kLadder; }

void argmax(hip::Stream& stream, const ArgmaxRung& rung, const ArgmaxProblem& problem, const ArgmaxArgs& args) {
  run_rung("argmax", stream, rung, problem, args);
}

}  // namespace greta
