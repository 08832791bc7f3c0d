#include "runners/isa/export_draws.hpp"

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <random>
#include <sstream>

#include "kernels/hip/error.hpp"

namespace greta::runners::isa {
namespace {

// Small: an executor of machine code takes about a microsecond a lane-instruction. Ragged: never whole tiles only.
constexpr Draw kDraws[] = {
    {"embedding", "n_tokens=2..4 n_vocab=5..9 width=256*1..2 weights={q4_k,q6_k,q8_0,f16,bf16,f32}"},
    {"embedding", "n_tokens=1..3 n_vocab=5..9 width={45,52} weights={f16,bf16,f32}"},
    {"rms_norm", "n_rows=1..3 width=4*65..330 y={f16,bf16,f32}"},
    {"rms_norm", "n_rows=1..3 width=257|391|1023 y={f16,bf16,f32}"},
    {"rms_norm", "n_rows=1..2 width=4*1025..1300 y={f16,bf16,f32}", "v[2-9]"},
    {"add_rms_norm", "n_rows=1..2 width=256*2..5 add={0,1} y={f16,bf16,f32} out={q8_act256,q8_act32}"},
    {"add_rms_norm", "n_rows=1 width=256*17..20 y={f16,bf16,f32} out={q8_act256,q8_act32}"},
    {"add_rms_norm", "n_rows=1..2 width={512,4352} y=f16 out=f16"},
    {"add_rms_norm", "n_rows=1..2 width={512,4352} y=bf16 out=bf16"},
    {"add_rms_norm", "n_rows=1..2 width={512,4352} y=f32 out=f32"},
    {"rope_kv_store",
     "n_tokens=2..5 n_heads=2|4 n_kv_heads=1|2 head_dim=64 half_split={0,1} n_positions=50 n_slots=2 kv_capacity=9..19 "
     "dtype={f16,bf16}"},
    {"swiglu_quantize", "n_rows=1..3 width=256*1..3 dtype={f16,bf16,f32} out={q8_act256,q8_act32}"},
    {"quant_matmul", "m=65..70 n_out=65..75 n_in=256 weights={q4_k,q6_k,q8_0} x=f16 y=f16|f32", "gemm.*v[2-9]"},
    {"quantize_activations", "m=2..4 n_out=1 n_in=256*1..2 weights={q4_k,q8_0} x={f16,bf16,f32}"},
    {"quant_matmul", "m={1,2,3,5} n_out=5..21 n_in=256*1..3 weights={q4_k,q6_k,q8_0} x=f16|bf16|f32 y=f16|bf16|f32"},
    {"quant_matmul", "m={11,19,35} n_out=33..71 n_in=256 weights={q4_k,q6_k,q8_0} x=f16|bf16 y=f16|bf16|f32"},
    {"quant_matmul", "m={13,23,50,64} n_out=17..40 n_in=256*2..6 weights={q4_k,q6_k} x=f16|bf16 y=f16|bf16|f32",
     "gemm.*v4"},
    {"quant_matmul", "m=2..5 n_out=5..21 n_in=32*3..13 weights=q8_0 x=f16|bf16 y=f16|f32"},
    {"quant_matmul", "m={1,3,19} n_out=5..40 n_in=256|320 weights={f16,bf16,f32} x={f16,bf16,f32} y=f16|bf16|f32"},
    {"quant_matmul", "m=2..9 n_out=5..40 n_in=101|333 weights={f16,bf16,f32} x={f16,bf16,f32} y=f16|bf16|f32"},
    {"quant_matmul", "m={1,5,19} n_out=5..40 n_in=8*1..9|8*37..44 weights=f16 x=f16 y=f16|f32", "float_v2"},
    {"quant_matmul", "m={1,5,19} n_out=5..40 n_in=8*1..9|8*37..44 weights=bf16 x=bf16 y=bf16|f32", "float_v2"},
    {"quant_matmul", "m=65..90 n_out=65..90 n_in=8*5..9 weights=f16 x=f16 y=f16|f32", "gemm_float_v2"},
    {"quant_matmul", "m=65..90 n_out=65..90 n_in=8*5..9 weights=bf16 x=bf16 y=bf16|f32", "gemm_float_v2"},
    {"quant_matmul", "m=129..140 n_out=257..270 n_in=8*5..9 weights=f16 x=f16 y=f16|f32", "gemm_float_v2"},
    {"quant_matmul", "m=129..140 n_out=257..270 n_in=8*5..9 weights=bf16 x=bf16 y=bf16|f32", "gemm_float_v2"},
    {"quant_matmul_group",
     "m={1,11} n_out=5..40 n_out_1=3..20 n_out_2=0|1..9 n_in=256*1..2 weights={q4_k,q6_k,q8_0} x=f16 y=f16|f32"},
    {"quant_matmul_group", "m={1,19} n_out=5..40 n_out_1=3..90 n_out_2=0|1..9 n_in=8*1..9 weights=f16 x=f16 y=f16|f32"},
    {"rope", "n_tokens=1..4 n_heads=1..3 head_dim={64,128} half_split={0,1} n_positions=50 dtype={f16,bf16,f32}"},
    {"rope", "n_tokens=1..4 n_heads=1..3 head_dim=6|10|34 half_split={0,1} n_positions=50 dtype={f16,bf16,f32}"},
    {"kv_store", "n_tokens=2..5 n_kv_heads=1..3 head_dim=64 n_slots=2 kv_capacity=7..19 dtype={f16,bf16,f32}"},
    {"kv_store", "n_tokens=2..5 n_kv_heads=1 head_dim=6|10|14 n_slots=2 kv_capacity=7..19 dtype={f16,bf16,f32}"},
    {"prefill_attention",
     "n_tokens=3..19 n_kv=n_tokens+0..70 n_heads=2 n_kv_heads=1 head_dim={64,128} dtype={f16,bf16}"},
    {"prefill_attention", "n_tokens=2..5 n_kv=513..540 n_heads=1 n_kv_heads=1 head_dim={64,128} dtype={f16,bf16}",
     "v[2-9]"},
    {"decode_attention", "n_kv=33..150 n_heads=4 n_kv_heads=2 head_dim={64,128} page_size=16 dtype={f16,bf16}"},
    {"decode_attention", "n_kv=33..150 n_heads=4 n_kv_heads=2 head_dim={64,128} dtype={f16,bf16}"},
    {"decode_attention", "n_kv=513..540 n_heads=2 n_kv_heads=1 head_dim={64,128} dtype={f16,bf16}"},
    {"swiglu", "n_rows=1..3 width=257..330 dtype={f16,bf16,f32}"},
    {"residual_add", "n_rows=1..3 width=257..400"},
    {"argmax", "n_rows=1..3 width=4*65..330"},
    {"argmax", "n_rows=1..3 width=257|391|1023"},
};

constexpr NotLaunched kNotLaunched[] = {
    {"hip/gpu/memory", ".*",
     "the GPU runtime's own: host has no guard zones in device memory, and a struct of pointers has no "
     "place in the format"},
    {"ceilings/ceilings", "matrix_kernel|i8_matrix_kernel", "measures a rate; its sum has no meaning"},
    {"matrix_tiles/matrix_tiles", ".*", "calibrates matrix tiles on a device: tier C of greta verify"},
    {"probes/probes", ".*", "probes of the runtime: tier X of greta verify"},
    {"quant_matmul/gemm_v2", ".*Tile<.*, 4, 2, [24], 2> >", "shapes that bench compares with that of the rung"},
    {"quant_matmul/gemm_v3", ".*Tile<.*, 1, 1, 4>, .*>", "a shape that bench compares with those of the rung"},
    {"quant_matmul/gemm_v3", ".*, true>", "a chain a wave: the free variant that bench measures against"},
    {"quant_matmul/gemm_v2_free", ".*", "sums in any order: the free variant that bench measures against"},
    {"quant_matmul/gemm_v4_free", ".*", "sums in any order: the free variant that bench measures against"},
    {"prefill_attention/v4_mma", ".*, false>", "without splits: the free variant that bench measures against"},
    {"ceilings/ceilings", "dot_kernel<false>", "host runs the form that loads its operands again, dot_kernel<true>"},
};

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string piece; std::getline(in, piece, at);) out.push_back(piece);
  return out;
}

int64_t number(const std::string& text, const std::string& line) {
  int64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc{} || end != text.data() + text.size())
    throw_invalid(fmt::format("greta isa --export: '{}' is no number in '{}'", text, line));
  return n;
}

/// A value without braces.
std::string drawn(std::string text, const std::string& line, const std::map<std::string, std::string>& fields,
                  std::mt19937_64& random) {
  const std::vector<std::string> choices = split(text, '|');
  if (choices.size() > 1) text = choices[random() % choices.size()];
  const size_t dots = text.find("..");
  if (dots == std::string::npos) return text;
  int64_t base = 0, step = 1;
  std::string low = text.substr(0, dots);
  if (const size_t star = low.find('*'); star != std::string::npos)
    step = number(low.substr(0, star), line), low = low.substr(star + 1);
  if (const size_t plus = low.find('+'); plus != std::string::npos) {
    const auto field = fields.find(low.substr(0, plus));
    if (field == fields.end())
      throw_invalid(fmt::format("greta isa --export: no field before '{}' in '{}'", text, line));
    base = number(field->second, line), low = low.substr(plus + 1);
  }
  const int64_t first = number(low, line), last = number(text.substr(dots + 2), line);
  if (last < first) throw_invalid(fmt::format("greta isa --export: empty range '{}' in '{}'", text, line));
  return std::to_string(base +
                        step * (first + static_cast<int64_t>(random() % static_cast<uint64_t>(last - first + 1))));
}

}  // namespace

std::span<const Draw> draws() { return kDraws; }
std::span<const NotLaunched> not_launched() { return kNotLaunched; }

std::vector<std::string> expand(const std::string& line, uint64_t seed) {
  struct Partial {
    std::string line;
    std::map<std::string, std::string> fields;
  };
  std::vector<Partial> partials(1);
  std::mt19937_64 random(seed * 0x9e3779b97f4a7c15u + std::hash<std::string>{}(line));
  for (const std::string& word : split(line, ' ')) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos) throw_invalid(fmt::format("greta isa --export: '{}' is no field=value", word));
    const std::string key = word.substr(0, equals), value = word.substr(equals + 1);
    std::vector<std::string> each = {value};
    if (value.front() == '{') each = split(value.substr(1, value.size() - 2), ',');
    std::vector<Partial> next;
    for (const Partial& before : partials)
      for (const std::string& one : each) {
        Partial p = before;
        p.fields[key] = drawn(one, line, p.fields, random);
        p.line += (p.line.empty() ? "" : " ") + key + "=" + p.fields[key];
        next.push_back(std::move(p));
      }
    partials = std::move(next);
  }
  std::vector<std::string> lines;
  for (Partial& p : partials) lines.push_back(std::move(p.line));
  return lines;
}

}  // namespace greta::runners::isa
