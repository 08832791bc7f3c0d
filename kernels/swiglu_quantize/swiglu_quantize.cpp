#include "kernels/swiglu_quantize/swiglu_quantize.hpp"

#include "kernels/tile/run_rung.hpp"

namespace greta {

void swiglu_quantize_v1(hip::Stream&, const SwigluQuantizeProblem&, const SwigluQuantizeArgs&);

namespace {
constexpr SwigluQuantizeRung kLadder[] = {
    {"v1", swiglu_quantize_v1, accepts_all<SwigluQuantizeProblem>, "swiglu_quantize_f32",
     "eight values a thread, the block's maximum over neighbouring lanes"},
};
}  // namespace

std::span<const SwigluQuantizeRung> swiglu_quantize_ladder() { return kLadder; }

void swiglu_quantize(hip::Stream& stream, const SwigluQuantizeRung& rung, const SwigluQuantizeProblem& problem,
                     const SwigluQuantizeArgs& args) {
  run_rung("swiglu_quantize", stream, rung, problem, args);
}

}  // namespace greta
