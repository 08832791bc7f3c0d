// Matmul with f16 or bf16 weights v2 on matrix tiles: many rows of X (gemm) through LDS, few (gemv) straight from
// memory to the tiles' operands.
//   Y[i,r] = sum_c X[i,c] W[r,c]
// Shapes    X [m, n_in], W [n_out, n_in] of one type, f16 or bf16; Y [m, n_out] any float type
// Needs     n_in a multiple of 8; X and W on 16 bytes; any m and n_out (ragged tiles compute their last row again)
// Numerics  arithmetic "mma_f32" (quant_matmul_problem.hpp): one chain of 16x16x16 tiles over the columns, ascending
//           from column 0, in one f32 accumulator; zeros beyond n_in. No split of the columns, so an output's bits
//           depend on its row of X and its row of W only. X is A, W is B.
// Placement gemm: FloatTile<...>. gfx942, large: 8 waves of 128 x 64 outputs, 128 sums a lane, two waves a SIMD; two
//           LDS buffers of 32 columns fill its 64 KiB. One barrier a run of 32 columns, 256 matrix passes; the loads of
//           the next run are under way in registers meanwhile. sm_90a, large: 8 waves of 64 x 64 (128 sums a lane
//           there), background copies. Fewer outputs: 4 waves of 64 x 64, or 64 tokens by 64 rows.
//           gemv: a wave has 16 weight rows, of which it keeps kAhead loads of 16 bytes a lane under way; rows of X
//           beyond m are zeros in its 16-row tile. No LDS, no barrier.
// From v1   matrix tiles instead of 64 chains of fmaf on the vector units: another order, hence another arithmetic id.
#include "kernels/quant_matmul/matmul_group.hpp"
#include "kernels/tile/operand_tile.hpp"
#include "kernels/tile/with_wave.hpp"

namespace greta {
namespace {

// ---------------------------------------------------------------------------------------------------------- many rows

/// kTm x kTn tiles of a wave, kWm x kWn waves of a workgroup; m: tokens, n: weight rows.
template <int kWave_, int kTm_, int kTn_, int kWm_, int kWn_, int kMinWaves_>
struct FloatTile {
  static constexpr int kWave = kWave_, kTm = kTm_, kTn = kTn_, kWm = kWm_, kWn = kWn_, kMinWaves = kMinWaves_;
  static constexpr int kTokens = kWm * kTm * hip::kTile, kRows = kWn * kTn * hip::kTile;
  static constexpr int kThreads = kWm * kWn * kWave;
  static constexpr int kBuffer = (kTokens + kRows) * kRunColumns * 2;  // bytes
  static constexpr int kBuffers = kWave == 64 || 4 * kBuffer > hip::kLdsBytes ? 2 : 4;
  template <class T, int kOperandRows>
  using Pipeline = OperandPipeline<T, kOperandRows, kWave, kThreads, kBuffers>;
  static constexpr int kLds = kBuffers * kBuffer;
  static_assert(kLds <= hip::kLdsBytes);
};

template <class T, class Tile>
__global__ GRETA_LAUNCH_BOUNDS(Tile::kThreads, Tile::kMinWaves) void float_gemm_kernel(GRETA_GROUP_WEIGHTS(T),
                                                                                       const T* x, GRETA_GROUP_OUTPUTS,
                                                                                       int n_in, int token_tiles) {
  const MatmulPart<T> part = GRETA_GROUP_PART;
  const int n_out = part.n_out;
  constexpr int kWave = Tile::kWave, kElements = hip::tile_elements(kWave);
  GRETA_DYNAMIC_LDS(T, lds);
  const int lane = hip::lane_id(), wave = hip::wave_uniform(hip::wave_id());
  const int wave_m = wave % Tile::kWm * Tile::kTm * hip::kTile;  // first token of the wave in the tile
  const int wave_n = wave / Tile::kWm * Tile::kTn * hip::kTile;
  const int tile = part.block;
  const int64_t token0 = static_cast<int64_t>(tile % token_tiles) * Tile::kTokens;
  const int64_t row0 = static_cast<int64_t>(tile / token_tiles) * Tile::kRows;
  const int runs = (n_in + kRunColumns - 1) / kRunColumns;

  using Tokens = typename Tile::template Pipeline<T, Tile::kTokens>;
  using Rows = typename Tile::template Pipeline<T, Tile::kRows>;
  Tokens tokens(lds, x, token0, m, n_in);
  Rows rows(lds + Tokens::kLdsElements, part.weights, row0, n_out, n_in);
  hip::FragmentC acc[Tile::kTm][Tile::kTn] = {};
  tokens.start(), rows.start();
  for (int run = 0; run < runs; ++run) {
    tokens.land(), rows.land();
    __syncthreads();
    const T* const xs = tokens.advance() + wave_m * kRunColumns;
    const T* const ws = rows.advance() + wave_n * kRunColumns;
    hip::schedule_fence();
    RunChunks<kWave> w[Tile::kTn];
    GRETA_UNROLL
    for (int n = 0; n < Tile::kTn; ++n) w[n] = load_run<kWave>(ws + n * hip::kTile * kRunColumns, lane);
    GRETA_UNROLL
    for (int k = 0; k < Tile::kTm; ++k) {
      const RunChunks<kWave> a = load_run<kWave>(xs + k * hip::kTile * kRunColumns, lane);
      GRETA_UNROLL
      for (int half = 0; half < 2; ++half) GRETA_UNROLL
      for (int n = 0; n < Tile::kTn; ++n)
        acc[k][n] = hip::mma_16x16x16(operand_a<T, kWave>(a, half), operand_b<T, kWave>(w[n], half), acc[k][n]);
    }
    hip::schedule_fence();
  }

  GRETA_UNROLL
  for (int k = 0; k < Tile::kTm; ++k) GRETA_UNROLL
  for (int n = 0; n < Tile::kTn; ++n) GRETA_UNROLL
  for (int i = 0; i < kElements; ++i) {
    const int64_t token = token0 + wave_m + k * hip::kTile + hip::tile_c_row(kWave, lane, i);
    const int64_t row = row0 + wave_n + n * hip::kTile + hip::tile_c_col(kWave, lane, i);
    if (token < m && row < n_out) store_any(part.y_f32, part.y_f16, part.y_bf16, token * n_out + row, acc[k][n].v[i]);
  }
}

template <class T, class Tile>
void launch_gemm(hip::Stream& stream, const QuantMatmulGroupProblem& p, const MatmulViews<T>& views,
                 const hip::DeviceView<const T>& x) {
  const int64_t token_tiles = ceil_div(p.m, Tile::kTokens);
  int64_t blocks[kMatmulGroup] = {};
  for (int i = 0; i < p.parts(); ++i) blocks[i] = ceil_div(p.rows_of(i), Tile::kRows) * token_tiles;
  launch_group(stream,
               {concat("gemm_float_v2<", dtype_name(p.weights), ",", Tile::kTokens, "x", Tile::kRows, ">"), dim3(1),
                dim3(Tile::kThreads), Tile::kLds, p.m},
               &float_gemm_kernel<T, Tile>, p, views, hip::in("x", x, static_cast<size_t>(p.m * p.n_in)), blocks,
               int_extent("quant_matmul: n_in", p.n_in), int_extent("quant_matmul: m", token_tiles));
}

// ----------------------------------------------------------------------------------------------------------- few rows

constexpr int kAhead = 8;  ///< runs of 32 columns whose operands are in registers or on their way
constexpr int kGemvWaves = 4;

template <class T, int kWave>
__global__ GRETA_LAUNCH_BOUNDS(kGemvWaves* kWave,
                               kWave == 64 ? 4 : 2) void float_gemv_kernel(GRETA_GROUP_WEIGHTS(T), const T* x,
                                                                           GRETA_GROUP_OUTPUTS, int n_in) {
  const MatmulPart<T> part = GRETA_GROUP_PART;
  const T* const weights = part.weights;
  const int n_out = part.n_out;
  using Chunks = RunChunks<kWave>;
  const int lane = hip::lane_id(), chunk = operand_chunk(kWave, lane) * kOperandChunk;
  const int row0 = (part.block * kGemvWaves + hip::wave_uniform(hip::wave_id())) * hip::kTile;
  const int token0 = static_cast<int>(blockIdx.y) * hip::kTile;
  if (row0 >= n_out) return;  // the whole wave

  // Of each row a lane reads, where its chunk of run 0 lies; a row that is not there is the last one.
  const T *w_from[Chunks::kRows], *x_from[Chunks::kRows];
  bool exists[Chunks::kRows];
  GRETA_UNROLL
  for (int r = 0; r < Chunks::kRows; ++r) {
    const int at = operand_row(kWave, lane) + 8 * r, row = row0 + at, token = token0 + at;
    exists[r] = token < m;
    w_from[r] = weights + static_cast<int64_t>(row < n_out ? row : n_out - 1) * n_in + chunk;
    x_from[r] = x + static_cast<int64_t>(token < m ? token : m - 1) * n_in + chunk;
  }
  const int whole = n_in / kRunColumns, last = whole - 1;
  Chunks w[kAhead], a[kAhead];
  const auto fetch = [&](int slot, int run) {
    GRETA_UNROLL
    for (int r = 0; r < Chunks::kRows; ++r) {
      const int column = (run < last ? run : last) * kRunColumns;
      w[slot].row[r] = load_chunk(w_from[r] + column), a[slot].row[r] = load_chunk(x_from[r] + column);
    }
  };
  hip::FragmentC acc = {};
  const auto multiply = [&](const Chunks& of_x, const Chunks& of_w) {
    Chunks kept = of_x;
    GRETA_UNROLL
    for (int r = 0; r < Chunks::kRows; ++r) GRETA_UNROLL
    for (int k = 0; k < 4; ++k) kept.row[r].v[k] = exists[r] ? kept.row[r].v[k] : 0u;
    GRETA_UNROLL
    for (int half = 0; half < 2; ++half)
      acc = hip::mma_16x16x16(operand_a<T, kWave>(kept, half), operand_b<T, kWave>(of_w, half), acc);
  };

  if (whole > 0) {
    GRETA_UNROLL
    for (int slot = 0; slot < kAhead; ++slot) fetch(slot, slot);
    int run = 0;
    for (; run + kAhead <= whole; run += kAhead) {
      GRETA_UNROLL
      for (int slot = 0; slot < kAhead; ++slot) {
        multiply(a[slot], w[slot]);
        fetch(slot, run + kAhead + slot);
        hip::schedule_fence();  // else all loads gather at the end of the round, where the next one waits for them
      }
    }
    GRETA_UNROLL
    for (int slot = 0; slot < kAhead - 1; ++slot)
      if (run + slot < whole) multiply(a[slot], w[slot]);
  }
  if (const int left = n_in - whole * kRunColumns; left > 0) {
    Chunks of_x = {}, of_w = {};
    GRETA_UNROLL
    for (int r = 0; r < Chunks::kRows; ++r)
      if (chunk < left) {
        of_w.row[r] = load_chunk(w_from[r] + whole * kRunColumns);
        of_x.row[r] = load_chunk(x_from[r] + whole * kRunColumns);
      }
    multiply(of_x, of_w);
  }

  GRETA_UNROLL
  for (int i = 0; i < hip::tile_elements(kWave); ++i) {
    const int token = token0 + hip::tile_c_row(kWave, lane, i), row = row0 + hip::tile_c_col(kWave, lane, i);
    if (token < m && row < n_out)
      store_any(part.y_f32, part.y_f16, part.y_bf16, static_cast<int64_t>(token) * n_out + row, acc.v[i]);
  }
}

// ---------------------------------------------------------------------------------------------------------- launches

/// Calls f(typed weights and outputs, typed x) with weights and x on 16 bytes.
template <class F>
void with_operands(const QuantMatmulGroupProblem& p, const QuantMatmulGroupArgs& args, F&& f) {
  const auto go = [&](auto tag) {
    using T = decltype(tag);
    const auto x = args.x.as<const T>("quant_matmul: x");
    require_aligned("quant_matmul: x", x.data(), 16);
    f(MatmulViews<T>(p, args, 16), x);
  };
  if (p.weights == DType::kF16) return go(half_t{});
  go(bf16_t{});
}

}  // namespace

void gemv_float_v2_group(hip::Stream& stream, const QuantMatmulGroupProblem& p, const QuantMatmulGroupArgs& args) {
  with_operands(p, args, [&]<class T>(const MatmulViews<T>& views, const auto& x) {
    with_wave([&](auto wave) {
      constexpr int kWave = decltype(wave)::value;
      int64_t blocks[kMatmulGroup] = {};
      for (int i = 0; i < p.parts(); ++i) blocks[i] = ceil_div(p.rows_of(i), kGemvWaves * hip::kTile);
      launch_group(
          stream,
          {concat("gemv_float_v2<", dtype_name(p.weights), ">"),
           dim3(1, grid_extent("quant_matmul: m", ceil_div(p.m, hip::kTile))), dim3(kGemvWaves * kWave), 0, p.m},
          &float_gemv_kernel<T, kWave>, p, views, hip::in("x", x, static_cast<size_t>(p.m * p.n_in)), blocks,
          int_extent("quant_matmul: n_in", p.n_in));
    });
  });
}

void gemm_float_v2_group(hip::Stream& stream, const QuantMatmulGroupProblem& p, const QuantMatmulGroupArgs& args) {
  with_operands(p, args, [&]<class T>(const MatmulViews<T>& views, const auto& x) {
    with_wave([&](auto wave) {
      constexpr int kWave = decltype(wave)::value;
      using Large = std::conditional_t<kWave == 64, FloatTile<64, 8, 4, 2, 4, 2>, FloatTile<32, 4, 4, 2, 4, 2>>;
      using Medium = FloatTile<kWave, 4, 4, 2, 2, 2>;
      using Few = FloatTile<kWave, 4, 1, 1, 4, 2>;
      // A tile that leaves most of the device idle costs more than its operands' reuse saves.
      const int64_t n_out = p.whole().n_out, tiles = ceil_div(p.m, Large::kTokens) * ceil_div(n_out, Large::kRows);
      const bool fills = hip::platform_name() == "host" || tiles >= hip::device_info().compute_units;
      if (p.m <= Few::kTokens || n_out <= Few::kRows) return launch_gemm<T, Few>(stream, p, views, x);
      if (p.m > Medium::kTokens && n_out > Medium::kRows && fills) return launch_gemm<T, Large>(stream, p, views, x);
      launch_gemm<T, Medium>(stream, p, views, x);
    });
  });
}

void gemv_float_v2(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args) {
  gemv_float_v2_group(stream, group_of_one(p), group_of_one(args));
}
void gemm_float_v2(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args) {
  gemm_float_v2_group(stream, group_of_one(p), group_of_one(args));
}

}  // namespace greta
