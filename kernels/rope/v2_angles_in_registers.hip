// RoPE v2: a thread keeps the angles of its pairs and rotates them in several heads, all loads in flight.
//   (a, b) -> (fmaf(a, cos, -(b * sin)), fmaf(a, sin, b * cos)),  pair i of a head with row positions[t] of the table
// Shapes    x [n_tokens, n_heads, head_dim] f16, bf16 or f32, in place; positions [n_tokens] int32;
//           table [n_positions, head_dim/2, {cos, sin}] f32
// Needs     half a head a multiple of 16 bytes, at most 256 pieces of 16 bytes a head; x and table on 16 bytes (v1:
//           any)
// Numerics  arithmetic "rope_f32", as v1
// Placement workgroup = one token (32 heads of 128: 128 threads), or several tokens of few heads (kernels/tile/
//           rotation.hpp); no LDS. A thread has four times 16 bytes in flight.
// From v1   The table: v1 loaded 32 bytes of angles for every 16 bytes of x; here once for four heads. v1 had one load
//           of x in flight a thread.
// Faults    a position outside the table reads nothing and makes the token NaN
// Cost      bytes of the problem once; measured: docs/experiments.md
#include "kernels/hip/launch.hpp"
#include "kernels/rope/rope.hpp"
#include "kernels/tile/extents.hpp"
#include "kernels/tile/rotation.hpp"

namespace greta {
namespace {

template <class T, bool kHalf>
__global__ GRETA_LAUNCH_BOUNDS(kRotationThreads, 8) void rope_heads_kernel(T* x, const int32_t* positions,
                                                                           const float* table, int64_t n_tokens,
                                                                           int n_heads, int head_dim, int n_positions,
                                                                           int heads_at_once) {
  using Piece = HeadPiece<T, kHalf>;
  const int pieces = Piece::per_head(head_dim), threads = pieces * heads_at_once;
  const int t = static_cast<int>(threadIdx.x), of_token = t % threads;
  const int64_t token = static_cast<int64_t>(blockIdx.x) * (static_cast<int>(blockDim.x) / threads) + t / threads;
  if (token < n_tokens) {
    const int position = positions[token], pair = of_token % pieces * Piece::kPairs;
    const bool inside = position >= 0 && position < n_positions;
    PieceAngles<T, kHalf> angles;
    angles.load(table + static_cast<int64_t>(inside ? position : 0) * head_dim, pair, inside);
    x += token * n_heads * head_dim;
    for (int first = of_token / pieces; first < n_heads; first += heads_at_once * Piece::kInFlight) {
      Piece piece[Piece::kInFlight];
      GRETA_UNROLL
      for (int i = 0; i < Piece::kInFlight; ++i) {  // past the last head the first again: no branch between the loads
        const int head = first + i * heads_at_once;
        piece[i].load(x + static_cast<int64_t>(head < n_heads ? head : first) * head_dim, pair, head_dim);
      }
      GRETA_UNROLL
      for (int i = 0; i < Piece::kInFlight; ++i)
        if (const int head = first + i * heads_at_once; head < n_heads)
          rotated(piece[i], angles).store(x + static_cast<int64_t>(head) * head_dim, pair, head_dim);
    }
  }
}

template <class T, bool kHalf>
void launch_rope(hip::Stream& stream, const RopeProblem& p, const RopeArgs& args) {
  const auto x = args.x.as<T>("rope: x");
  require_aligned("rope v2: x", x.data(), 16);
  require_aligned("rope v2: table", args.table.data(), 16);
  int_extent("rope: n_heads * head_dim", p.n_heads * p.head_dim);
  const int n_heads = int_extent("rope: n_heads", p.n_heads), head_dim = int_extent("rope: head_dim", p.head_dim);
  const HeadLayout layout(n_heads, HeadPiece<T, kHalf>::per_head(head_dim), HeadPiece<T, kHalf>::kInFlight);
  hip::launch(
      stream,
      {concat("rope_v2<", dtype_name(p.dtype), kHalf ? ",half>" : ",interleaved>"),
       dim3(grid_extent("rope: n_tokens", ceil_div(p.n_tokens, layout.tokens))), dim3(layout.threads()), 0, p.n_tokens},
      &rope_heads_kernel<T, kHalf>, hip::inout("x", x, static_cast<size_t>(p.elements())),
      hip::in("positions", args.positions, static_cast<size_t>(p.n_tokens)),
      hip::in("table", args.table, static_cast<size_t>(p.table_elements())), p.n_tokens, n_heads, head_dim,
      int_extent("rope: n_positions", p.n_positions), layout.heads_at_once);
}

}  // namespace

void rope_v2(hip::Stream& stream, const RopeProblem& p, const RopeArgs& args) {
  with_float_type("rope", p.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (p.half_split)
      launch_rope<T, true>(stream, p, args);
    else
      launch_rope<T, false>(stream, p, args);
  });
}

}  // namespace greta
