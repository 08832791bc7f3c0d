#include "kernels/residual_add/residual_add.hpp"

#include "kernels/tile/run_rung.hpp"

namespace greta {

void residual_add_v1(hip::Stream&, const ResidualAddProblem&, const ResidualAddArgs&);

namespace {
constexpr ResidualAddRung kLadder[] = {
    {"v1", residual_add_v1, accepts_all<ResidualAddProblem>, "add_f32", "16 bytes a thread, grid over the elements"},
};
}  // namespace

std::span<const ResidualAddRung> residual_add_ladder() { return kLadder; }

void residual_add(hip::Stream& stream, const ResidualAddRung& rung, const ResidualAddProblem& problem,
                  const ResidualAddArgs& args) {
  run_rung("residual_add", stream, rung, problem, args);
}

}  // namespace greta
