// RoPE + KV store v1: the heads of q, k and v of a token in one row of threads; each goes where it belongs.
//   q <- rope(q) in place;  k_cache[slot, position] = rope(k);  v_cache[slot, position] = v
// Shapes    q [n_tokens, n_heads, head_dim], k, v [n_tokens, n_kv_heads, head_dim], caches [n_slots, kv_capacity,
//           n_kv_heads, head_dim] f16 or bf16; slots, positions [n_tokens] int32; table [n_positions, head_dim/2, 2]
//           f32
// Needs     half a head a multiple of 16 bytes; every buffer on 16 bytes
// Numerics  arithmetic "rope_kv_store_f32": the bits of rope on q and on k and of kv_store; v is copied bit by bit
// Placement as rope v2: workgroup = one token or several, four packs of 16 bytes a thread in flight; no LDS. Where a
//           head comes from and goes to is chosen by select, so that the waves that hold q, k and v heads do not
//           diverge.
// Replaces  three launches, which read and write k once more
// Faults    a position outside the table makes q and k NaN; a slot or position outside the cache stores nothing
#include "kernels/hip/launch.hpp"
#include "kernels/rope_kv_store/rope_kv_store.hpp"
#include "kernels/tile/extents.hpp"
#include "kernels/tile/rotation.hpp"

namespace greta {
namespace {

/// What a launch knows of heads and places; one kernel argument.
struct Places {
  int n_heads, n_kv_heads, head_dim, n_positions, n_slots, kv_capacity, heads_at_once;
};

template <class T, bool kHalf>
__global__ GRETA_LAUNCH_BOUNDS(kRotationThreads,
                               kHalf ? 6 : 8) void rope_kv_store_kernel(T* q, const T* k, const T* v, T* k_cache,
                                                                        T* v_cache, const int32_t* slots,
                                                                        const int32_t* positions, const float* table,
                                                                        int64_t n_tokens, Places at) {
  using Piece = HeadPiece<T, kHalf>;
  const int pieces = Piece::per_head(at.head_dim), threads = pieces * at.heads_at_once;
  const int t = static_cast<int>(threadIdx.x), of_token = t % threads;
  const int64_t token = static_cast<int64_t>(blockIdx.x) * (static_cast<int>(blockDim.x) / threads) + t / threads;
  if (token < n_tokens) {
    const int slot = slots[token], position = positions[token], pair = of_token % pieces * Piece::kPairs;
    const bool inside = position >= 0 && position < at.n_positions;
    const bool stored = slot >= 0 && slot < at.n_slots && position >= 0 && position < at.kv_capacity;
    PieceAngles<T, kHalf> angles;
    angles.load(table + static_cast<int64_t>(inside ? position : 0) * at.head_dim, pair, inside);
    const int heads = at.n_heads + 2 * at.n_kv_heads, first_v = at.n_heads + at.n_kv_heads;
    T* const q_row = q + token * at.n_heads * at.head_dim;
    const int64_t kv_row = token * at.n_kv_heads * at.head_dim;
    const int64_t place =
        stored ? (static_cast<int64_t>(slot) * at.kv_capacity + position) * at.n_kv_heads * at.head_dim : 0;
    for (int first = of_token / pieces; first < heads; first += at.heads_at_once * Piece::kInFlight) {
      Piece piece[Piece::kInFlight];
      GRETA_UNROLL
      for (int i = 0; i < Piece::kInFlight; ++i) {
        const int wanted = first + i * at.heads_at_once;
        const int head = wanted < heads ? wanted : first;  // past the last head the first again: no branch
        const T* const from = head < at.n_heads ? q_row + head * at.head_dim
                              : head < first_v  ? k + kv_row + (head - at.n_heads) * at.head_dim
                                                : v + kv_row + (head - first_v) * at.head_dim;
        piece[i].load(from, pair, at.head_dim);
      }
      GRETA_UNROLL
      for (int i = 0; i < Piece::kInFlight; ++i) {
        const int head = first + i * at.heads_at_once;
        T* const to = head < at.n_heads ? q_row + head * at.head_dim
                      : head < first_v  ? k_cache + place + (head - at.n_heads) * at.head_dim
                                        : v_cache + place + (head - first_v) * at.head_dim;
        const bool written = head < at.n_heads || (head < heads && stored);
        const Piece turned = head < first_v ? rotated(piece[i], angles) : piece[i];
        if (written) turned.store(to, pair, at.head_dim);
      }
    }
  }
}

template <class T, bool kHalf>
void launch_as(hip::Stream& stream, const RopeKvStoreProblem& p, const RopeKvStoreArgs& args) {
  const auto q = args.q.as<T>("rope_kv_store: q");
  const auto k = args.k.as<const T>("rope_kv_store: k"), v = args.v.as<const T>("rope_kv_store: v");
  const auto k_cache = args.k_cache.as<T>("rope_kv_store: k_cache"),
             v_cache = args.v_cache.as<T>("rope_kv_store: v_cache");
  const void* const all[] = {q.data(), k.data(), v.data(), k_cache.data(), v_cache.data(), args.table.data()};
  for (const void* address : all) require_aligned("rope_kv_store v1: every buffer", address, 16);
  int_extent("rope_kv_store: n_heads * head_dim", (p.n_heads + 2 * p.n_kv_heads) * p.head_dim);
  const int head_dim = int_extent("rope_kv_store: head_dim", p.head_dim);
  const HeadLayout layout(int_extent("rope_kv_store: heads", p.n_heads + 2 * p.n_kv_heads),
                          HeadPiece<T, kHalf>::per_head(head_dim), HeadPiece<T, kHalf>::kInFlight);
  const auto n_kv = static_cast<size_t>(p.kv_elements()), n_cache = static_cast<size_t>(p.store().cache_elements());
  const auto n_tokens = static_cast<size_t>(p.n_tokens);
  hip::launch(
      stream,
      {concat("rope_kv_store_v1<", dtype_name(p.dtype), kHalf ? ",half>" : ",interleaved>"),
       dim3(grid_extent("rope_kv_store: n_tokens", ceil_div(p.n_tokens, layout.tokens))), dim3(layout.threads()), 0,
       p.n_tokens},
      &rope_kv_store_kernel<T, kHalf>, hip::inout("q", q, static_cast<size_t>(p.q_elements())), hip::in("k", k, n_kv),
      hip::in("v", v, n_kv), hip::out("k_cache", k_cache, n_cache), hip::out("v_cache", v_cache, n_cache),
      hip::in("slots", args.slots, n_tokens), hip::in("positions", args.positions, n_tokens),
      hip::in("table", args.table, static_cast<size_t>(p.rotation(1).table_elements())), p.n_tokens,
      Places{static_cast<int>(p.n_heads), static_cast<int>(p.n_kv_heads), head_dim,
             int_extent("rope_kv_store: n_positions", p.n_positions), int_extent("rope_kv_store: n_slots", p.n_slots),
             int_extent("rope_kv_store: kv_capacity", p.kv_capacity), layout.heads_at_once});
}

}  // namespace

void rope_kv_store_v1(hip::Stream& stream, const RopeKvStoreProblem& p, const RopeKvStoreArgs& args) {
  with_float_type("rope_kv_store", p.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (!std::is_same_v<T, float>) {
      if (p.half_split)
        launch_as<T, true>(stream, p, args);
      else
        launch_as<T, false>(stream, p, args);
    }
  });
}

}  // namespace greta
