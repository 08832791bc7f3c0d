// Quantised GEMV v1, few rows of X: eight lanes a superblock, each with 16-byte weight loads, integer partial sums
// through LDS, then one fma chain an output. Q4_K, Q6_K and Q8_0 by one kernel (kernels/tile/weight_piece.hpp).
//   Y[i,r] = sum_c X[i,c] W[r,c]
// Shapes    X blocks [m, n_in/256] Q8Act256 or [m, n_in/32] Q8Act32; W [n_out, n_in/block]; Y [m, n_out] any float type
// Needs     any m and n_out; q4_k weights on 16 bytes. kTokens rows of X at a time: made for m <= 8
// Numerics  arithmetic "q4_k_i8", "q6_k_i8" or "q8_0_i8" (quant_matmul_problem.hpp). Lanes split a superblock as they
//           like because sums inside it are integers; one thread an output runs the float chain in ascending order.
// Placement workgroup = 64 threads (one wave on gfx942) = 8 groups of 8 lanes. A pass covers kSpan <= 8 superblocks (a
//           power of two) of n_rows weight rows: a group keeps its superblock's activations in registers and walks over
//           the rows. LDS: 8 partial sums (two kinds) and two scales for each row x superblock x token of a pass,
//           dynamic. Rows a pass: few on a GPU, so that every CU has waves; up to 64 on host, where a barrier costs
//           more than a row.
#include "kernels/hip/host_device.hpp"
#include "kernels/quant_matmul/any_output.hpp"
#include "kernels/quant_matmul/quant_matmul.hpp"
#include "kernels/tile/extents.hpp"
#include "kernels/tile/weight_piece.hpp"

namespace greta {
namespace {

constexpr int kThreads = 64;
constexpr int kGroups = kThreads / kPieces;
constexpr int kMaxOutputs = kThreads;  // a pass has at most one chain a thread
constexpr int kPad = 4;                // ints after each row of partial sums: chain threads then read different banks

/// Largest power of two <= n, at most 8.
GRETA_HOST_DEVICE constexpr int span_of(int n) { return n >= 8 ? 8 : n >= 4 ? 4 : n >= 2 ? 2 : 1; }

/// One lane's part of a block of activations.
struct ActivationPiece {
  Words4 lo, hi;
  int sum_lo, sum_hi;
  float d;
};
template <class Block>
__device__ __forceinline__ ActivationPiece load_activation(const typename PieceOf<Block>::Activation* superblock,
                                                           int piece) {
  using Piece = PieceOf<Block>;
  ActivationPiece a;
  if constexpr (Piece::kBlocks == 1) {
    a.lo = load16<16>(superblock->qs + Piece::lo_at(piece)), a.hi = load16<16>(superblock->qs + Piece::hi_at(piece));
    a.sum_lo = superblock->sums[Piece::lo_at(piece) / 16], a.sum_hi = superblock->sums[Piece::hi_at(piece) / 16];
    a.d = superblock->d;
  } else {
    a.lo = load16<16>(superblock[piece].qs), a.hi = load16<16>(superblock[piece].qs + 16);
    a.sum_lo = a.sum_hi = 0;
    a.d = superblock[piece].d;
  }
  return a;
}

/// LDS of a pass. A slot is one (row, superblock, token); rows have kPad ints more.
///   sums [rows][span * tokens][8] (+ kPad)   integer partial sums of the lanes
///   other, the same shape                    Q4_K: partial sums of the minima; Q8_0: d * dx of the lane's block (bits)
///   scales [rows][span * tokens][2]          d * dx and dmin * dx
struct PassLds {
  int* sums;
  int* other;
  float* scales;
  int row_ints, row_scales;
  __device__ __forceinline__ PassLds(int* lds, int rows, int slots_per_row)
      : row_ints(slots_per_row * kPieces + kPad), row_scales(slots_per_row * 2) {
    sums = lds, other = lds + rows * row_ints;
    scales = reinterpret_cast<float*>(lds + 2 * rows * row_ints);
  }
};
constexpr size_t pass_lds_bytes(int rows, int slots_per_row) {
  return static_cast<size_t>(rows) * (2 * (slots_per_row * kPieces + kPad) + 2 * slots_per_row) * sizeof(int);
}

__device__ __forceinline__ int sum8(const int* from) {
  const Pack<int, 4> a = load_pack<4>(from), b = load_pack<4>(from + 4);
  return ((a.v[0] + a.v[1]) + (a.v[2] + a.v[3])) + ((b.v[0] + b.v[1]) + (b.v[2] + b.v[3]));
}

template <int kTokens>
constexpr int kWavesPerSimd = kTokens == 1   ? 8
                              : kTokens <= 4 ? 4
                                             : 2;

template <class Block, int kTokens>
__global__ GRETA_LAUNCH_BOUNDS(kThreads, kWavesPerSimd<kTokens>) void gemv_kernel(
    const Block* weights, const typename PieceOf<Block>::Activation* x, float* y_f32, half_t* y_f16, bf16_t* y_bf16,
    int m, int n_out, int n_blocks, int rows_per_pass) {
  using Piece = PieceOf<Block>;
  GRETA_DYNAMIC_LDS(int, lds);
  const int t = static_cast<int>(threadIdx.x), group = t / kPieces, piece = t % kPieces;
  const int n_super = (n_blocks + Piece::kBlocks - 1) / Piece::kBlocks;
  const int first_token = static_cast<int>(blockIdx.y) * kTokens;
  const int n_tokens = m - first_token < kTokens ? m - first_token : kTokens;
  const PassLds pass(lds, rows_per_pass, span_of(n_super) * kTokens);
  // The output of this thread's chain.
  const int chain_row = t / kTokens, chain_token = t % kTokens;

  for (int64_t row0 = static_cast<int64_t>(blockIdx.x) * rows_per_pass; row0 < n_out;
       row0 += static_cast<int64_t>(gridDim.x) * rows_per_pass) {
    const int n_rows = n_out - row0 < rows_per_pass ? static_cast<int>(n_out - row0) : rows_per_pass;
    const bool has_chain = chain_row < n_rows && chain_token < n_tokens;
    float acc = 0.0f;
    for (int super0 = 0, span; super0 < n_super; super0 += span) {
      span = span_of(n_super - super0);
      const int in_span = group & (span - 1);
      const int block = (super0 + in_span) * Piece::kBlocks;
      // A row of Q8_0 may end inside its last superblock; lanes without a block load block 0 and are left out below.
      const bool exists = Piece::kBlocks == 1 || block + piece < n_blocks;
      ActivationPiece a[kTokens];
      for (int i = 0; i < kTokens; ++i) {
        const int token = first_token + (i < n_tokens ? i : 0);
        a[i] = load_activation<Block>(x + static_cast<int64_t>(token) * n_blocks + (exists ? block : 0),
                                      exists ? piece : 0);
      }
      for (int r = group / span; r < n_rows; r += kGroups / span) {
        const WeightPiece w =
            load_piece<Block>(weights + (row0 + r) * n_blocks + (exists ? block : 0), exists ? piece : 0);
        for (int i = 0; i < kTokens; ++i) {
          const int slot = in_span * kTokens + i;
          const int dot_lo = dot16_i8(w.lo, a[i].lo, -Piece::kZero * a[i].sum_lo);
          const int dot_hi = dot16_i8(w.hi, a[i].hi, -Piece::kZero * a[i].sum_hi);
          const int at = r * pass.row_ints + slot * kPieces + piece;
          pass.sums[at] = w.scale_lo * dot_lo + w.scale_hi * dot_hi;
          if constexpr (Piece::kMins) pass.other[at] = w.min_lo * a[i].sum_lo + w.min_hi * a[i].sum_hi;
          if constexpr (Piece::kBlocks > 1) {
            pass.other[at] = static_cast<int>(hip::float_bits(w.d * a[i].d));
          } else if (piece == 0) {
            pass.scales[r * pass.row_scales + 2 * slot] = w.d * a[i].d;
            pass.scales[r * pass.row_scales + 2 * slot + 1] = w.dmin * a[i].d;
          }
        }
      }
      __syncthreads();
      if (has_chain) {
        for (int s = 0; s < span; ++s) {
          const int slot = s * kTokens + chain_token;
          const int* sums = pass.sums + chain_row * pass.row_ints + slot * kPieces;
          const int* other = pass.other + chain_row * pass.row_ints + slot * kPieces;
          if constexpr (Piece::kBlocks > 1) {
            const int left = n_blocks - (super0 + s) * Piece::kBlocks;
            float part = 0.0f;
            for (int b = 0; b < Piece::kBlocks && b < left; ++b)
              part = fmaf(hip::bits_float(static_cast<uint32_t>(other[b])), static_cast<float>(sums[b]), part);
            acc = acc + part;
          } else {
            const float* scales = pass.scales + chain_row * pass.row_scales + 2 * slot;
            acc = fmaf(scales[0], static_cast<float>(sum8(sums)), acc);
            if constexpr (Piece::kMins) acc = fmaf(-scales[1], static_cast<float>(sum8(other)), acc);
          }
        }
      }
      __syncthreads();
    }
    if (has_chain)
      store_any(y_f32, y_f16, y_bf16, static_cast<int64_t>(first_token + chain_token) * n_out + row0 + chain_row, acc);
  }
}

template <class Block, int kTokens>
void launch_gemv(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args) {
  using Piece = PieceOf<Block>;
  const auto weights = args.weights.as<const Block>("quant_matmul: weights");
  const auto x = args.x.as<const typename Piece::Activation>("quant_matmul: x");
  require_aligned("quant_matmul: weights", weights.data(), Piece::kAlign);
  const AnyOutput y(args.y, p.y, static_cast<size_t>(p.m * p.n_out));
  const int n_blocks = int_extent("quant_matmul: n_in", p.n_in) / dtype_block_values(p.weights);
  const int span = span_of(static_cast<int>(ceil_div(n_blocks, Piece::kBlocks)));
  // At least a row for every group, at most a chain for every thread; between them, 16 waves for every CU.
  const int64_t wanted = ceil_div(p.n_out, int64_t{16} * std::max(1, hip::device_info().compute_units));
  const int rows = static_cast<int>(std::clamp<int64_t>(wanted, kGroups / span, kMaxOutputs / (span * kTokens)));
  static_assert(kGroups * kTokens <= kMaxOutputs);
  const int64_t groups_of_tokens = ceil_div(p.m, kTokens);
  hip::launch(stream,
              {concat("gemv_v1<", dtype_name(p.weights), ",", kTokens, ">"),
               dim3(looping_grid(ceil_div(p.n_out, rows), static_cast<int>(ceil_div(32, groups_of_tokens))),
                    grid_extent("quant_matmul: m", groups_of_tokens)),
               dim3(kThreads), pass_lds_bytes(rows, span * kTokens), p.m},
              &gemv_kernel<Block, kTokens>, hip::in("weights", weights, static_cast<size_t>(p.weight_elements())),
              hip::in("x", x, static_cast<size_t>(p.m * p.activation_blocks_per_row())), y.arg_f32(), y.arg_f16(),
              y.arg_bf16(), int_extent("quant_matmul: m", p.m), int_extent("quant_matmul: n_out", p.n_out), n_blocks,
              rows);
}

template <class Block>
void launch_tokens(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args) {
  if (p.m == 1) return launch_gemv<Block, 1>(stream, p, args);
  if (p.m == 2) return launch_gemv<Block, 2>(stream, p, args);
  if (p.m <= 4) return launch_gemv<Block, 4>(stream, p, args);
  launch_gemv<Block, 8>(stream, p, args);
}

}  // namespace

void gemv_v1(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args) {
  if (p.weights == DType::kQ4K) return launch_tokens<BlockQ4K>(stream, p, args);
  if (p.weights == DType::kQ6K) return launch_tokens<BlockQ6K>(stream, p, args);
  launch_tokens<BlockQ8_0>(stream, p, args);
}

}  // namespace greta
