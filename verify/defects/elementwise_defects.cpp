// Defects of the operators between the matmuls.
#include <algorithm>
#include <cmath>
#include <mutex>
#include <set>

#include "kernels/hip/runtime.hpp"
#include "verify/defects/defects.hpp"

namespace greta::verify {
namespace {

std::vector<Output> position_off_by_one(const Call& call) {
  Data data = call.data;
  Tensor& positions = data["positions"];
  const int64_t n = field(call.problem, "n_positions");
  for (int64_t i = 0; i < positions.count(); ++i)
    positions.set(i, static_cast<float>((static_cast<int64_t>(positions.number(i)) + 1) % n));
  return call.launch(call.problem, data);
}

std::vector<Output> other_pairs(const Call& call) {
  return call.launch(with_field(call.problem, "half_split", 1 - field(call.problem, "half_split")), call.data);
}

/// a cos - b sin with both products rounded: what a compiler makes of it when fmaf is not written out.
std::vector<Output> unfused(const Call& call) {
  std::vector<Output> out = call.launch();
  const std::vector<float> x = call.data["x"].floats();
  const auto table = call.data["table"].as<float>();
  const int64_t d = field(call.problem, "head_dim"), heads = field(call.problem, "n_heads");
  for (int64_t i = 0; i + 1 < static_cast<int64_t>(x.size()); i += 2) {
    const auto position = static_cast<int64_t>(call.data["positions"].number(i / (heads * d)));
    const auto entry = static_cast<size_t>(position * d + i % d);
    const float cos = table[entry], sin = table[entry + 1], a = x[static_cast<size_t>(i)],
                b = x[static_cast<size_t>(i + 1)];
    const float a_cos = a * cos, b_sin = b * sin, a_sin = a * sin, b_cos = b * cos;
    out[0].got.set(i, a_cos - b_sin);
    out[0].got.set(i + 1, a_sin + b_cos);
  }
  return out;
}

std::vector<Output> forgets_eps(const Call& call) {
  std::string problem = call.problem;
  const size_t at = problem.find("eps=");
  problem.replace(at, problem.find(' ', at) - at, "eps=0");
  return call.launch(problem, call.data);
}

std::vector<Output> swaps_gate_and_up(const Call& call) {
  Data data = call.data;
  std::swap(data["gate"].bytes, data["up"].bytes);
  return call.launch(call.problem, data);
}

std::vector<Output> subtracts(const Call& call) {
  Data data = call.data;
  Tensor& y = data["y"];
  for (int64_t i = 0; i < y.count(); ++i) y.set(i, -static_cast<float>(y.number(i)));
  return call.launch(call.problem, data);
}

std::vector<Output> id_off_by_one(const Call& call) {
  Data data = call.data;
  Tensor& ids = data["ids"];
  const int64_t n = field(call.problem, "n_vocab");
  for (int64_t i = 0; i < ids.count(); ++i)
    ids.set(i, static_cast<float>((static_cast<int64_t>(ids.number(i)) + 1) % n));
  return call.launch(call.problem, data);
}

std::vector<Output> highest_of_equals(const Call& call) {
  std::vector<Output> out = call.launch();
  const Tensor& logits = call.data["logits"];
  const int64_t width = field(call.problem, "width");
  for (int64_t row = 0; row < out[0].got.count(); ++row) {
    const auto found = static_cast<int64_t>(out[0].got.number(row));
    if (found < 0) continue;
    for (int64_t c = width - 1; c > found; --c)
      if (logits.number(row * width + c) == logits.number(row * width + found)) {
        out[0].got.set(row, static_cast<float>(c));
        break;
      }
  }
  return out;
}

/// Compares with > alone: NaN never wins and never shows.
std::vector<Output> blind_to_nan(const Call& call) {
  std::vector<Output> out = call.launch();
  for (int64_t row = 0; row < out[0].got.count(); ++row)
    if (out[0].got.number(row) < 0) out[0].got.set(row, 0.0f);
  return out;
}

/// The maximum of a NaN and a number is the number: a clamp somewhere turns NaN into zero.
std::vector<Output> swallows_nan(const Call& call) {
  std::vector<Output> out = call.launch();
  for (int64_t i = 0; i < out[0].got.count(); ++i)
    if (is_nan(out[0].got.dtype, out[0].got.bits(i))) out[0].got.set(i, 0.0f);
  return out;
}

/// One element past the row is stored as well.
std::vector<Output> writes_past_the_row(const Call& call) {
  std::vector<Output> out = call.launch();
  const std::vector<uint8_t>& written = out[0].around.written;
  for (int64_t i = 0; i + 1 < out[0].got.count(); ++i)
    if (written[static_cast<size_t>(i)] && !written[static_cast<size_t>(i) + 1]) {
      out[0].got.set(i + 1, static_cast<float>(out[0].got.number(i)) + 1);
      break;
    }
  return out;
}

std::vector<Output> stores_v_in_k(const Call& call) {
  Data data = call.data;
  data["k"].bytes = data["v"].bytes;
  return call.launch(call.problem, data);
}

/// The next matmul's input is right for a residual stream that was never updated.
std::vector<Output> forgets_addend(const Call& call) {
  Data data = call.data;
  Tensor& addend = data["addend"];
  for (int64_t i = 0; i < addend.count(); ++i) addend.set(i, 0.0f);
  return call.launch(call.problem, data);
}

/// A fusion that quantises the f32 product and skips its rounding to the type that the separate kernels store.
std::vector<Output> quantises_unrounded(const Call& call) {
  Data data = call.data;
  for (const char* name : {"gate", "up"}) {
    Tensor wide(name, DType::kF32, data[name].dims);
    wide.set_floats(data[name].floats());
    data[name] = std::move(wide);
  }
  std::string problem = call.problem;
  const size_t at = problem.find("dtype=");
  problem.replace(at, problem.find(' ', at) - at, "dtype=f32");
  return call.launch(problem, data);
}

/// K goes to the cache as the matmul left it.
std::vector<Output> stores_k_unrotated(const Call& call) {
  std::vector<Output> out = call.launch();
  const int64_t row = field(call.problem, "n_kv_heads") * field(call.problem, "head_dim");
  for (int64_t t = 0; t < field(call.problem, "n_tokens"); ++t) {
    const auto slot = static_cast<int64_t>(call.data["slots"].number(t));
    const auto at = static_cast<int64_t>(call.data["positions"].number(t));
    const int64_t to = (slot * field(call.problem, "kv_capacity") + at) * row;
    for (int64_t c = 0; c < row; ++c) out[1].got.set(to + c, static_cast<float>(call.data["k"].number(t * row + c)));
  }
  return out;
}

/// A second launch of the same numbers under the same settings gives another bit.
std::vector<Output> differs_when_repeated(const Call& call) {
  static std::set<std::string> seen;
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  const hip::ExecConfig& c = hip::exec_config();
  const std::vector<uint8_t>& x = call.data["x"].bytes;
  std::string key(x.begin(), x.end());
  for (const auto setting :
       {static_cast<uint64_t>(c.poison), static_cast<uint64_t>(c.order), c.order_seed, static_cast<uint64_t>(c.wave),
        static_cast<uint64_t>(c.workers), static_cast<uint64_t>(c.checked)})
    key += std::to_string(setting) + " ";
  std::vector<Output> out = call.launch();
  if (!seen.insert(key).second) nudge(out[0].got, 0, 1);
  return out;
}

}  // namespace

std::vector<Defect> elementwise_defects() {
  return {
      {"position_off_by_one",
       "rope/v1 odd_tokens half_split=0 dtype=f16",
       "the table row after the token's",
       {"E0", "E1", "N", "B", "S"},
       position_off_by_one},
      {"pairs_swapped",
       "rope/v1 odd_tokens half_split=1 dtype=bf16",
       "(2i, 2i+1) for (i, i + head_dim/2)",
       {"E0", "E1", "N", "B", "S"},
       other_pairs},
      {"unfused_product",
       "rope/v1 odd_tokens half_split=0 dtype=f32",
       "products rounded before they are added",
       {"E1"},
       unfused},
      {"eps_forgotten", "rms_norm/v1 large_eps y=f16", "eps 0 for eps 0.5", {"E1", "B", "S"}, forgets_eps},
      {"gate_and_up_swapped", "swiglu/v1 odd dtype=f16", "silu of up", {"E0", "E1", "B", "S"}, swaps_gate_and_up},
      {"swallows_nan", "swiglu/v1 odd dtype=bf16", "a NaN becomes zero", {"N"}, swallows_nan},
      {"subtracts", "residual_add/v1 odd", "x - y for x + y", {"E0", "E1", "B", "S"}, subtracts},
      {"id_off_by_one",
       "embedding/v1 repeated_ids weights=q4_k",
       "the row after the token's",
       {"E0", "E1", "B"},
       id_off_by_one},
      {"highest_of_equals",
       "argmax/v1 odd",
       "the last of equal maxima wins",
       {"E0", "E1", "N", "B"},
       highest_of_equals},
      {"blind_to_nan", "argmax/v1 odd", "a NaN among the logits goes unnoticed", {"E1", "N", "B"}, blind_to_nan},
      {"writes_past_the_row",
       "kv_store/v1 decode_batch dtype=f16",
       "one element of the next row is overwritten",
       {"E0", "E1", "B"},
       writes_past_the_row},
      {"v_stored_as_k", "kv_store/v1 odd_rows dtype=bf16", "the K cache gets V", {"E0", "E1", "N", "B"}, stores_v_in_k},
      {"addend_forgotten",
       "add_rms_norm/v1 odd_blocks y=f16 out=f16",
       "the matmul's output is not added to the stream",
       {"E0", "E1", "N", "B", "S"},
       forgets_addend},
      {"quantised_unrounded",
       "swiglu_quantize/v1 odd_blocks dtype=bf16 out=q8_act256",
       "the product goes to the quantiser without its rounding to bf16",
       {"E1", "N"},
       quantises_unrounded},
      {"k_stored_unrotated",
       "rope_kv_store/v1 odd_heads half_split=0 dtype=f16",
       "K goes to the cache without its rotation",
       {"E0", "E1", "N", "B"},
       stores_k_unrotated},
      {"differs_when_repeated",
       "residual_add/v1 llama3_8b",
       "the same launch does not give the same bits twice",
       {"I:repeat"},
       differs_when_repeated},
  };
}

}  // namespace greta::verify
