// RoPE v1: one workgroup a token; a thread rotates the pairs of 16 bytes (half-split: of two times 16 bytes) at a time.
//   (a, b) -> (fmaf(a, cos, -(b * sin)), fmaf(a, sin, b * cos)),  pair i of a head with row positions[t] of the table
// Shapes    x [n_tokens, n_heads, head_dim] f16, bf16 or f32, in place; positions [n_tokens] int32;
//           table [n_positions, head_dim/2, {cos, sin}] f32
// Needs     head_dim even; 16-byte accesses when a head (half-split: half a head) is a multiple of 16 bytes and the
//           buffers are aligned, else one pair at a time
// Numerics  arithmetic "rope_f32": b * sin and b * cos rounded, then one fmaf each, then one rounding to x's type
// Placement workgroup = token, up to 256 threads over heads x chunks; no LDS. Every thread touches only its own pairs.
// Faults    a position outside the table reads nothing and makes the token NaN
#include "kernels/hip/launch.hpp"
#include "kernels/rope/rope.hpp"
#include "kernels/tile/extents.hpp"
#include "kernels/tile/pack.hpp"

namespace greta {
namespace {

constexpr int kMaxThreads = 256;

struct Pair {
  float a, b;
};
__device__ __forceinline__ Pair rotate(float a, float b, float cos, float sin) {
  const float b_sin = b * sin, b_cos = b * cos;
  return {fmaf(a, cos, -b_sin), fmaf(a, sin, b_cos)};
}

/// kElements of x at once: 16 bytes, or one for any layout. kHalf: pairs (i, i + head_dim/2), else (2i, 2i+1).
template <class T, bool kHalf, int kElements>
__global__ GRETA_LAUNCH_BOUNDS(kMaxThreads, 8) void rope_kernel(T* x, const int32_t* positions, const float* table,
                                                                int n_heads, int head_dim, int n_positions) {
  constexpr int kPairs = kHalf ? kElements : kElements / 2;
  static_assert(kPairs >= 1);
  const int64_t token = blockIdx.x;
  const int position = positions[token];
  const bool inside = position >= 0 && position < n_positions;
  const float* row = table + static_cast<int64_t>(inside ? position : 0) * head_dim;
  x += token * n_heads * head_dim;

  const unsigned chunks = static_cast<unsigned>(head_dim / 2 / kPairs);
  const unsigned items = static_cast<unsigned>(n_heads) * chunks;
  for (unsigned item = threadIdx.x; item < items; item += blockDim.x) {
    const unsigned head = item / chunks;
    const int pair = static_cast<int>(item - head * chunks) * kPairs;
    T* const at = x + static_cast<int64_t>(head) * head_dim + (kHalf ? pair : 2 * pair);
    Pack<float, 2 * kPairs> cs;  // cos, sin, cos, sin, ...
    if constexpr (kElements == 1 || 2 * kPairs < 4) {
      cs.v[0] = row[2 * pair], cs.v[1] = row[2 * pair + 1];
    } else {
      for (int i = 0; i < 2 * kPairs; i += 4) {
        const Pack<float, 4> four = load_pack<4>(row + 2 * pair + i);
        for (int k = 0; k < 4; ++k) cs.v[i + k] = four.v[k];
      }
    }
    if (!inside)
      for (int i = 0; i < 2 * kPairs; ++i) cs.v[i] = hip::bits_float(0x7fc00000u);
    if constexpr (kHalf) {
      Pack<float, kElements> a = load_floats<kElements>(at), b = load_floats<kElements>(at + head_dim / 2);
      for (int i = 0; i < kPairs; ++i) {
        const Pair out = rotate(a.v[i], b.v[i], cs.v[2 * i], cs.v[2 * i + 1]);
        a.v[i] = out.a, b.v[i] = out.b;
      }
      store_floats<kElements>(at, a);
      store_floats<kElements>(at + head_dim / 2, b);
    } else {
      Pack<float, kElements> ab = load_floats<kElements>(at);
      for (int i = 0; i < kPairs; ++i) {
        const Pair out = rotate(ab.v[2 * i], ab.v[2 * i + 1], cs.v[2 * i], cs.v[2 * i + 1]);
        ab.v[2 * i] = out.a, ab.v[2 * i + 1] = out.b;
      }
      store_floats<kElements>(at, ab);
    }
  }
}

template <class T, bool kHalf>
void launch_rope(hip::Stream& stream, const RopeProblem& p, const RopeArgs& args) {
  constexpr int kWide = 16 / sizeof(T), kOne = kHalf ? 1 : 2;
  const auto x = args.x.as<T>("rope: x");
  // Half a head must be whole packs in both layouts: table rows then start on 16 bytes too. The narrow interleaved
  // kernel moves a pair (4 or 8 bytes) at once, to which every even row of an aligned buffer is aligned.
  const bool packs = packs_fit({x.data(), args.table.data()}, p.head_dim / 2, kWide);
  if (!kHalf && !packs_fit({x.data()}, p.head_dim, 2, 2 * sizeof(T)))
    throw_invalid(concat("rope v1: x must be aligned to a pair (", 2 * sizeof(T), " bytes) for interleaved pairs"));
  int_extent("rope: n_heads * head_dim", p.n_heads * p.head_dim);
  const int64_t items = p.elements() / p.n_tokens / (packs ? kWide : kOne) / (kHalf ? 2 : 1);
  const unsigned threads = items <= 64 ? 64 : items <= 128 ? 128 : kMaxThreads;
  const auto n = static_cast<size_t>(p.elements());
  hip::launch(
      stream,
      {concat("rope_v1<", dtype_name(p.dtype), kHalf ? ",half" : ",interleaved", packs ? "" : ",elementwise", ">"),
       dim3(grid_extent("rope: n_tokens", p.n_tokens)), dim3(threads), 0, p.n_tokens},
      packs ? &rope_kernel<T, kHalf, kWide> : &rope_kernel<T, kHalf, kOne>, hip::inout("x", x, n),
      hip::in("positions", args.positions, static_cast<size_t>(p.n_tokens)),
      hip::in("table", args.table, static_cast<size_t>(p.table_elements())), int_extent("rope: n_heads", p.n_heads),
      int_extent("rope: head_dim", p.head_dim), int_extent("rope: n_positions", p.n_positions));
}

}  // namespace

void rope_v1(hip::Stream& stream, const RopeProblem& p, const RopeArgs& args) {
  with_float_type("rope", p.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (p.half_split)
      launch_rope<T, true>(stream, p, args);
    else
      launch_rope<T, false>(stream, p, args);
  });
}

}  // namespace greta
