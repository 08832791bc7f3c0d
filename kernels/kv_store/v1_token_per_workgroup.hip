// KV store v1: one workgroup a token copies its K row and its V row into the cache.
//   k_cache[slots[t], positions[t], :, :] = k[t, :, :],  the same for v
// Shapes    k, v [n_tokens, n_kv_heads, head_dim]; caches [n_slots, kv_capacity, n_kv_heads, head_dim]; one dtype
// Needs     16-byte copies when a row is a multiple of 16 bytes and the buffers are aligned, else element by element
// Numerics  arithmetic "copy": bits as they are, NaN too
// Placement workgroup = token, up to 256 threads over the row; no LDS
// Faults    a slot or position out of range stores nothing
#include "kernels/hip/launch.hpp"
#include "kernels/kv_store/kv_store.hpp"
#include "kernels/tile/extents.hpp"
#include "kernels/tile/pack.hpp"

namespace greta {
namespace {

constexpr int kMaxThreads = 256;

template <class T, int kElements>
__global__ GRETA_LAUNCH_BOUNDS(kMaxThreads, 8) void kv_store_kernel(const T* k, const T* v, T* k_cache, T* v_cache,
                                                                    const int32_t* slots, const int32_t* positions,
                                                                    int row, int n_slots, int kv_capacity) {
  const int64_t token = blockIdx.x;
  const int slot = slots[token], position = positions[token];
  if (slot >= 0 && slot < n_slots && position >= 0 && position < kv_capacity) {
    const int64_t to = (static_cast<int64_t>(slot) * kv_capacity + position) * row;
    const int64_t from = token * row;
    for (int c = static_cast<int>(threadIdx.x) * kElements; c < row; c += static_cast<int>(blockDim.x) * kElements) {
      store_pack<kElements>(k_cache + to + c, load_pack<kElements>(k + from + c));
      store_pack<kElements>(v_cache + to + c, load_pack<kElements>(v + from + c));
    }
  }
}

}  // namespace

void kv_store_v1(hip::Stream& stream, const KvStoreProblem& p, const KvStoreArgs& args) {
  with_float_type("kv_store", p.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    constexpr int kWide = 16 / sizeof(T);
    const auto k = args.k.as<const T>("kv_store: k"), v = args.v.as<const T>("kv_store: v");
    const auto k_cache = args.k_cache.as<T>("kv_store: k_cache"), v_cache = args.v_cache.as<T>("kv_store: v_cache");
    const bool packs = packs_fit({k.data(), v.data(), k_cache.data(), v_cache.data()}, p.row(), kWide);
    const int row = int_extent("kv_store: n_kv_heads * head_dim", p.row());
    const int64_t items = p.row() / (packs ? kWide : 1);
    const unsigned threads = items <= 64 ? 64 : items <= 128 ? 128 : kMaxThreads;
    const auto n = static_cast<size_t>(p.elements()), n_cache = static_cast<size_t>(p.cache_elements());
    const auto n_tokens = static_cast<size_t>(p.n_tokens);
    hip::launch(stream,
                {concat("kv_store_v1<", dtype_name(p.dtype), packs ? "" : ",elementwise", ">"),
                 dim3(grid_extent("kv_store: n_tokens", p.n_tokens)), dim3(threads), 0, p.n_tokens},
                packs ? &kv_store_kernel<T, kWide> : &kv_store_kernel<T, 1>, hip::in("k", k, n), hip::in("v", v, n),
                hip::out("k_cache", k_cache, n_cache), hip::out("v_cache", v_cache, n_cache),
                hip::in("slots", args.slots, n_tokens), hip::in("positions", args.positions, n_tokens), row,
                int_extent("kv_store: n_slots", p.n_slots), int_extent("kv_store: kv_capacity", p.kv_capacity));
  });
}

}  // namespace greta
