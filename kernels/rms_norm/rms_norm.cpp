#include "kernels/rms_norm/rms_norm.hpp"

#include "kernels/tile/run_rung.hpp"

namespace greta {

void rms_norm_v1(hip::Stream&, const RmsNormProblem&, const RmsNormArgs&);

namespace {
constexpr RmsNormRung kLadder[] = {
    {"v1", rms_norm_v1, accepts_all<RmsNormProblem>, "rms_norm_f32", "one workgroup of 256 threads a row"},
};
}  // namespace

std::span<const RmsNormRung> rms_norm_ladder() { return kLadder; }

void rms_norm(hip::Stream& stream, const RmsNormRung& rung, const RmsNormProblem& problem, const RmsNormArgs& args) {
  run_rung("rms_norm", stream, rung, problem, args);
}

}  // namespace greta
