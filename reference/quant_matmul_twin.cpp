// The order-faithful twin of quantised matmul.
#include "kernels/tile/operand_tile_layout.hpp"
#include "reference/quant_blocks.hpp"
#include "reference/quant_matmul.hpp"

namespace greta::reference {
namespace {

/// sum of w*x over n values; exact in 32 bits for the formats here.
template <class W>
int32_t dot(const W* w, const int8_t* x, int n) {
  int32_t sum = 0;
  for (int i = 0; i < n; ++i) sum += static_cast<int32_t>(w[i]) * x[i];
  return sum;
}

template <class Block>
std::vector<Block> row_blocks(const QuantMatmulProblem& p, const void* weights, int64_t r) {
  std::vector<Block> blocks(static_cast<size_t>(p.weight_blocks_per_row()));
  std::memcpy(blocks.data(), static_cast<const char*>(weights) + static_cast<size_t>(r) * row_bytes(p.weights, p.n_in),
              blocks.size() * sizeof(Block));
  return blocks;
}

float as_float(double exact) { return static_cast<float>(exact); }

// One superblock's links of the chain.
float link(const Q4KParts& w, const BlockQ8Act256& x, float acc) {
  int32_t isum = 0, msum = 0;
  for (int j = 0; j < 8; ++j) {
    isum += w.scale[j] * dot(w.q + 32 * j, x.qs + 32 * j, 32);
    msum += w.min[j] * (x.sums[2 * j] + x.sums[2 * j + 1]);
  }
  const float scale = as_float(w.d) * x.d, min = as_float(w.dmin) * x.d;
  acc = std::fmaf(scale, static_cast<float>(isum), acc);
  return std::fmaf(-min, static_cast<float>(msum), acc);
}

float link(const Q6KParts& w, const BlockQ8Act256& x, float acc) {
  int32_t isum = 0;
  for (int g = 0; g < 16; ++g) isum += w.scale[g] * dot(w.q + 16 * g, x.qs + 16 * g, 16);
  const float scale = as_float(w.d) * x.d;
  return std::fmaf(scale, static_cast<float>(isum), acc);
}

using Activations256 = std::vector<std::vector<BlockQ8Act256>>;
using Activations32 = std::vector<std::vector<BlockQ8Act32>>;

template <class Block>
void superblock_rows(const QuantMatmulProblem& p, const void* weights, const Activations256& x, std::vector<float>& y) {
  for (int64_t r = 0; r < p.n_out; ++r) {
    std::vector<decltype(unpack(Block{}))> parts;
    for (const Block& block : row_blocks<Block>(p, weights, r)) parts.push_back(unpack(block));
    for (int64_t i = 0; i < p.m; ++i) {
      float acc = 0.0f;
      for (size_t b = 0; b < parts.size(); ++b) acc = link(parts[b], x[static_cast<size_t>(i)][b], acc);
      y[static_cast<size_t>(i * p.n_out + r)] = round_to(p.y, acc);
    }
  }
}

void q8_0_rows(const QuantMatmulProblem& p, const void* weights, const Activations32& x, std::vector<float>& y) {
  constexpr size_t kGroup = 8;
  for (int64_t r = 0; r < p.n_out; ++r) {
    const auto blocks = row_blocks<BlockQ8_0>(p, weights, r);
    for (int64_t i = 0; i < p.m; ++i) {
      float acc = 0.0f;
      for (size_t begin = 0; begin < blocks.size(); begin += kGroup) {
        float part = 0.0f;
        for (size_t b = begin; b < std::min(begin + kGroup, blocks.size()); ++b) {
          const BlockQ8Act32& act = x[static_cast<size_t>(i)][b];
          const float scale = half_to_float(blocks[b].d) * act.d;
          part = std::fmaf(scale, static_cast<float>(dot(blocks[b].qs, act.qs, 32)), part);
        }
        acc = acc + part;
      }
      y[static_cast<size_t>(i * p.n_out + r)] = round_to(p.y, acc);
    }
  }
}

constexpr int64_t kLanes = 64;
constexpr int64_t kPerLane = 4;
constexpr int64_t kStep = kLanes * kPerLane;

/// Column 256 s + 4 l + k goes to place (s, k, l), so that the lanes run side by side; missing columns become zeros,
/// which a chain of fma does not see (0 * 0 + acc = acc; a sum that is -0 becomes 0, equal for every comparison here).
std::vector<float> by_lane(std::span<const float> row) {
  const auto n = static_cast<int64_t>(row.size());
  std::vector<float> out(static_cast<size_t>((n + kStep - 1) / kStep * kStep), 0.0f);
  for (int64_t c = 0; c < n; ++c) {
    const int64_t s = c / kStep, l = c % kStep / kPerLane, k = c % kPerLane;
    out[static_cast<size_t>(s * kStep + k * kLanes + l)] = row[static_cast<size_t>(c)];
  }
  return out;
}

void float_rows(const QuantMatmulProblem& p, const void* weights, std::span<const float> x, std::vector<float>& y) {
  std::vector<std::vector<float>> activations;
  for (int64_t i = 0; i < p.m; ++i)
    activations.push_back(by_lane(x.subspan(static_cast<size_t>(i * p.n_in), static_cast<size_t>(p.n_in))));
  std::vector<float> row(static_cast<size_t>(p.n_in));
  for (int64_t r = 0; r < p.n_out; ++r) {
    dequantise_row(p.weights, static_cast<const char*>(weights) + static_cast<size_t>(r) * row_bytes(p.weights, p.n_in),
                   std::span<float>(row));
    const std::vector<float> w = by_lane(row);
    for (int64_t i = 0; i < p.m; ++i) {
      const float* a = activations[static_cast<size_t>(i)].data();
      float lanes[kLanes] = {};
      for (size_t begin = 0; begin < w.size(); begin += kLanes)
        for (size_t l = 0; l < kLanes; ++l) lanes[l] = std::fmaf(a[begin + l], w[begin + l], lanes[l]);
      y[static_cast<size_t>(i * p.n_out + r)] = round_to(p.y, tree_sum(lanes));
    }
  }
}

/// Of depth d in the sequence of a row's matrix tiles, the column.
int64_t column_at(int wave, int64_t depth) {
  const auto in_run = static_cast<int>(depth % kRunColumns);
  return depth / kRunColumns * kRunColumns + run_column(wave, in_run / 16, in_run % 16);
}

void matrix_rows(const QuantMatmulProblem& p, const void* weights, std::span<const float> x, MatrixMachine machine,
                 std::vector<float>& y) {
  const int64_t depths = (p.n_in + kRunColumns - 1) / kRunColumns * kRunColumns;
  const auto* const stored = static_cast<const uint16_t*>(weights);
  std::vector<uint16_t> a(static_cast<size_t>(p.m * depths), 0), b(static_cast<size_t>(depths * p.n_out), 0);
  for (int64_t d = 0; d < depths; ++d) {
    const int64_t c = column_at(machine.wave, d);
    if (c >= p.n_in) continue;
    for (int64_t i = 0; i < p.m; ++i) {
      const float v = x[static_cast<size_t>(i * p.n_in + c)];
      a[static_cast<size_t>(i * depths + d)] = p.x == DType::kF16 ? from_f32<half_t>(v).bits : from_f32<bf16_t>(v).bits;
    }
    for (int64_t r = 0; r < p.n_out; ++r) b[static_cast<size_t>(d * p.n_out + r)] = stored[r * p.n_in + c];
  }
  std::fill(y.begin(), y.end(), 0.0f);
  matrix_multiply(machine.model, p.weights, static_cast<int>(p.m), static_cast<int>(p.n_out), static_cast<int>(depths),
                  a.data(), b.data(), y.data(), y.data());
  for (float& v : y) v = round_to(p.y, v);
}

}  // namespace

std::vector<float> quant_matmul_twin(const QuantMatmulProblem& p, const void* weights, std::span<const float> x,
                                     std::string_view arithmetic, MatrixMachine machine) {
  std::vector<float> y(static_cast<size_t>(p.m * p.n_out));
  if (matmul_on_matrix_tiles(p, arithmetic)) {
    matrix_rows(p, weights, x, machine, y);
    return y;
  }
  if (!p.quantised()) {
    float_rows(p, weights, x, y);
    return y;
  }
  const auto row = [&](int64_t i) { return x.subspan(static_cast<size_t>(i * p.n_in), static_cast<size_t>(p.n_in)); };
  if (p.activation_blocks() == DType::kQ8Act32) {
    Activations32 blocks;
    for (int64_t i = 0; i < p.m; ++i) blocks.push_back(quantise_activations_32(row(i)));
    q8_0_rows(p, weights, blocks, y);
    return y;
  }
  Activations256 blocks;
  for (int64_t i = 0; i < p.m; ++i) blocks.push_back(quantise_activations_256(row(i)));
  if (p.weights == DType::kQ4K)
    superblock_rows<BlockQ4K>(p, weights, blocks, y);
  else
    superblock_rows<BlockQ6K>(p, weights, blocks, y);
  return y;
}

}  // namespace greta::reference
