#include "kernels/rope/rope.hpp"

#include "kernels/tile/run_rung.hpp"

namespace greta {

void rope_v1(hip::Stream&, const RopeProblem&, const RopeArgs&);

namespace {
constexpr RopeRung kLadder[] = {
    {"v1", rope_v1, accepts_all<RopeProblem>, "rope_f32", "one workgroup a token, 16 bytes of x a thread"},
};
}  // namespace

std::span<const RopeRung> rope_ladder() { return kLadder; }

void rope(hip::Stream& stream, const RopeRung& rung, const RopeProblem& problem, const RopeArgs& args) {
  run_rung("rope", stream, rung, problem, args);
}

}  // namespace greta
