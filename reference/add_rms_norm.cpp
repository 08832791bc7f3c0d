#include "reference/add_rms_norm.hpp"

#include "reference/residual_add.hpp"
#include "reference/rms_norm.hpp"

namespace greta::reference {
namespace {

std::vector<float> summed(const AddRmsNormProblem& p, std::span<const float> x, std::span<const float> addend) {
  if (!p.add) return {x.begin(), x.end()};
  return residual_add_twin(p.addition(), x, addend);
}

}  // namespace

std::vector<Bounded> add_rms_norm_oracle(const AddRmsNormProblem& p, std::span<const float> x,
                                         std::span<const float> addend, std::span<const float> w) {
  std::vector<Bounded> out;
  if (p.add) out.push_back(residual_add_oracle(p.addition(), x, addend));
  Bounded y = rms_norm_oracle(p.norm(), summed(p, x, addend), w);
  if (!p.quantised()) {
    out.push_back(std::move(y));
    return out;
  }
  for (Bounded& field : activation_block_oracle(p.out, y)) out.push_back(std::move(field));
  return out;
}

AddRmsNormTwin add_rms_norm_twin(const AddRmsNormProblem& p, std::span<const float> x, std::span<const float> addend,
                                 std::span<const float> w) {
  AddRmsNormTwin twin;
  twin.x = summed(p, x, addend);
  twin.y = rms_norm_twin(p.norm(), twin.x, w);
  if (p.quantised()) twin.blocks = activation_block_bytes(p.out, twin.y, p.width);
  return twin;
}

}  // namespace greta::reference
