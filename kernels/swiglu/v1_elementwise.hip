// SwiGLU v1: 16 bytes of gate, up and y a thread.
//   y[i] = gate[i] / (1 + exp(-gate[i])) * up[i]
// Shapes    gate, up, y [n_rows, width] f16, bf16 or f32, contiguous
// Needs     any size; 16-byte accesses except for the last elements, or when a buffer is not aligned
// Numerics  arithmetic "swiglu_f32" (swiglu_problem.hpp): t = gate * -log2(e) clamped to [-126, 127], e = exp2(t),
//           s = gate / (1 + e), y = s * up, every step rounded to f32, then once to y's type. IEEE division: one an
//           element, 10 instructions on gfx942, hidden behind the loads.
// Placement 256 threads; no LDS
#include "kernels/hip/launch.hpp"
#include "kernels/swiglu/swiglu.hpp"
#include "kernels/tile/extents.hpp"
#include "kernels/tile/pack.hpp"
#include "kernels/tile/silu.hpp"

namespace greta {
namespace {

constexpr int kThreads = 256;

template <class T, ExpMode kExp, bool kPacks>
__global__ GRETA_LAUNCH_BOUNDS(kThreads, 8) void swiglu_kernel(const T* gate, const T* up, T* y, int64_t n) {
  constexpr int kElements = 16 / sizeof(T);
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kElements;
  if (kPacks && first + kElements <= n) {
    Pack<float, kElements> g = load_floats<kElements>(gate + first);
    const Pack<float, kElements> u = load_floats<kElements>(up + first);
    for (int i = 0; i < kElements; ++i) g.v[i] = silu_times<kExp>(g.v[i], u.v[i]);
    store_floats<kElements>(y + first, g);
  } else {
    for (int64_t i = first; i < first + kElements && i < n; ++i)
      y[i] = hip::from_float<T>(silu_times<kExp>(hip::to_float(gate[i]), hip::to_float(up[i])));
  }
}

}  // namespace

void swiglu_v1(hip::Stream& stream, const SwigluProblem& p, const SwigluArgs& args) {
  with_float_type("swiglu", p.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto gate = args.gate.as<const T>("swiglu: gate"), up = args.up.as<const T>("swiglu: up");
    const auto y = args.y.as<T>("swiglu: y");
    const bool packs = packs_fit({gate.data(), up.data(), y.data()}, 0, 1);
    const auto n = static_cast<size_t>(p.elements());
    const int64_t groups = ceil_div(p.elements(), int64_t{kThreads} * (16 / sizeof(T)));
    with_exp_mode("swiglu", args.exp, [&](auto exp) {
      constexpr ExpMode kExp = decltype(exp)::value;
      hip::launch(stream,
                  {concat("swiglu_v1<", dtype_name(p.dtype), exp_mode_suffix(kExp), packs ? "" : ",elementwise", ">"),
                   dim3(grid_extent("swiglu: workgroups", groups)), dim3(kThreads), 0, p.n_rows},
                  packs ? &swiglu_kernel<T, kExp, true> : &swiglu_kernel<T, kExp, false>, hip::in("gate", gate, n),
                  hip::in("up", up, n), hip::out("y", y, n), p.elements());
    });
  });
}

}  // namespace greta
