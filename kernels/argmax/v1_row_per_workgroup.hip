// Argmax v1: one workgroup of 256 threads a row; threads take every 256th pack of four columns, then two steps of 16 in
// LDS.
//   index[i] = the lowest c with logits[i,c] = max_c logits[i,c];  -1 - (lowest c with a NaN) if the row holds one
// Shapes    logits [n_rows, width] f32; index [n_rows] int32
// Needs     width < 2^31; 16-byte loads when width % 4 == 0 and the buffer is aligned
// Numerics  arithmetic "exact": the answer does not depend on the order of comparison
// Placement workgroup = row; LDS 3 KiB; two barriers
#include "kernels/argmax/argmax.hpp"
#include "kernels/hip/launch.hpp"
#include "kernels/tile/extents.hpp"
#include "kernels/tile/pack.hpp"

namespace greta {
namespace {

constexpr int kThreads = 256;
constexpr int kSqrtThreads = 16;
static_assert(kSqrtThreads * kSqrtThreads == kThreads);
constexpr int kColumns = 4;
constexpr int kNone = 0x7fffffff;  // above every column

/// What is known of a set of columns. `nan` is the lowest column of a NaN, kNone if there is none.
struct Best {
  float value;
  int column;
  int nan;
};
__device__ __forceinline__ Best merge(const Best& a, const Best& b) {
  const bool take_b = b.value > a.value || (b.value == a.value && b.column < a.column);
  return {take_b ? b.value : a.value, take_b ? b.column : a.column, a.nan < b.nan ? a.nan : b.nan};
}
__device__ __forceinline__ Best nothing() { return {hip::bits_float(0xff800000u), kNone, kNone}; }
__device__ __forceinline__ Best of_one(float value, int column) {
  return value == value ? Best{value, column, kNone} : Best{hip::bits_float(0xff800000u), kNone, column};
}

template <bool kPacks>
__global__ GRETA_LAUNCH_BOUNDS(kThreads, 8) void argmax_kernel(const float* logits, int32_t* index, int width) {
  GRETA_LDS(float, values, [kThreads]);
  GRETA_LDS(int, columns, [kThreads]);
  GRETA_LDS(int, nans, [kThreads]);
  logits += static_cast<int64_t>(blockIdx.x) * width;
  const int t = static_cast<int>(threadIdx.x);

  Best best = nothing();
  if constexpr (kPacks) {
    for (int64_t c = t * kColumns; c < width; c += kThreads * kColumns) {
      const Pack<float, kColumns> p = load_pack<kColumns>(logits + c);
      for (int i = 0; i < kColumns; ++i) best = merge(best, of_one(p.v[i], static_cast<int>(c) + i));
    }
  } else {
    for (int64_t c = t; c < width; c += kThreads) best = merge(best, of_one(logits[c], static_cast<int>(c)));
  }
  values[t] = best.value, columns[t] = best.column, nans[t] = best.nan;
  __syncthreads();
  // 16 threads take 16 entries each, at distance 16; their results go back to their own first entry.
  if (t < kSqrtThreads) {
    for (int i = t + kSqrtThreads; i < kThreads; i += kSqrtThreads)
      best = merge(best, {values[i], columns[i], nans[i]});
    values[t] = best.value, columns[t] = best.column, nans[t] = best.nan;
  }
  __syncthreads();
  if (t == 0) {
    for (int i = 1; i < kSqrtThreads; ++i) best = merge(best, {values[i], columns[i], nans[i]});
    index[blockIdx.x] = best.nan == kNone ? best.column : -1 - best.nan;
  }
}

}  // namespace

void argmax_v1(hip::Stream& stream, const ArgmaxProblem& p, const ArgmaxArgs& args) {
  const bool packs = packs_fit({args.logits.data()}, p.width, kColumns);
  hip::launch(stream,
              {packs ? "argmax_v1" : "argmax_v1<elementwise>", dim3(grid_extent("argmax: n_rows", p.n_rows)),
               dim3(kThreads), 0, p.n_rows},
              packs ? &argmax_kernel<true> : &argmax_kernel<false>,
              hip::in("logits", args.logits, static_cast<size_t>(p.elements())),
              hip::out("index", args.index, static_cast<size_t>(p.n_rows)), int_extent("argmax: width", p.width));
}

}  // namespace greta
