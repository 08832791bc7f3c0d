#include "verify/attention_inputs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "kernels/hip/runtime.hpp"
#include "verify/compare.hpp"
#include "verify/draw.hpp"

namespace greta::verify {
namespace {

using reference::Random;

Tensor lengths(const char* name, const PrefillAttentionProblem& p) {
  return Tensor(name, DType::kI32, {{"b", p.batch}});
}

/// n_tokens_of (prefill) and n_kv_of for batches of more than one.
void draw_lengths(const PrefillAttentionProblem& p, bool decode, uint64_t seed, Data& data) {
  if (p.batch == 1) return;
  Random random(seed);
  Tensor n_tokens = lengths("n_tokens_of", p), n_kv = lengths("n_kv_of", p);
  for (int64_t b = 0; b < p.batch; ++b) {
    const int64_t tokens =
        b == 0 || decode ? p.n_tokens : 1 + static_cast<int64_t>(random.below(static_cast<uint64_t>(p.n_tokens)));
    const int64_t keys =
        b == 0 ? p.n_kv : tokens + static_cast<int64_t>(random.below(static_cast<uint64_t>(p.n_kv - tokens + 1)));
    n_tokens.set(b, static_cast<float>(tokens));
    n_kv.set(b, static_cast<float>(keys));
  }
  if (!decode) data.tensors.push_back(std::move(n_tokens));
  data.tensors.push_back(std::move(n_kv));
}

bool has(const Data& data, std::string_view name) {
  return std::any_of(data.tensors.begin(), data.tensors.end(), [&](const Tensor& t) { return t.name == name; });
}

int64_t q_width(const PrefillAttentionProblem& p) { return p.n_heads * p.head_dim; }
int64_t kv_width(const PrefillAttentionProblem& p) { return p.n_kv_heads * p.head_dim; }

void set_range(Tensor& tensor, int64_t begin, int64_t count, float value) {
  for (int64_t i = begin; i < begin + count; ++i) tensor.set(i, value);
}

/// Everything beyond the lengths becomes NaN.
void nan_beyond(const PrefillAttentionProblem& p, Data& data) {
  for (int64_t b = 0; b < p.batch; ++b) {
    const int64_t tokens = tokens_of(p, data, b), keys = keys_of(p, data, b);
    set_range(data["q"], (b * p.n_tokens + tokens) * q_width(p), (p.n_tokens - tokens) * q_width(p), std::nanf(""));
    for (const char* which : {"k", "v"})
      set_range(data[which], (b * p.capacity() + keys) * kv_width(p), (p.capacity() - keys) * kv_width(p),
                std::nanf(""));
  }
}

int64_t kv_head_of(const PrefillAttentionProblem& p, int64_t head) {
  return p.head_map ? head % p.n_kv_heads : head / p.group();
}

/// Codes of the keys of one KV head of one sequence, shared by one to four keys; key 0 has its code alone.
std::vector<uint32_t> draw_codes(int64_t n, Random& random) {
  std::vector<uint32_t> codes(static_cast<size_t>(n));
  uint32_t next = 1;
  for (size_t j = 1; j < codes.size(); ++j) codes[j] = static_cast<uint32_t>(random.below(codes.size() / 3 + 1)) + 1;
  codes[0] = 0;
  std::vector<int> seen(codes.size() + 2, 0);
  for (size_t j = 1; j < codes.size(); ++j)  // a fifth key starts a code of its own
    if (++seen[codes[j]] > 4) codes[j] = static_cast<uint32_t>(codes.size()) + next++;
  return codes;
}

/// +-1 for channel c of a code; 64 random bits of the code's own, so that codes differ in many channels.
float sign(uint64_t salt, uint32_t code, int64_t c) {
  const uint64_t bits = reference::substream(salt + static_cast<uint64_t>(c / 64), code);
  return (bits >> (c % 64)) & 1 ? 1.0f : -1.0f;
}

class Whole {
 public:
  Whole(const PrefillAttentionProblem& p, bool decode, uint64_t seed) : p_(p), random_(seed), salt_(seed) {
    data_.tensors = {attention_rows("q", p, decode), attention_cache("k", p), attention_cache("v", p)};
    data_.exact = {attention_rows("o", p, decode)};
    draw_lengths(p, decode, seed + 1, data_);
  }

  Data make() {
    for (int64_t b = 0; b < p_.batch; ++b)
      for (int64_t g = 0; g < p_.n_kv_heads; ++g) {
        const std::vector<uint32_t> codes = draw_codes(p_.capacity(), random_);
        keys(b, g, codes);
        for (int64_t h = 0; h < p_.n_heads; ++h)
          if (kv_head_of(p_, h) == g)
            for (int64_t t = 0; t < p_.n_tokens; ++t) query(b, t, h, g, codes);
      }
    return std::move(data_);
  }

 private:
  int64_t kv_at(int64_t b, int64_t j, int64_t g) const {
    return ((b * p_.capacity() + j) * p_.n_kv_heads + g) * p_.head_dim;
  }

  void keys(int64_t b, int64_t g, const std::vector<uint32_t>& codes) {
    for (int64_t j = 0; j < p_.capacity(); ++j)
      for (int64_t c = 0; c < p_.head_dim; ++c) {
        data_["k"].set(kv_at(b, j, g) + c, 16 * sign(salt_, codes[static_cast<size_t>(j)], c));
        data_["v"].set(kv_at(b, j, g) + c, 1 + static_cast<float>(random_.below(15)));
      }
  }

  /// Finds 1, 2 or 4 visible keys of one code: best the code of the last visible key or of the first hidden one, by
  /// turns (a mask that is off by one shows), or else any, best one that hidden keys have too.
  void query(int64_t b, int64_t t, int64_t h, int64_t g, const std::vector<uint32_t>& codes) {
    const int64_t tokens = tokens_of(p_, data_, b), keys = keys_of(p_, data_, b);
    const int64_t visible = t < tokens ? keys - tokens + t + 1 : 1;
    const int64_t edge = std::min(visible, p_.capacity() - 1);
    uint32_t code = codes[0];
    std::vector<int64_t> found = {0};
    for (int attempt = 0; attempt < 16; ++attempt) {
      uint32_t candidate = codes[random_.below(static_cast<uint64_t>(visible))];
      if (attempt < 2) candidate = codes[static_cast<size_t>((t + h + attempt) % 2 ? edge : visible - 1)];
      std::vector<int64_t> same;
      for (int64_t j = 0; j < visible; ++j)
        if (codes[static_cast<size_t>(j)] == candidate) same.push_back(j);
      if (!std::has_single_bit(same.size()) || same.size() > 4) continue;
      code = candidate, found = same;
      const bool hidden_too = std::find(codes.begin() + visible, codes.end(), code) != codes.end();
      if (attempt < 2 || hidden_too) break;
    }
    const int64_t row = ((b * p_.n_tokens + t) * p_.n_heads + h) * p_.head_dim;
    for (int64_t c = 0; c < p_.head_dim; ++c) {
      data_["q"].set(row + c, 16 * sign(salt_, code, c));
      double sum = 0;
      for (const int64_t j : found) sum += data_["v"].number(kv_at(b, j, g) + c);
      data_.exact[0].set(row + c, static_cast<float>(sum / static_cast<double>(found.size())));
    }
  }

  const PrefillAttentionProblem& p_;
  Random random_;
  uint64_t salt_;
  Data data_;
};

}  // namespace

Tensor attention_rows(const char* name, const PrefillAttentionProblem& p, bool decode) {
  std::vector<Dim> dims = {{"b", p.batch}};
  if (!decode) dims.push_back({"t", p.n_tokens});
  dims.push_back({"h", p.n_heads});
  dims.push_back({"d", p.head_dim});
  return Tensor(name, p.dtype, std::move(dims));
}

Tensor attention_cache(const char* name, const PrefillAttentionProblem& p) {
  return Tensor(name, p.dtype, {{"b", p.batch}, {"j", p.capacity()}, {"g", p.n_kv_heads}, {"d", p.head_dim}});
}

Data random_attention(const PrefillAttentionProblem& p, bool decode, uint64_t seed) {
  Data data{{normal(attention_rows("q", p, decode), 1.0f, seed), normal(attention_cache("k", p), 1.0f, seed + 1),
             normal(attention_cache("v", p), 1.0f, seed + 2)},
            {},
            {}};
  constexpr float kTemperatures[] = {1.0f, 4.0f, 0.25f};
  Tensor& q = data["q"];
  for (int64_t i = 0; i < q.count(); ++i)
    q.set(i, static_cast<float>(q.number(i)) * kTemperatures[i / p.head_dim % p.n_heads % 3]);
  draw_lengths(p, decode, seed + 3, data);
  nan_beyond(p, data);
  // Every other draw has a scale of its own instead of the default.
  Tensor scale("scale", DType::kF32, {{"", 1}});
  if (Random(seed + 4).below(2)) scale.set(0, 0.15f);
  data.tensors.push_back(std::move(scale));
  return data;
}

Data whole_attention(const PrefillAttentionProblem& p, bool decode, uint64_t seed) {
  if (p.head_dim < 64)
    return {
        {},
        {},
        fmt::format("head_dim {}: codes of fewer than 64 channels are not told apart by saturated scores", p.head_dim)};
  return Whole(p, decode, seed).make();
}

AttentionValues attention_values(const Data& data) {
  AttentionValues v{data["q"].floats(), data["k"].floats(), data["v"].floats(), {}, {}, scale_of(data)};
  const auto copy = [&](const char* name, std::vector<int32_t>& to) {
    if (has(data, name)) to.assign(data[name].as<int32_t>().begin(), data[name].as<int32_t>().end());
  };
  copy("n_tokens_of", v.n_tokens_of);
  copy("n_kv_of", v.n_kv_of);
  return v;
}

float scale_of(const Data& data) { return has(data, "scale") ? static_cast<float>(data["scale"].number(0)) : 0.0f; }

bool is_ragged(const Data& data) { return has(data, "n_kv_of"); }

int64_t tokens_of(const PrefillAttentionProblem& p, const Data& data, int64_t b) {
  return has(data, "n_tokens_of") ? static_cast<int64_t>(data["n_tokens_of"].number(b)) : p.n_tokens;
}
int64_t keys_of(const PrefillAttentionProblem& p, const Data& data, int64_t b) {
  return has(data, "n_kv_of") ? static_cast<int64_t>(data["n_kv_of"].number(b)) : p.n_kv;
}

Data one_sequence(const PrefillAttentionProblem& p, const Data& data, bool decode, int64_t b) {
  PrefillAttentionProblem one = p;
  one.batch = 1, one.n_tokens = tokens_of(p, data, b);
  Data out{{attention_rows("q", one, decode), rows_of(data["k"], b, 1), rows_of(data["v"], b, 1)}, {}, {}};
  const auto size = static_cast<int64_t>(out["q"].bytes.size());
  const auto begin = data["q"].bytes.begin() + b * p.n_tokens * q_width(p) * data["q"].element_bytes();
  out["q"].bytes.assign(begin, begin + size);
  if (has(data, "scale")) out.tensors.push_back(data["scale"]);
  return out;
}

Data among_nan(const PrefillAttentionProblem& p, const Data& data, bool decode, int64_t batch, int64_t at) {
  PrefillAttentionProblem many = p;
  many.batch = batch;
  Data out{{attention_rows("q", many, decode), attention_cache("k", many), attention_cache("v", many)}, {}, {}};
  for (Tensor& tensor : out.tensors) {
    set_range(tensor, 0, tensor.count(), std::nanf(""));
    const Tensor& own = data[tensor.name];
    std::copy(own.bytes.begin(), own.bytes.end(), tensor.bytes.begin() + at * static_cast<int64_t>(own.bytes.size()));
  }
  if (has(data, "scale")) out.tensors.push_back(data["scale"]);
  return out;
}

Data with_more_capacity(const PrefillAttentionProblem& p, const Data& data) {
  Data out = data;
  for (const char* name : {"k", "v"}) {
    Tensor more = attention_cache(name, p);
    set_range(more, 0, more.count(), std::nanf(""));
    std::copy(data[name].bytes.begin(), data[name].bytes.end(), more.bytes.begin());
    out[name] = std::move(more);
  }
  return out;
}

void keep_hidden_values_finite(const PrefillAttentionProblem& p, Data& data) {
  Tensor& v = data["v"];
  for (int64_t b = 0; b < p.batch; ++b) {
    const int64_t keys = keys_of(p, data, b), seen_by_all = keys - tokens_of(p, data, b) + 1;
    const int64_t first = (b * p.capacity() + seen_by_all) * kv_width(p), end = (b * p.capacity() + keys) * kv_width(p);
    for (int64_t i = first; i < end; ++i)
      if (is_nan(v.dtype, v.bits(i))) v.set(i, 0.0f);
  }
}

}  // namespace greta::verify
