// Decode attention: one query token of Llama-3-8B a sequence, batches of 1, 8 and 32 over caches of 1k, 8k and 32k
// keys, contiguous and in shuffled pages. GB/s counts K and V once for all query heads of a KV head.
//
// Rung "v3_free" is no rung of the ladder: v3 with as many splits as fill the device's waves, whatever their size,
// hence with bits of its own for every length, batch and device. It is the measure of what the fixed split size costs.
#include "kernels/decode_attention/decode_attention.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "bench/catalogue.hpp"
#include "bench/workload.hpp"
#include "kernels/decode_attention/rungs.hpp"
#include "reference/decode_attention.hpp"
#include "verify/attention_inputs.hpp"
#include "verify/matrix_calibration.hpp"

namespace greta::bench {
namespace {

using verify::Tensor;
using P = DecodeAttentionProblem;

/// v1 reads K twice with a thread a head: beyond this its rows would take longer than all others together.
constexpr int64_t kMostKeysOfV1 = 1024;
constexpr const char* kFree = "v3_free";

/// Normal values that repeat after a prime number of elements, so that no two sequences hold the same rows: a cache has
/// up to 10^9 of them.
Tensor cache(const char* name, const P& p, uint64_t seed) {
  constexpr int64_t kPeriod = 1048583;
  Tensor tensor(name, p.dtype,
                {{"row", p.kv_elements() / (p.n_kv_heads * p.head_dim)}, {"g", p.n_kv_heads}, {"d", p.head_dim}});
  const Tensor block = verify::normal(Tensor(name, p.dtype, {{"", std::min(kPeriod, tensor.count())}}), 1.0f, seed);
  for (size_t at = 0; at < tensor.bytes.size(); at += block.bytes.size())
    std::memcpy(tensor.bytes.data() + at, block.bytes.data(), std::min(block.bytes.size(), tensor.bytes.size() - at));
  return tensor;
}

Tensor shuffled_table(const P& p, uint64_t seed) {
  Tensor table("page_table", DType::kI32, {{"b", p.batch}, {"page", p.table_width()}});
  const std::span<int32_t> pages = table.as<int32_t>();
  std::iota(pages.begin(), pages.end(), 0);
  reference::Random random(seed);
  for (size_t i = pages.size(); i > 1; --i) std::swap(pages[i - 1], pages[random.below(i)]);
  return table;
}

/// Keys a split of v3_free: every wave that the device can hold at once gets one, in whole tiles of 64.
int64_t free_split(const P& p) {
  constexpr int64_t kWavesOfUnit = 12;
  const int64_t waves = hip::device_info().compute_units * kWavesOfUnit;
  const int64_t splits = std::max<int64_t>(1, waves / (p.batch * p.n_kv_heads));
  return ((p.n_kv + splits - 1) / splits + 63) / 64 * 64;
}
void launch_free(hip::Stream& stream, const P& p, const DecodeAttentionArgs& args) {
  decode_attention_v3_with_splits(stream, p, args, free_split(p));
}
const DecodeAttentionRung kFreeRung = {kFree, launch_free, decode_attention_rung_for("online_mma").accepts,
                                       "online_mma_free", "v3 with splits of any size"};

class DecodeWorkload final : public RotatedWorkload {
 public:
  DecodeWorkload(const DecodeAttentionRung& rung, const P& p, const Options& options)
      : RotatedWorkload(p.bytes()),
        rung_(rung),
        p_(p),
        exp_(options.exp),
        free_(std::string_view(rung.name) == kFree),
        q_host_(verify::normal(rows_tensor("q", p.dtype, p.batch * p.n_heads, p.head_dim), 1.0f, options.seed)),
        k_host_(cache("k", p, options.seed + 1)),
        v_host_(cache("v", p, options.seed + 2)),
        q_(input(q_host_)),
        k_(input(k_host_)),
        v_(input(v_host_)),
        o_(output(rows_tensor("o", p.dtype, p.batch * p.n_heads, p.head_dim))),
        workspace_("bench.workspace", workspace_floats()) {
    if (!p.paged()) return;
    table_host_ = shuffled_table(p, options.seed + 3);
    table_ = &input(table_host_);
  }

  void launch(hip::Stream& stream, int64_t slot) override {
    DecodeAttentionArgs args = {q_.view(slot), k_.view(slot), v_.view(slot), o_.view(slot), {}, workspace_.view()};
    if (table_) args.page_table = table_->view(slot).as<const int32_t>("page_table");
    args.exp = exp_;
    decode_attention(stream, rung_, p_, args);
  }

  /// Sampled heads by the twin (with the hardware's exp2 and for v3_free: within the oracle's bound), then whole
  /// outputs of slots against each other.
  std::string check(hip::Stream& stream, std::span<const int64_t> launches) override {
    const auto slots = sampled_slots(launches, 3);
    const Tensor shape = rows_tensor("o", p_.dtype, p_.batch * p_.n_heads, p_.head_dim);
    for (const int64_t row : sampled_rows(p_.batch * p_.n_heads, 3, 1)) {
      P one = p_;
      one.batch = one.n_heads = one.n_kv_heads = 1;
      one.kv_capacity = one.page_size = one.n_pages = 0;
      const int64_t head = row % p_.n_heads / p_.group();
      const std::vector<float> q = row_floats(q_host_, row), k = keys_of(k_host_, row / p_.n_heads, head),
                               v = keys_of(v_host_, row / p_.n_heads, head);
      const reference::AttentionInputs in{.q = q, .k = k, .v = v};
      const Tensor got =
          o_.download(stream, slots.back(), rows_tensor("o", p_.dtype, 1, p_.head_dim), row * p_.head_dim);
      const char* arithmetic = free_ ? "online_mma" : rung_.arithmetic;
      const std::string wrong =
          free_ || exp_ == ExpMode::kHardware
              ? outside(got, reference::decode_attention_oracle(one, arithmetic, exp_, in))
              : differs(got, reference::decode_attention_twin(one, arithmetic, in, verify::matrix_machine()));
      if (!wrong.empty()) return fmt::format("sequence {} head {}: {}", row / p_.n_heads, row % p_.n_heads, wrong);
    }
    return slots_differ(stream, o_, shape, slots);
  }

 private:
  size_t workspace_floats() const {
    if (!free_) return decode_attention_workspace(p_);
    return decode_partials_workspace(p_, ceil_div(p_.n_kv, free_split(p_)));
  }
  /// One KV head of one sequence, [n_kv, head_dim].
  std::vector<float> keys_of(const Tensor& cache, int64_t sequence, int64_t head) const {
    std::vector<float> rows;
    for (int64_t j = 0; j < p_.n_kv; ++j) {
      int64_t row = sequence * p_.capacity() + j;
      if (p_.paged())
        row = table_host_.as<int32_t>()[static_cast<size_t>(sequence * p_.table_width() + j / p_.page_size)] *
                  p_.page_size +
              j % p_.page_size;
      for (int64_t c = 0; c < p_.head_dim; ++c)
        rows.push_back(static_cast<float>(cache.number((row * p_.n_kv_heads + head) * p_.head_dim + c)));
    }
    return rows;
  }

  const DecodeAttentionRung& rung_;
  P p_;
  ExpMode exp_;
  bool free_;
  Tensor q_host_, k_host_, v_host_, table_host_;
  RotatedTensor &q_, &k_, &v_, &o_;
  RotatedTensor* table_ = nullptr;
  hip::DeviceBuffer<float> workspace_;
};

void add_row(std::vector<BenchCase>& to, const std::string& name, const P& p, bool on_host) {
  const BenchRow<P> row{name.c_str(), p, on_host};
  const auto make = [](const DecodeAttentionRung& rung, const P& problem, const Options& options) {
    return std::make_unique<DecodeWorkload>(rung, problem, options);
  };
  std::vector<BenchCase> cases;
  add_rungs(cases, "decode_attention", decode_attention_ladder(), row, Compute::kF32, make);
  if (p.n_kv > kMostKeysOfV1) std::erase_if(cases, [](const BenchCase& c) { return c.rung == "v1"; });
  if (!p.paged()) add_rungs(cases, "decode_attention", std::span(&kFreeRung, 1), row, Compute::kF32, make);
  bool first = true;
  for (BenchCase& c : cases) {
    c.first_rung = std::exchange(first, false);
    to.push_back(std::move(c));
  }
}

}  // namespace

void add_decode_attention(std::vector<BenchCase>& to) {
  add_row(to, "sample_llama_b2/600",
          {.batch = 2, .n_kv = 600, .n_heads = 4, .n_kv_heads = 2, .head_dim = 64, .dtype = DType::kBF16}, true);
  const P llama{.n_heads = 32, .n_kv_heads = 8, .head_dim = 128, .dtype = DType::kBF16};
  for (const int64_t batch : {1, 8, 32})
    for (const int64_t n_kv : {1024, 8192, 32768}) {
      P p = llama;
      p.batch = batch, p.n_kv = n_kv;
      add_row(to, fmt::format("llama3_8b_b{}/{}", batch, n_kv), p, false);
    }
  for (const int64_t page_size : {16, 64}) {
    P p = llama;
    p.batch = 8, p.n_kv = 8192, p.page_size = page_size;
    add_row(to, fmt::format("llama3_8b_b8_pages{}/8192", page_size), p, false);
  }
}

}  // namespace greta::bench
