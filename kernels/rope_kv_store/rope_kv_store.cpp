#include "kernels/rope_kv_store/rope_kv_store.hpp"

#include "kernels/tile/run_rung.hpp"

namespace greta {

void rope_kv_store_v1(hip::Stream&, const RopeKvStoreProblem&, const RopeKvStoreArgs&);

namespace {

std::string whole_packs(const RopeKvStoreProblem& p) {
  if (p.head_dim % 16 || p.head_dim > 2048)
    return "head_dim must be a multiple of 16 and at most 2048, got " + std::to_string(p.head_dim) +
           "; rope and kv_store take any even one";
  return {};
}

constexpr RopeKvStoreRung kLadder[] = {
    {"v1", rope_kv_store_v1, whole_packs, "rope_kv_store_f32",
     "rope v2 over q, k and v heads; k and v end in the cache"},
};
}  // namespace

std::span<const RopeKvStoreRung> rope_kv_store_ladder() { return kLadder; }

void rope_kv_store(hip::Stream& stream, const RopeKvStoreRung& rung, const RopeKvStoreProblem& problem,
                   const RopeKvStoreArgs& args) {
  run_rung("rope_kv_store", stream, rung, problem, args);
}

}  // namespace greta
