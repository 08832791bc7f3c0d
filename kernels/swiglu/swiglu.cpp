#include "kernels/swiglu/swiglu.hpp"

#include "kernels/tile/run_rung.hpp"

namespace greta {

void swiglu_v1(hip::Stream&, const SwigluProblem&, const SwigluArgs&);

namespace {
constexpr SwigluRung kLadder[] = {
    {"v1", swiglu_v1, accepts_all<SwigluProblem>, "swiglu_f32", "16 bytes a thread, grid over the elements"},
};
}  // namespace

std::span<const SwigluRung> swiglu_ladder() { return kLadder; }

void swiglu(hip::Stream& stream, const SwigluRung& rung, const SwigluProblem& problem, const SwigluArgs& args) {
  run_rung("swiglu", stream, rung, problem, args);
}

}  // namespace greta
