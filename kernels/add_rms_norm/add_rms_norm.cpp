#include "kernels/add_rms_norm/add_rms_norm.hpp"

#include "kernels/tile/run_rung.hpp"

namespace greta {

void add_rms_norm_v1(hip::Stream&, const AddRmsNormProblem&, const AddRmsNormArgs&);

namespace {

std::string fits_registers(const AddRmsNormProblem& p) {
  const std::string instead = "; residual_add, rms_norm and quantize_activations take any";
  if (p.width % 4) return "width must be a multiple of 4, got " + std::to_string(p.width) + instead;
  if (p.width > 8192) return "width must be at most 8192, got " + std::to_string(p.width) + instead;
  return {};
}

constexpr AddRmsNormRung kLadder[] = {
    {"v1", add_rms_norm_v1, fits_registers, "add_rms_norm_f32",
     "rms_norm v2 with the addition before it and the "
     "quantiser behind it, all in registers"},
};
}  // namespace

std::span<const AddRmsNormRung> add_rms_norm_ladder() { return kLadder; }

void add_rms_norm(hip::Stream& stream, const AddRmsNormRung& rung, const AddRmsNormProblem& problem,
                  const AddRmsNormArgs& args) {
  run_rung("add_rms_norm", stream, rung, problem, args);
}

}  // namespace greta
