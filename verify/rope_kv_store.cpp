// RoPE + KV store as verification sees it: the rotated queries and both caches.
#include "kernels/rope_kv_store/rope_kv_store.hpp"

#include "reference/kv_store.hpp"
#include "reference/rope.hpp"
#include "verify/buffers.hpp"
#include "verify/catalogue.hpp"
#include "verify/draw.hpp"
#include "verify/operator_of.hpp"

namespace greta::verify {
namespace {

constexpr CaseRow<RopeKvStoreProblem> kCases[] = {
    {"one_token",
     {.n_tokens = 1, .n_heads = 1, .n_kv_heads = 1, .head_dim = 16, .n_positions = 3, .kv_capacity = 3},
     "smallest legal problem",
     kQuick,
     kOnce},
    {"sample_llama",
     {.n_tokens = 48, .n_heads = 4, .n_kv_heads = 2, .head_dim = 64, .n_positions = 65, .kv_capacity = 64},
     "a prefill of the sample model: two tokens a workgroup",
     kQuick,
     kOnce},
    {"odd_heads",
     {.n_tokens = 7, .n_heads = 9, .n_kv_heads = 3, .head_dim = 48, .n_positions = 30, .n_slots = 2, .kv_capacity = 11},
     "threads whose heads are of q, k and v",
     kQuick,
     kInvariant},
    {"decode_batch",
     {.n_tokens = 5,
      .n_heads = 32,
      .n_kv_heads = 8,
      .head_dim = 128,
      .n_positions = 40,
      .n_slots = 7,
      .kv_capacity = 13},
     "one token of several Llama-3-8B sequences, slots and positions scattered",
     kQuick,
     kInvariant},
    {"many_heads",
     {.n_tokens = 3, .n_heads = 64, .n_kv_heads = 8, .head_dim = 128, .n_positions = 9, .kv_capacity = 8},
     "Llama-3-70B: more heads than one round of a workgroup",
     kQuick,
     kOnce},
    {"many_tokens",
     {.n_tokens = 523, .n_heads = 8, .n_kv_heads = 2, .head_dim = 128, .n_positions = 700, .kv_capacity = 600},
     "more tokens than compute units, prime",
     kFull,
     kOnce},
};

class RopeKvStore final : public OperatorOf<RopeKvStoreProblem, RopeKvStoreRung> {
 public:
  std::string name() const override { return "rope_kv_store"; }
  std::vector<Case> cases() const override {
    std::vector<Case> out;
    for (const auto& row : kCases)
      for (const int64_t half_split : {0, 1})
        for (const DType dtype : {DType::kF16, DType::kBF16}) {
          RopeKvStoreProblem p = row.problem;
          p.half_split = half_split, p.dtype = dtype;
          out.push_back(make_case(row, p, fmt::format("half_split={} dtype={}", half_split, dtype_name(dtype))));
        }
    return out;
  }

 protected:
  std::span<const RopeKvStoreRung> ladder() const override { return rope_kv_store_ladder(); }
  static Tensor heads(const char* name, const RopeKvStoreProblem& p, int64_t n) {
    return Tensor(name, p.dtype, {{"t", p.n_tokens}, {"h", n}, {"d", p.head_dim}});
  }
  static Tensor cache(const char* name, const RopeKvStoreProblem& p) {
    return Tensor(name, p.dtype,
                  {{"slot", p.n_slots}, {"position", p.kv_capacity}, {"g", p.n_kv_heads}, {"d", p.head_dim}});
  }
  static Tensor table_of(const RopeKvStoreProblem& p) {
    return Tensor("table", DType::kF32, {{"position", p.n_positions}, {"pair", p.head_dim / 2}, {"cos_sin", 2}});
  }

  /// Tokens go to different places of the cache, in no order; the place's position is the token's.
  static void draw_places(const RopeKvStoreProblem& p, uint64_t seed, Data& data) {
    if (p.n_tokens > p.n_slots * p.kv_capacity || p.kv_capacity > p.n_positions)
      throw_invalid(
          fmt::format("rope_kv_store: verification wants n_tokens <= n_slots * kv_capacity and kv_capacity "
                      "<= n_positions, got {}",
                      to_line(p)));
    verify::draw_places(p.n_tokens, p.n_slots, p.kv_capacity, seed, data);
  }
  template <class T>
  static std::vector<T> scattered(const RopeKvStoreProblem& p, const Data& data, std::span<const T> rows,
                                  std::vector<T> before) {
    return reference::kv_store<T>(p.store(), rows, data["slots"].as<int32_t>(), data["positions"].as<int32_t>(),
                                  std::move(before));
  }
  static std::vector<uint8_t> written(const RopeKvStoreProblem& p, const Data& data) {
    const std::vector<uint8_t> ones(static_cast<size_t>(p.kv_elements()), 1);
    return scattered<uint8_t>(p, data, ones, std::vector<uint8_t>(static_cast<size_t>(p.store().cache_elements()), 0));
  }
  static Tensor turned(const RopeKvStoreProblem& p, const Data& data, const char* name, int64_t n) {
    return filled(heads(name, p, n), reference::rope_twin(p.rotation(n), data[name].floats(),
                                                          data["positions"].as<int32_t>(), data["table"].as<float>()));
  }

  // A table of quarter turns keeps whole numbers whole, and the rotation exact in any order: the twin's answer is the
  // answer. (What a quarter turn does to a pair is worked by hand in kernels/rope and reference tests.)
  Data integers(const RopeKvStoreProblem& p, uint64_t seed) const override {
    Data data{
        {whole(heads("q", p, p.n_heads), -200, 200, seed), whole(heads("k", p, p.n_kv_heads), -200, 200, seed + 1),
         whole(heads("v", p, p.n_kv_heads), 1, 200, seed + 2), whole(cache("k_cache", p), 201, 255, seed + 3),
         whole(cache("v_cache", p), 201, 255, seed + 4)},
        {},
        {}};
    draw_places(p, seed + 5, data);
    const Tensor turns =
        whole(Tensor("turns", DType::kI32, {{"entry", p.n_positions * p.head_dim / 2}}), 0, 3, seed + 6);
    constexpr float kCos[] = {1, 0, -1, 0}, kSin[] = {0, 1, 0, -1};
    Tensor table = table_of(p);
    for (int64_t i = 0; i < turns.count(); ++i)
      table.set(2 * i, kCos[turns.bits(i)]), table.set(2 * i + 1, kSin[turns.bits(i)]);
    data.tensors.push_back(std::move(table));
    data.exact = twin_of(p, "", data);
    return data;
  }
  Data random(const RopeKvStoreProblem& p, uint64_t seed) const override {
    Data data{{normal(heads("q", p, p.n_heads), 2.0f, seed), normal(heads("k", p, p.n_kv_heads), 2.0f, seed + 1),
               normal(heads("v", p, p.n_kv_heads), 1.0f, seed + 2), normal(cache("k_cache", p), 1.0f, seed + 3),
               normal(cache("v_cache", p), 1.0f, seed + 4)},
              {},
              {}};
    draw_places(p, seed + 5, data);
    data.tensors.push_back(filled(table_of(p), reference::rope_table(p.n_positions, p.head_dim, 500000.0)));
    return data;
  }
  std::vector<Output> launch(const RopeKvStoreRung& rung, const RopeKvStoreProblem& p, const Data& data,
                             const RunOptions&) const override {
    Buffers buffers(name());
    RopeKvStoreArgs args;
    args.q = buffers.inout(data["q"]);
    args.k = buffers.in(data["k"]);
    args.v = buffers.in(data["v"]);
    args.k_cache = buffers.inout(data["k_cache"], written(p, data));
    args.v_cache = buffers.inout(data["v_cache"], written(p, data));
    args.slots = buffers.in(data["slots"]).as<const int32_t>("slots");
    args.positions = buffers.in(data["positions"]).as<const int32_t>("positions");
    args.table = buffers.in(data["table"]).as<const float>("table");
    rope_kv_store(buffers.stream(), rung, p, args);
    return buffers.collect();
  }
  std::vector<Tensor> twin_of(const RopeKvStoreProblem& p, const std::string&, const Data& data) const override {
    std::vector<Tensor> out = {turned(p, data, "q", p.n_heads)};
    const Tensor k = turned(p, data, "k", p.n_kv_heads);
    for (const auto& [rows, name] : {std::pair{&k, "k_cache"}, std::pair{&data["v"], "v_cache"}}) {
      Tensor after = data[name];
      const auto before = after.as<uint16_t>();
      const auto bits = scattered<uint16_t>(p, data, rows->as<uint16_t>(), {before.begin(), before.end()});
      std::memcpy(after.bytes.data(), bits.data(), after.bytes.size());
      out.push_back(std::move(after));
    }
    return out;
  }
  std::vector<reference::Bounded> oracle_of(const RopeKvStoreProblem& p, const std::string&, ExpMode,
                                            const Data& data) const override {
    const auto positions = data["positions"].as<int32_t>();
    const auto table = data["table"].as<float>();
    const auto doubles = [](const Tensor& t) {
      const auto values = t.floats();
      return std::vector<double>(values.begin(), values.end());
    };
    std::vector<reference::Bounded> out = {
        reference::rope_oracle(p.rotation(p.n_heads), data["q"].floats(), positions, table)};
    const reference::Bounded k = reference::rope_oracle(p.rotation(p.n_kv_heads), data["k"].floats(), positions, table);
    const std::vector<double> exact(static_cast<size_t>(p.store().cache_elements()), 0.0);
    out.push_back(
        {scattered<double>(p, data, k.value, doubles(data["k_cache"])), scattered<double>(p, data, k.bound, exact)});
    out.push_back({scattered<double>(p, data, doubles(data["v"]), doubles(data["v_cache"])), exact});
    return out;
  }
  std::string no_statistics_in(const RopeKvStoreProblem&) const override {
    return "the caches are mostly what they were; rope's own cases have the statistics";
  }
  std::vector<std::string> relations_of(const RopeKvStoreProblem& p) const override {
    return p.n_tokens == 1 ? std::vector<std::string>{} : std::vector<std::string>{"token_alone"};
  }
  Relation relate(const std::string& which, const RopeKvStoreProblem& p, const std::string&, const Data& data,
                  uint64_t seed) const override {
    const auto t = static_cast<int64_t>(reference::Random(seed).below(static_cast<uint64_t>(p.n_tokens)));
    RopeKvStoreProblem one = p;
    one.n_tokens = 1;
    const int64_t row = p.n_kv_heads * p.head_dim, width = p.n_heads * p.head_dim;
    const int64_t at = (static_cast<int64_t>(data["slots"].number(t)) * p.kv_capacity +
                        static_cast<int64_t>(data["positions"].number(t))) *
                       row;
    Relation r =
        one_step(which, to_line(one),
                 {rows_of(data["q"], t, 1), rows_of(data["k"], t, 1), rows_of(data["v"], t, 1), data["k_cache"],
                  data["v_cache"], rows_of(data["slots"], t, 1), rows_of(data["positions"], t, 1), data["table"]},
                 {0, t * width, 0, width});
    r.steps[0].pieces.push_back({1, at, at, row});
    r.steps[0].pieces.push_back({2, at, at, row});
    return r;
  }
};

}  // namespace

const Operator& rope_kv_store_operator() {
  static const RopeKvStore op;
  return op;
}

}  // namespace greta::verify
