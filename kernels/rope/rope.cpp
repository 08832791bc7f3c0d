#include "kernels/rope/rope.hpp"

#include "kernels/tile/run_rung.hpp"

namespace greta {

void rope_v1(hip::Stream&, const RopeProblem&, const RopeArgs&);
void rope_v2(hip::Stream&, const RopeProblem&, const RopeArgs&);

namespace {

std::string whole_packs(const RopeProblem& p) {
  const int64_t elements = 16 / dtype_block_bytes(p.dtype), most = 256 * elements;
  if (p.head_dim % (2 * elements))
    return "head_dim must be a multiple of " + std::to_string(2 * elements) + " for " +
           std::string(dtype_name(p.dtype)) + ", got " + std::to_string(p.head_dim) + "; v1 takes any even one";
  if (p.head_dim > most)
    return "head_dim must be at most " + std::to_string(most) + ", got " + std::to_string(p.head_dim);
  return {};
}

constexpr RopeRung kLadder[] = {
    {"v1", rope_v1, accepts_all<RopeProblem>, "rope_f32", "one workgroup a token, 16 bytes of x a thread"},
    {"v2", rope_v2, whole_packs, "rope_f32", "angles in registers, four heads a thread, all loads in flight"},
};
}  // namespace

std::span<const RopeRung> rope_ladder() { return kLadder; }

void rope(hip::Stream& stream, const RopeRung& rung, const RopeProblem& problem, const RopeArgs& args) {
  run_rung("rope", stream, rung, problem, args);
}

}  // namespace greta
