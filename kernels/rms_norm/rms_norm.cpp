#include "kernels/rms_norm/rms_norm.hpp"

#include "kernels/tile/run_rung.hpp"

namespace greta {

void rms_norm_v1(hip::Stream&, const RmsNormProblem&, const RmsNormArgs&);
void rms_norm_v2(hip::Stream&, const RmsNormProblem&, const RmsNormArgs&);

namespace {

std::string fits_registers(const RmsNormProblem& p) {
  if (p.width % 4) return "width must be a multiple of 4, got " + std::to_string(p.width) + "; v1 takes any";
  if (p.width > 8192) return "width must be at most 8192, got " + std::to_string(p.width) + "; v1 takes any";
  return {};
}

constexpr RmsNormRung kLadder[] = {
    {"v1", rms_norm_v1, accepts_all<RmsNormProblem>, "rms_norm_f32", "one workgroup of 256 threads a row"},
    {"v2", rms_norm_v2, fits_registers, "rms_norm_f32", "the row stays in registers: read once, all loads in flight"},
};
}  // namespace

std::span<const RmsNormRung> rms_norm_ladder() { return kLadder; }

void rms_norm(hip::Stream& stream, const RmsNormRung& rung, const RmsNormProblem& problem, const RmsNormArgs& args) {
  run_rung("rms_norm", stream, rung, problem, args);
}

}  // namespace greta
