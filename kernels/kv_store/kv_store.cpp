#include "kernels/kv_store/kv_store.hpp"

#include "kernels/tile/run_rung.hpp"

namespace greta {

void kv_store_v1(hip::Stream&, const KvStoreProblem&, const KvStoreArgs&);

namespace {
constexpr KvStoreRung kLadder[] = {
    {"v1", kv_store_v1, accepts_all<KvStoreProblem>, "copy", "one workgroup a token, K and V in one launch"},
};
}  // namespace

std::span<const KvStoreRung> kv_store_ladder() { return kLadder; }

void kv_store(hip::Stream& stream, const KvStoreRung& rung, const KvStoreProblem& problem, const KvStoreArgs& args) {
  run_rung("kv_store", stream, rung, problem, args);
}

}  // namespace greta
