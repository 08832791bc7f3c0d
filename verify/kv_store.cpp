// KV store as verification sees it.
#include "kernels/kv_store/kv_store.hpp"

#include "reference/kv_store.hpp"
#include "verify/buffers.hpp"
#include "verify/catalogue.hpp"
#include "verify/draw.hpp"
#include "verify/operator_of.hpp"

namespace greta::verify {
namespace {

constexpr CaseRow<KvStoreProblem> kCases[] = {
    {"one_value",
     {.n_tokens = 1, .n_kv_heads = 1, .head_dim = 1, .n_slots = 1, .kv_capacity = 1},
     "smallest legal problem",
     kQuick,
     kOnce},
    {"sample_llama",
     {.n_tokens = 48, .n_kv_heads = 2, .head_dim = 64, .n_slots = 1, .kv_capacity = 64},
     "a prefill of the sample model",
     kQuick,
     kOnce},
    {"decode_batch",
     {.n_tokens = 5, .n_kv_heads = 8, .head_dim = 128, .n_slots = 7, .kv_capacity = 13},
     "one token of several sequences, slots and positions scattered",
     kQuick,
     kInvariant},
    {"odd_rows",
     {.n_tokens = 9, .n_kv_heads = 3, .head_dim = 65, .n_slots = 3, .kv_capacity = 11},
     "rows that no vector width divides",
     kQuick,
     kInvariant},
};

class KvStore final : public OperatorOf<KvStoreProblem, KvStoreRung> {
 public:
  std::string name() const override { return "kv_store"; }
  std::vector<Case> cases() const override {
    std::vector<Case> out;
    for (const auto& row : kCases)
      for (const DType dtype : {DType::kF16, DType::kBF16}) {
        KvStoreProblem p = row.problem;
        p.dtype = dtype;
        out.push_back(make_case(row, p, fmt::format("dtype={}", dtype_name(dtype))));
      }
    return out;
  }

 protected:
  std::span<const KvStoreRung> ladder() const override { return kv_store_ladder(); }
  static Tensor rows(const char* name, const KvStoreProblem& p) {
    return Tensor(name, p.dtype, {{"t", p.n_tokens}, {"g", p.n_kv_heads}, {"d", p.head_dim}});
  }
  static Tensor cache(const char* name, const KvStoreProblem& p) {
    return Tensor(name, p.dtype,
                  {{"slot", p.n_slots}, {"position", p.kv_capacity}, {"g", p.n_kv_heads}, {"d", p.head_dim}});
  }

  /// Tokens go to different places, in no order.
  static void draw_places(const KvStoreProblem& p, uint64_t seed, Data& data) {
    if (p.n_tokens > p.n_slots * p.kv_capacity)
      throw_invalid(fmt::format("kv_store: {} tokens do not fit {} slots of {}", p.n_tokens, p.n_slots, p.kv_capacity));
    verify::draw_places(p.n_tokens, p.n_slots, p.kv_capacity, seed, data);
  }
  static std::vector<uint8_t> written(const KvStoreProblem& p, const Data& data) {
    const std::vector<uint8_t> ones(static_cast<size_t>(p.elements()), 1);
    return reference::kv_store<uint8_t>(p, ones, data["slots"].as<int32_t>(), data["positions"].as<int32_t>(),
                                        std::vector<uint8_t>(static_cast<size_t>(p.cache_elements()), 0));
  }

  // Values grow with token and column, K positive and V negative: a row or a cache in the wrong place shows.
  Data integers(const KvStoreProblem& p, uint64_t seed) const override {
    Data data{{rows("k", p), rows("v", p), cache("k_cache", p), cache("v_cache", p)}, {}, {}};
    for (int64_t i = 0; i < p.elements(); ++i) {
      data["k"].set(i, static_cast<float>(1 + i / p.row() + i % p.row() % 97));
      data["v"].set(i, -static_cast<float>(1 + i / p.row() + i % p.row() % 89));
    }
    draw_places(p, seed, data);
    for (const char* which : {"k", "v"}) {
      Tensor after = data[std::string(which) + "_cache"];
      for (int64_t t = 0; t < p.n_tokens; ++t) {
        const auto slot = static_cast<int64_t>(data["slots"].number(t)),
                   at = static_cast<int64_t>(data["positions"].number(t));
        for (int64_t c = 0; c < p.row(); ++c)
          after.set((slot * p.kv_capacity + at) * p.row() + c, static_cast<float>(data[which].number(t * p.row() + c)));
      }
      data.exact.push_back(std::move(after));
    }
    return data;
  }
  Data random(const KvStoreProblem& p, uint64_t seed) const override {
    Data data{{normal(rows("k", p), 1.0f, seed), normal(rows("v", p), 1.0f, seed + 1),
               normal(cache("k_cache", p), 1.0f, seed + 2), normal(cache("v_cache", p), 1.0f, seed + 3)},
              {},
              {}};
    draw_places(p, seed + 4, data);
    return data;
  }
  std::vector<Output> launch(const KvStoreRung& rung, const KvStoreProblem& p, const Data& data,
                             const RunOptions&) const override {
    Buffers buffers(name());
    KvStoreArgs args;
    args.k = buffers.in(data["k"]);
    args.v = buffers.in(data["v"]);
    args.k_cache = buffers.inout(data["k_cache"], written(p, data));
    args.v_cache = buffers.inout(data["v_cache"], written(p, data));
    args.slots = buffers.in(data["slots"]).as<const int32_t>("slots");
    args.positions = buffers.in(data["positions"]).as<const int32_t>("positions");
    kv_store(buffers.stream(), rung, p, args);
    return buffers.collect();
  }
  std::vector<Tensor> twin_of(const KvStoreProblem& p, const std::string&, const Data& data) const override {
    std::vector<Tensor> out;
    for (const char* which : {"k", "v"}) {
      Tensor after = data[std::string(which) + "_cache"];
      const auto before = after.as<uint16_t>();
      const auto bits = reference::kv_store<uint16_t>(p, data[which].as<uint16_t>(), data["slots"].as<int32_t>(),
                                                      data["positions"].as<int32_t>(), {before.begin(), before.end()});
      std::memcpy(after.bytes.data(), bits.data(), after.bytes.size());
      out.push_back(std::move(after));
    }
    return out;
  }
  std::vector<reference::Bounded> oracle_of(const KvStoreProblem& p, const std::string& arithmetic, ExpMode,
                                            const Data& data) const override {
    std::vector<reference::Bounded> out;
    for (const Tensor& t : twin_of(p, arithmetic, data)) {
      const auto values = t.floats();
      out.push_back({{values.begin(), values.end()}, std::vector<double>(values.size(), 0.0)});
    }
    return out;
  }
  bool rounds_in(const KvStoreProblem&) const override { return false; }
  std::string no_statistics_in(const KvStoreProblem&) const override { return "a copy is right or wrong"; }
  std::vector<std::string> relations_of(const KvStoreProblem& p) const override {
    return p.n_tokens == 1 ? std::vector<std::string>{} : std::vector<std::string>{"token_alone"};
  }
  Relation relate(const std::string& which, const KvStoreProblem& p, const std::string&, const Data& data,
                  uint64_t seed) const override {
    const auto t = static_cast<int64_t>(reference::Random(seed).below(static_cast<uint64_t>(p.n_tokens)));
    KvStoreProblem one = p;
    one.n_tokens = 1;
    const int64_t at = (static_cast<int64_t>(data["slots"].number(t)) * p.kv_capacity +
                        static_cast<int64_t>(data["positions"].number(t))) *
                       p.row();
    Relation r = one_step(which, to_line(one),
                          {rows_of(data["k"], t, 1), rows_of(data["v"], t, 1), data["k_cache"], data["v_cache"],
                           rows_of(data["slots"], t, 1), rows_of(data["positions"], t, 1)},
                          {0, at, at, p.row()});
    r.steps[0].pieces.push_back({1, at, at, p.row()});
    return r;
  }
};

}  // namespace

const Operator& kv_store_operator() {
  static const KvStore op;
  return op;
}

}  // namespace greta::verify
