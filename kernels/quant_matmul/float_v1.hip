// Matmul with float weights v1, few rows (gemv) and many (gemm): 64 logical lanes an output, each a thread's own fmaf
// chain; lanes are added by a tree through LDS.
//   Y[i,r] = sum_c X[i,c] W[r,c]
// Shapes    X [m, n_in], W [n_out, n_in], Y [m, n_out], each f16, bf16 or f32
// Needs     any m, n_out, n_in; 16-byte weight loads when rows and buffers keep to 16 bytes, else one element at a time
// Numerics  arithmetic "f32_lanes64" (quant_matmul_problem.hpp): logical lane l takes columns 256 s + 4 l + (0..3), s
//           ascending; tree over lane distances 1, 2, ..., 32. No wave collective: the same bits for any wave.
// Placement workgroup = 64 threads. A thread carries kLanes logical lanes that lie side by side, so that it loads 16
//           bytes of a weight row: 1 of f32 (a group of 64 threads works on a row), 2 of 16-bit types (two groups of
//           32, each with rows of its own). Registers hold kRows x kTokens x kLanes chains. LDS (dynamic): one float
//           for each thread of a group and output, up to 64 outputs a round.
#include "kernels/quant_matmul/any_output.hpp"
#include "kernels/quant_matmul/quant_matmul.hpp"
#include "kernels/tile/extents.hpp"
#include "kernels/tile/pack.hpp"

namespace greta {
namespace {

constexpr int kThreads = 64;
constexpr int kLogicalLanes = 64;
constexpr int kLaneColumns = 4;
constexpr int kSweep = kLogicalLanes * kLaneColumns;  // columns of one step of s

template <class W>
constexpr int kLanesOf = 16 / (kLaneColumns * static_cast<int>(sizeof(W)));

/// Neighbours first: the tree over ascending distances of n values.
template <int n>
__device__ __forceinline__ float tree_sum(const float* v) {
  if constexpr (n == 1) {
    return v[0];
  } else {
    return tree_sum<n / 2>(v) + tree_sum<n / 2>(v + n / 2);
  }
}

/// `n` columns from `from` (fewer than N at the end of a ragged row).
template <int N, bool kPacks, class T>
__device__ __forceinline__ Pack<float, N> load_columns(const T* from, int n) {
  if constexpr (kPacks) {
    constexpr int kPack = N * static_cast<int>(sizeof(T)) > 16 ? 16 / static_cast<int>(sizeof(T)) : N;
    Pack<float, N> all;
    for (int c = 0; c < N; c += kPack) {
      const Pack<float, kPack> p = load_floats<kPack>(from + c);
      for (int i = 0; i < kPack; ++i) all.v[c + i] = p.v[i];
    }
    return all;
  } else {
    Pack<float, N> all;
    for (int c = 0; c < N; ++c) all.v[c] = c < n ? hip::to_float(from[c]) : 0.0f;
    return all;
  }
}

template <class W, class X, int kRows, int kTokens, bool kPacks>
__global__ GRETA_LAUNCH_BOUNDS(kThreads, kRows* kTokens >= 16 ? 2 : 4) void float_kernel(const W* weights, const X* x,
                                                                                         float* y_f32, half_t* y_f16,
                                                                                         bf16_t* y_bf16, int m,
                                                                                         int n_out, int n_in,
                                                                                         int rows_per_round) {
  constexpr int kLanes = kLanesOf<W>, kColumns = kLanes * kLaneColumns;
  constexpr int kGroup = kLogicalLanes / kLanes, kGroups = kThreads / kGroup;
  constexpr int kStride = kGroup + 1;  // floats of an output in LDS; odd, so that trees read different banks
  GRETA_DYNAMIC_LDS(float, partial);   // [group][row of the round][token][kStride]
  const int t = static_cast<int>(threadIdx.x), group = t / kGroup, in_group = t % kGroup;
  const int first_token = static_cast<int>(blockIdx.y) * kTokens;
  const int n_tokens = m - first_token < kTokens ? m - first_token : kTokens;
  const int group_outputs = rows_per_round * kTokens;

  const int64_t per_round = static_cast<int64_t>(kGroups) * rows_per_round;
  for (int64_t round0 = blockIdx.x * per_round; round0 < n_out; round0 += gridDim.x * per_round) {
    const int64_t row0 = round0 + group * rows_per_round;
    for (int first = 0; first < rows_per_round; first += kRows) {
      float acc[kRows][kLanes][kTokens] = {};
      for (int c = in_group * kColumns; c < n_in; c += kSweep) {
        const int n = n_in - c < kColumns ? n_in - c : kColumns;
        float xs[kColumns][kTokens];  // tokens side by side: a vector on host
        for (int i = 0; i < kTokens; ++i) {
          const int64_t token = first_token + (i < n_tokens ? i : 0);
          const Pack<float, kColumns> one = load_columns<kColumns, kPacks>(x + token * n_in + c, n);
          for (int k = 0; k < kColumns; ++k) xs[k][i] = one.v[k];
        }
        for (int r = 0; r < kRows; ++r) {
          const int64_t row = row0 + first + r < n_out ? row0 + first + r : n_out - 1;
          const Pack<float, kColumns> w = load_columns<kColumns, kPacks>(weights + row * n_in + c, n);
          for (int k = 0; k < kColumns; ++k)
            if (kPacks || k < n)
              for (int i = 0; i < kTokens; ++i)
                acc[r][k / kLaneColumns][i] = fmaf(xs[k][i], w.v[k], acc[r][k / kLaneColumns][i]);
        }
      }
      for (int r = 0; r < kRows; ++r)
        for (int i = 0; i < kTokens; ++i) {
          float lanes[kLanes];
          for (int lane = 0; lane < kLanes; ++lane) lanes[lane] = acc[r][lane][i];
          partial[(group * group_outputs + (first + r) * kTokens + i) * kStride + in_group] = tree_sum<kLanes>(lanes);
        }
    }
    __syncthreads();
    for (int o = t; o < kGroups * group_outputs; o += kThreads) {
      const int64_t row = round0 + o / kTokens;
      if (row < n_out && o % kTokens < n_tokens)
        store_any(y_f32, y_f16, y_bf16, static_cast<int64_t>(first_token + o % kTokens) * n_out + row,
                  tree_sum<kGroup>(partial + o * kStride));
    }
    __syncthreads();
  }
}

template <class W, class X, int kRows, int kTokens, bool kPacks>
void launch_float(hip::Stream& stream, const char* name, const QuantMatmulProblem& p, const QuantMatmulArgs& args) {
  constexpr int kGroup = kLogicalLanes / kLanesOf<W>, kGroups = kThreads / kGroup;
  constexpr int kMaxOutputs = 64;
  const auto weights = args.weights.as<const W>("quant_matmul: weights");
  const auto x = args.x.as<const X>("quant_matmul: x");
  const AnyOutput y(args.y, p.y, static_cast<size_t>(p.m * p.n_out));
  // Rows a round: kRows of them on a GPU with few rows for its CUs, more (one barrier for many rows) where CUs are few.
  const int64_t waves = int64_t{16} * std::max(1, hip::device_info().compute_units);
  const int64_t wanted = ceil_div(p.n_out, waves * kGroups);
  const int rows =
      static_cast<int>(std::clamp<int64_t>(wanted / kRows, 1, kMaxOutputs / (kGroups * kRows * kTokens))) * kRows;
  static_assert(kGroups * kRows * kTokens <= kMaxOutputs);
  const int64_t groups_of_tokens = ceil_div(p.m, kTokens);
  const size_t lds = static_cast<size_t>(kGroups) * static_cast<size_t>(rows * kTokens * (kGroup + 1)) * sizeof(float);
  hip::launch(stream,
              {concat(name, "<", dtype_name(p.weights), ",", dtype_name(p.x), ",", kRows, "x", kTokens,
                      kPacks ? "" : ",elementwise", ">"),
               dim3(looping_grid(ceil_div(p.n_out, kGroups * rows), static_cast<int>(ceil_div(32, groups_of_tokens))),
                    grid_extent("quant_matmul: m", groups_of_tokens)),
               dim3(kThreads), lds, p.m},
              &float_kernel<W, X, kRows, kTokens, kPacks>,
              hip::in("weights", weights, static_cast<size_t>(p.weight_elements())),
              hip::in("x", x, static_cast<size_t>(p.m * p.n_in)), y.arg_f32(), y.arg_f16(), y.arg_bf16(),
              int_extent("quant_matmul: m", p.m), int_extent("quant_matmul: n_out", p.n_out),
              int_extent("quant_matmul: n_in", p.n_in), rows);
}

/// Calls f(W tag, X tag, packs tag).
template <class F>
void with_types(const QuantMatmulProblem& p, const QuantMatmulArgs& args, F&& f) {
  with_float_type("quant_matmul: weights", p.weights, [&](auto w) {
    with_float_type("quant_matmul: x", p.x, [&](auto x) {
      if (packs_fit({args.weights.data(), args.x.data()}, p.n_in, 8))
        f(w, x, std::true_type{});
      else
        f(w, x, std::false_type{});
    });
  });
}

}  // namespace

void gemv_float_v1(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args) {
  with_types(p, args, [&](auto w, auto x, auto packs) {
    using W = typename decltype(w)::type;
    using X = typename decltype(x)::type;
    if constexpr (!decltype(packs)::value)
      launch_float<W, X, 2, 2, false>(stream, "gemv_float_v1", p, args);
    else if (p.m == 1)
      launch_float<W, X, 1, 1, true>(stream, "gemv_float_v1", p, args);
    else
      launch_float<W, X, 1, 4, true>(stream, "gemv_float_v1", p, args);
  });
}

void gemm_float_v1(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args) {
  with_types(p, args, [&](auto w, auto x, auto packs) {
    using W = typename decltype(w)::type;
    using X = typename decltype(x)::type;
    if constexpr (!decltype(packs)::value)
      launch_float<W, X, 2, 2, false>(stream, "gemm_float_v1", p, args);
    else
      launch_float<W, X, 4, 4, true>(stream, "gemm_float_v1", p, args);
  });
}

}  // namespace greta
