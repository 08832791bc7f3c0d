// Defects of quantised matmul and of the activation quantiser.
#include <fmt/format.h>

#include <cmath>

#include "reference/quant_blocks.hpp"
#include "verify/defects/defects.hpp"

namespace greta::verify {
namespace {

/// Scales 0 and 1 of one superblock of one row change places: one sub-block among hundreds reads its neighbour's.
std::vector<Output> swaps_two_scales(const Call& call) {
  Data data = call.data;
  for (BlockQ4K& block : data["weights"].as<BlockQ4K>().subspan(1, 1)) {
    reference::Q4KParts parts = reference::unpack(block);
    std::swap(parts.scale[0], parts.scale[1]);
    block = reference::pack(parts);
  }
  return call.launch(call.problem, data);
}

/// X by columns instead of rows where it is square enough to fit.
std::vector<Output> transposes_weights(const Call& call) {
  Data data = call.data;
  Tensor& w = data["weights"];
  const int64_t rows = w.dims[0].size, columns = w.dims[1].size;
  const Tensor before = w;
  for (int64_t i = 0; i < w.count(); ++i) w.set(i, static_cast<float>(before.number(i % rows * columns + i / rows)));
  return call.launch(call.problem, data);
}

/// The 16-bit result truncated instead of rounded.
std::vector<Output> truncates_output(const Call& call) {
  std::vector<Output> out = call.launch();
  Tensor& y = out[0].got;
  const reference::Bounded oracle =
      call.real.oracle(call.problem, call.real.rung(call.rung).arithmetic, call.options.exp, call.data).at(0);
  for (int64_t i = 0; i < y.count(); ++i)
    if (std::abs(y.number(i)) > std::abs(oracle.value[static_cast<size_t>(i)])) nudge(y, i, -1);
  return out;
}

/// A gemv of its own for single rows that sums in another order.
std::vector<Output> depends_on_rows(const Call& call) {
  std::vector<Output> out = call.launch();
  if (field(call.problem, "m") == 1)
    for (int64_t i = 0; i < out[0].got.count(); ++i) nudge(out[0].got, i, 1);
  return out;
}

/// A padded tile: rows of other tokens times zero are added. Harmless until another token holds a NaN.
std::vector<Output> adds_zero_times_neighbours(const Call& call) {
  std::vector<Output> out = call.launch();
  const Tensor& x = call.data["x"];
  bool nan = false;
  for (int64_t i = 0; i < x.count(); ++i) nan = nan || std::isnan(x.number(i));
  if (nan)
    for (int64_t i = 0; i < out[0].got.count(); ++i) out[0].got.set(i, std::nanf(""));
  return out;
}

/// Zeros everywhere: a kernel that was launched and did nothing else.
std::vector<Output> answers_zero(const Call& call) {
  std::vector<Output> out = call.launch();
  std::fill(out[0].got.bytes.begin(), out[0].got.bytes.end(), uint8_t{0});
  return out;
}

/// The right answer without a kernel.
std::vector<Output> launches_nothing(const Call& call) {
  const std::vector<Tensor> twin = call.real.twin(call.problem, call.real.rung(call.rung).arithmetic, call.data);
  Tensor before = twin[0];
  std::fill(before.bytes.begin(), before.bytes.end(), uint8_t{0x7f});
  return {{twin[0], {before, true, {}}}};
}

/// The columns in two chains whose sums are added: what a split of the columns among workgroups does.
std::vector<Output> splits_columns(const Call& call) {
  std::vector<Output> out = call.launch();
  const Tensor &w = call.data["weights"], &x = call.data["x"];
  const int64_t n_in = field(call.problem, "n_in"), half = n_in / 2, n_out = field(call.problem, "n_out");
  const std::string of_half = fmt::format("m={} n_out={} n_in={} weights={} x={} y=f32", field(call.problem, "m"),
                                          n_out, half, dtype_name(w.dtype), dtype_name(x.dtype));
  std::vector<double> sums(static_cast<size_t>(out[0].got.count()), 0.0);
  for (const int64_t first : {int64_t{0}, half}) {
    const auto columns = [&](const Tensor& from) {
      Tensor to(from.name, from.dtype, {from.dims[0], {from.dims[1].name, half}});
      for (int64_t i = 0; i < to.count(); ++i)
        to.set(i, static_cast<float>(from.number(i / half * n_in + first + i % half)));
      return to;
    };
    Data data;
    data.tensors = {columns(w), columns(x)};
    const Tensor part = call.real.twin(call.real.normalise(of_half), call.real.rung(call.rung).arithmetic, data).at(0);
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += part.number(static_cast<int64_t>(i));
  }
  for (size_t i = 0; i < sums.size(); ++i) out[0].got.set(static_cast<int64_t>(i), static_cast<float>(sums[i]));
  return out;
}

/// Workgroups of the second matrix read the first one's weights.
std::vector<Output> reads_first_matrix(const Call& call) {
  Data data = call.data;
  data["weights_1"].bytes = data["weights"].bytes;
  return call.launch(call.problem, data);
}

/// Halves away from zero instead of to even.
std::vector<Output> rounds_halves_up(const Call& call) {
  std::vector<Output> out = call.launch();
  const std::vector<float> x = call.data["x"].floats();
  Tensor& q = out[1].got;
  const int64_t per_row = q.count() / field(call.problem, "m"), n_in = field(call.problem, "n_in");
  for (int64_t i = 0; i < q.count(); ++i) {
    const int64_t row = i / per_row, c = i % per_row;
    if (c >= n_in) continue;
    const double d = out[0].got.number(i / 32), r = d > 0 ? static_cast<double>(1.0f / static_cast<float>(d)) : 0;
    const double step = static_cast<double>(x[static_cast<size_t>(row * n_in + c)]) * r;
    if (std::abs(std::abs(step) - std::floor(std::abs(step)) - 0.5) < 1e-6)
      q.set(i, static_cast<float>(std::copysign(std::floor(std::abs(step)) + 1, step)));
  }
  return out;
}

}  // namespace

std::vector<Defect> matmul_defects() {
  return {
      {"one_scale_swapped",
       "quant_matmul/gemv_q4_k_v1 rows_3 weights=q4_k x=f16 y=f32",
       "two sub-block scales of one superblock change places",
       {"E0", "E1", "B", "S"},
       swaps_two_scales},
      {"weights_transposed",
       "quant_matmul/gemm_float_v1 weights=f16 x=f16 y=f16 m=3 n_out=16 n_in=16",
       "W is read by columns",
       {"E0", "E1", "N", "B", "S", "I:output_alone"},
       transposes_weights},
      {"truncated_output",
       "quant_matmul/gemm_q6_k_v1 tile_plus_one weights=q6_k x=f16 y=bf16",
       "towards zero instead of to nearest",
       {"E0", "E1", "B", "S"},
       truncates_output},
      {"row_count_dependent_order",
       "quant_matmul/gemv_q8_0_v1 rows_3 weights=q8_0 x=f16 y=f32",
       "a single row is summed in another order",
       {"I:row_alone"},
       depends_on_rows},
      {"neighbours_times_zero",
       "quant_matmul/gemm_q4_k_v1 rows_9 weights=q4_k x=f16 y=f32",
       "padding multiplies other rows by zero",
       {"N", "I:neighbours_nan"},
       adds_zero_times_neighbours},
      {"answer_of_zeros",
       "quant_matmul/gemv_q6_k_v1 rows_9 weights=q6_k x=f16 y=f16",
       "the output is zeros",
       {"E0", "E1", "N", "B", "S", "I:repeat", "I:poison", "I:order", "I:wave", "I:workers", "I:streams", "I:row_alone",
        "I:neighbours_nan"},
       answers_zero},
      {"no_kernel",
       "quant_matmul/gemm_q6_k_v1 rows_9 weights=q6_k x=f16 y=f16",
       "nothing is launched",
       {"E0", "E1", "N", "B", "S", "I:repeat", "I:poison", "I:order", "I:wave", "I:workers", "I:streams", "I:row_alone",
        "I:neighbours_nan", "I:output_alone"},
       launches_nothing},
      {"columns_in_two_chains",
       "quant_matmul/gemm_float_v2 weights=bf16 x=bf16 y=f32 m=7 n_out=9 n_in=256",
       "columns are split between two chains, which are added",
       {"E1"},
       splits_columns},
      {"group_reads_first_matrix",
       "quant_matmul_group/gemv_q4_k_v3 gate_up weights=q4_k y=f32",
       "the second matrix of a group is read at the first one's address",
       {"E0", "E1", "B", "S", "I:parts_alone"},
       reads_first_matrix},
      {"halves_away_from_zero",
       "quantize_activations/v1 many_rows weights=q8_0 x=bf16",
       "ties of the quantiser go away from zero",
       {"E1", "N"},
       rounds_halves_up},
  };
}

}  // namespace greta::verify
