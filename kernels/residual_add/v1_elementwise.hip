// Residual add v1: four elements a thread.
//   x[i] = x[i] + y[i]
// Shapes    x, y [n_rows, width] f32, contiguous
// Needs     any size; 16-byte accesses except for the last elements, or when a buffer is not aligned
// Numerics  arithmetic "add_f32": one IEEE addition an element
// Placement 256 threads; no LDS
#include "kernels/hip/launch.hpp"
#include "kernels/residual_add/residual_add.hpp"
#include "kernels/tile/extents.hpp"
#include "kernels/tile/pack.hpp"

namespace greta {
namespace {

constexpr int kThreads = 256;
constexpr int kElements = 4;

template <bool kPacks>
__global__ GRETA_LAUNCH_BOUNDS(kThreads, 8) void residual_add_kernel(float* x, const float* y, int64_t n) {
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kElements;
  if (kPacks && first + kElements <= n) {
    Pack<float, kElements> sum = load_pack<kElements>(x + first);
    const Pack<float, kElements> added = load_pack<kElements>(y + first);
    for (int i = 0; i < kElements; ++i) sum.v[i] = sum.v[i] + added.v[i];
    store_pack<kElements>(x + first, sum);
  } else {
    for (int64_t i = first; i < first + kElements && i < n; ++i) x[i] = x[i] + y[i];
  }
}

}  // namespace

void residual_add_v1(hip::Stream& stream, const ResidualAddProblem& p, const ResidualAddArgs& args) {
  const bool packs = packs_fit({args.x.data(), args.y.data()}, 0, kElements);
  const auto n = static_cast<size_t>(p.elements());
  const int64_t groups = ceil_div(p.elements(), int64_t{kThreads} * kElements);
  hip::launch(stream,
              {packs ? "residual_add_v1" : "residual_add_v1<elementwise>",
               dim3(grid_extent("residual_add: workgroups", groups)), dim3(kThreads), 0, p.n_rows},
              packs ? &residual_add_kernel<true> : &residual_add_kernel<false>, hip::inout("x", args.x, n),
              hip::in("y", args.y, n), p.elements());
}

}  // namespace greta
