// Quantised GEMV v2, few rows of X: all loads of several weight rows in flight before the first is used, integer sums
// reduced in registers, a pass of the row's superblocks spread over the whole workgroup.
//   Y[i,r] = sum_c X[i,c] W[r,c]
// Shapes    X blocks [m, n_in/256] Q8Act256 or [m, n_in/32] Q8Act32; W [n_out, n_in/block]; Y [m, n_out] any float type
// Needs     any m and n_out; q4_k weights on 16 bytes. Made for m <= 8: kTokens = 1, 2, 4 or 8 rows of X at a time
// Numerics  arithmetic "q4_k_i8", "q6_k_i8" or "q8_0_i8" (quant_matmul_problem.hpp). Sums inside a superblock are
//           integers, so lanes split and add them as they like; one thread an output runs the float chain, superblocks
//           ascending.
// Placement workgroup = 64 or 128 threads = 8 or 16 groups of 8 lanes. In a pass, group g has superblock g of kRows
//           weight rows: each lane a piece of 32 values (kernels/tile/weight_piece.hpp), 16 bytes a load. The group's
//           sums go through lane exchanges that leave lane l with sum l (seven exchanges for eight sums); it scales and
//           stores a term of the chain in LDS, and a thread an output adds the pass's terms, while the loads of the
//           next pass are under way. LDS: two buffers of terms, 2.3 KiB (Q4_K); Q8_0 has a chain of eight inside the
//           superblock, which goes through LDS first, 4.5 KiB more.
// From v1   v1 kept one superblock a group in registers and walked over rows one load at a time, with two barriers a
//           pass and every partial sum through LDS.
#include "kernels/quant_matmul/matmul_group.hpp"
#include "kernels/tile/weight_piece.hpp"

namespace greta {
namespace {

constexpr int kMaxThreads = 128;
constexpr int kMaxSlots = kMaxThreads / kPieces;  // superblocks of a pass

template <class Block, int kTokens>
constexpr int kRowsOf = kTokens == 1 ? 4 : 2;

/// Workgroups of the grid for each CU: as many as run at once, each looping over rows, or one for every kRows rows.
/// Q4_K gains by looping (14.7 us instead of 16.1 at 4096 -> 14336 on an H200); the others, whose loads are many small
/// ones on sm_90a, lose (Q6_K 26.9 instead of 21.6, Q8_0 22.1 instead of 20.2).
template <class Block, int kTokens, int kRows>
constexpr int kResident = PieceOf<Block>::kMins ? (kTokens <= 2 ? 5 : 3) : 1 << 20;

/// One lane's 32 activations.
struct ActivationPiece {
  Words4 lo, hi;
  int sum_lo, sum_hi;
  int sum_pair;  ///< Q4_K: both, 16 bits each
};
/// sums[i], by a load of 4 bytes: gfx942 has no 2-byte load of full width.
__device__ __forceinline__ int load_sum(const int16_t* sums, int i) {
  return static_cast<int>(reinterpret_cast<const uint32_t*>(sums)[i / 2] << (16 - 16 * (i % 2))) >> 16;
}
template <class Block>
__device__ __forceinline__ ActivationPiece load_activation(const typename PieceOf<Block>::Activation* superblock,
                                                           int piece) {
  using Piece = PieceOf<Block>;
  ActivationPiece a;
  if constexpr (Piece::kBlocks == 1) {
    a.lo = load16<16>(superblock->qs + Piece::lo_at(piece)), a.hi = load16<16>(superblock->qs + Piece::hi_at(piece));
    a.sum_lo = load_sum(superblock->sums, Piece::lo_at(piece) / 16);
    a.sum_hi = load_sum(superblock->sums, Piece::hi_at(piece) / 16);
    a.sum_pair = (a.sum_lo & 0xffff) | static_cast<int>(static_cast<unsigned>(a.sum_hi) << 16);
  } else {
    a.lo = load16<16>(superblock[piece].qs), a.hi = load16<16>(superblock[piece].qs + 16);
    a.sum_lo = a.sum_hi = a.sum_pair = 0;
  }
  return a;
}

/// Sums of N values over 8 lanes: lane l of them gets the sum of value l / (8 / N). The whole wave takes part.
template <int N>
__device__ __forceinline__ int sum_over_8(const int* v, int lane) {
  int s[N];
  GRETA_UNROLL
  for (int i = 0; i < N; ++i) s[i] = v[i];
  if constexpr (N >= 2) {
    const bool upper = lane & 4;
    GRETA_UNROLL
    for (int i = 0; i < N / 2; ++i) {
      const int give = upper ? s[i] : s[i + N / 2];
      s[i] = (upper ? s[i + N / 2] : s[i]) + hip::wave_exchange<7>(give);
    }
  } else {
    s[0] += hip::wave_exchange<7>(s[0]);
  }
  if constexpr (N >= 4) {
    const bool upper = lane & 2;
    GRETA_UNROLL
    for (int i = 0; i < N / 4; ++i) {
      const int give = upper ? s[i] : s[i + N / 4];
      s[i] = (upper ? s[i + N / 4] : s[i]) + hip::wave_exchange<2>(give);
    }
  } else {
    s[0] += hip::wave_exchange<2>(s[0]);
  }
  if constexpr (N >= 8) {
    const bool upper = lane & 1;
    const int give = upper ? s[0] : s[N / 8];
    return (upper ? s[N / 8] : s[0]) + hip::wave_exchange<1>(give);
  } else {
    return s[0] + hip::wave_exchange<1>(s[0]);
  }
}

template <int N>
__device__ __forceinline__ float pick(const float (&v)[N], int i) {
  float picked = v[0];
  GRETA_UNROLL
  for (int k = 1; k < N; ++k) picked = i == k ? v[k] : picked;
  return picked;
}

/// LDS, in floats. Rows of terms are padded so that the lanes of a wave, which write one kind of term of several
/// outputs and slots, meet different banks; so are the staged chains of Q8_0.
template <class Block, int kOutputs>
struct Lds {
  static constexpr bool kStaged = PieceOf<Block>::kBlocks > 1;
  static constexpr int kTerm = kStaged ? 1 : PieceOf<Block>::kMins ? 4 : 2;  // of a superblock
  static constexpr int kRow = kMaxSlots * kTerm + (kStaged ? 1 : 8);         // of an output
  static constexpr int kTerms = kOutputs * kRow;
  static constexpr int kChain = 2 * kPieces + 2;  // staged: scale and value of each block
  static constexpr int kStage = kStaged ? kMaxSlots * kOutputs * kChain : 1;
};

template <class Block, int kRows, int kTokens>
__global__ GRETA_LAUNCH_BOUNDS(kMaxThreads,
                               kTokens <= 2 ? 4 : 2) void gemv_kernel(GRETA_GROUP_WEIGHTS(Block),
                                                                      const typename PieceOf<Block>::Activation* x,
                                                                      GRETA_GROUP_OUTPUTS, int n_blocks) {
  const MatmulPart<Block> part = GRETA_GROUP_PART;
  const Block* const weights = part.weights;
  const int n_out = part.n_out;
  using Piece = PieceOf<Block>;
  constexpr int kOutputs = kRows * kTokens;
  constexpr int kKinds = Piece::kMins ? 2 : 1;
  constexpr int kSums = kKinds * kOutputs, kChunk = kSums < 8 ? kSums : 8;
  using Lds = Lds<Block, kOutputs>;
  GRETA_LDS(float, terms, [2][Lds::kTerms]);
  GRETA_LDS(float, stage, [Lds::kStage]);
  const int t = static_cast<int>(threadIdx.x), group = t / kPieces, piece = t % kPieces;
  const int n_slots = static_cast<int>(blockDim.x) / kPieces;
  const int n_super = (n_blocks + Piece::kBlocks - 1) / Piece::kBlocks;
  const int first_token = static_cast<int>(blockIdx.y) * kTokens;
  const auto token_of = [&](int i) { return first_token + i < m ? first_token + i : m - 1; };

  // Rows and passes in one sequence, so that the loads of the next step, be it of the same rows or not, are under way
  // while this one's sums are made.
  const int row_blocks = (n_out + kRows - 1) / kRows, stride = part.blocks;
  const int64_t row_bytes = static_cast<int64_t>(n_blocks) * static_cast<int64_t>(sizeof(Block));
  const auto block_of = [&](int super0) { return super0 + group < n_super ? (super0 + group) * Piece::kBlocks : 0; };
  const auto own_of = [&](int block) { return Piece::kBlocks == 1 || block + piece < n_blocks ? piece : 0; };

  // Lanes without a superblock or block load one that exists; their sums are not read.
  RawPiece raw[kRows] = {};
  const auto fetch = [&](int row_block, int super0) {
    const int row0 = row_block * kRows, last = n_out - 1 - row0, block = block_of(super0);
    const auto* from =
        reinterpret_cast<const char*>(weights) + row0 * row_bytes + block * static_cast<int>(sizeof(Block));
    GRETA_UNROLL
    for (int r = 0; r < kRows; ++r)
      raw[r] = Piece::fetch(reinterpret_cast<const Block*>(from + (r < last ? r : last) * row_bytes), own_of(block));
  };
  int row_block = part.block, super0 = 0, buffer = 0;
  float acc = 0.0f;
  if (row_block < row_blocks) fetch(row_block, 0);
  while (row_block < row_blocks) {
    const bool ends = super0 + n_slots >= n_super;  // the rows
    const int next_block = ends ? row_block + stride : row_block, next_super = ends ? 0 : super0 + n_slots;
    const int block = block_of(super0), own = own_of(block);
    int sums[kSums];
    float d[kRows], dmin[kRows];
    WeightPiece w[kRows];
    GRETA_UNROLL
    for (int r = 0; r < kRows; ++r) {
      w[r] = Piece::decode(raw[r], own);
      d[r] = w[r].d, dmin[r] = w[r].dmin;
    }
    GRETA_UNROLL
    for (int i = 0; i < kTokens; ++i) {
      const auto* from = x + static_cast<int64_t>(token_of(i)) * n_blocks + block;
      const ActivationPiece a = load_activation<Block>(from, own);
      [[maybe_unused]] float* const chain = stage + (group * kOutputs + i) * Lds::kChain + 2 * piece;
      [[maybe_unused]] const float dx = Lds::kStaged ? from[own].d : 0.0f;
      GRETA_UNROLL
      for (int r = 0; r < kRows; ++r) {
        const int dot_lo = dot16_i8(w[r].lo, a.lo, -Piece::kZero * a.sum_lo);
        if constexpr (Lds::kStaged) {
          const int dot = dot16_i8(w[r].hi, a.hi, dot_lo);
          store_pack<2>(chain + r * kTokens * Lds::kChain, Pack<float, 2>{{d[r] * dx, static_cast<float>(dot)}});
        } else {
          const int dot_hi = dot16_i8(w[r].hi, a.hi, -Piece::kZero * a.sum_hi);
          if constexpr (Piece::kMins) {  // a sum of 16 values of Q4_K fits into 16 bits
            const int dots = (dot_lo & 0xffff) | static_cast<int>(static_cast<unsigned>(dot_hi) << 16);
            sums[r * kTokens + i] = hip::dot2_i16_i8(dots, w[r].scale_pair, 0);
            sums[kOutputs + r * kTokens + i] = hip::dot2_i16_i8(a.sum_pair, w[r].min_pair, 0);
          } else {
            sums[r * kTokens + i] = hip::mad24(w[r].scale_lo, dot_lo, hip::mad24(w[r].scale_hi, dot_hi, 0));
          }
        }
      }
    }
    if (next_block < row_blocks) fetch(next_block, next_super);
    if constexpr (Lds::kStaged) {
      hip::wave_barrier();
      const int left = n_blocks - block;
      for (int o = piece; o < kOutputs; o += kPieces) {
        const float* chain = stage + (group * kOutputs + o) * Lds::kChain;
        float part = 0.0f;
        GRETA_UNROLL
        for (int b = 0; b < Piece::kBlocks; ++b) {
          const Pack<float, 2> link = load_pack<2>(chain + 2 * b);
          part = b < left ? fmaf(link.v[0], link.v[1], part) : part;
        }
        terms[buffer][o * Lds::kRow + group] = part;
      }
    } else {
      GRETA_UNROLL
      for (int chunk = 0; chunk < kSums; chunk += kChunk) {
        const int sum = sum_over_8<kChunk>(sums + chunk, piece);
        const int at = chunk + piece / (8 / kChunk), kind = at / kOutputs, output = at % kOutputs;
        const float dx = x[static_cast<int64_t>(token_of(output % kTokens)) * n_blocks + block].d;
        const float of_row = pick(d, output / kTokens), min_of_row = pick(dmin, output / kTokens);
        const float scale = (kind ? -min_of_row : of_row) * dx;
        if (piece % (8 / kChunk) == 0)  // of the lanes that share a sum, the first
          store_pack<2>(&terms[buffer][output * Lds::kRow + group * Lds::kTerm + 2 * kind],
                        Pack<float, 2>{{scale, static_cast<float>(sum)}});
      }
    }
    __syncthreads();
    if (t < kOutputs) {
      const float* mine = &terms[buffer][t * Lds::kRow];
      const int n = n_super - super0 < n_slots ? n_super - super0 : n_slots;
      GRETA_UNROLL_BY(4)
      for (int s = 0; s < n; ++s) {
        if constexpr (Lds::kStaged) {
          acc = acc + mine[s];
        } else {
          const Pack<float, Lds::kTerm> term = load_pack<Lds::kTerm>(mine + s * Lds::kTerm);
          acc = fmaf(term.v[0], term.v[1], acc);
          if constexpr (Piece::kMins) acc = fmaf(term.v[2], term.v[3], acc);
        }
      }
      if (ends) {
        const int row = row_block * kRows + t / kTokens, token = first_token + t % kTokens;
        if (row < n_out && token < m)
          store_any(part.y_f32, part.y_f16, part.y_bf16, static_cast<int64_t>(token) * n_out + row, acc);
        acc = 0.0f;
      }
    }
    row_block = next_block, super0 = next_super, buffer ^= 1;
  }
}

template <class Block, int kTokens, int kRows = kRowsOf<Block, kTokens>>
void launch_gemv(hip::Stream& stream, const QuantMatmulGroupProblem& p, const QuantMatmulGroupArgs& args) {
  using Piece = PieceOf<Block>;
  const MatmulViews<Block> views(p, args, Piece::kAlign);
  const auto x = args.x.as<const typename Piece::Activation>("quant_matmul: x");
  const int n_blocks = int_extent("quant_matmul: n_in", p.n_in) / dtype_block_values(p.weights);
  // 16 superblocks a pass, or 8 where the last pass of 16 would be half empty.
  const int64_t last = ceil_div(n_blocks, Piece::kBlocks) % kMaxSlots;
  const int threads = last >= 1 && last <= kMaxSlots / 2 ? kMaxThreads / 2 : kMaxThreads;
  // Every workgroup has the same number of rounds, give or take one. The host loops: a workgroup costs it more to
  // start.
  int64_t row_blocks = 0, blocks[kMatmulGroup] = {};
  for (int i = 0; i < p.parts(); ++i) row_blocks += ceil_div(p.rows_of(i), kRows);
  const int64_t rounds = ceil_div(
      row_blocks, looping_grid(row_blocks, hip::platform_name() == "host" ? 16 : kResident<Block, kTokens, kRows>));
  for (int i = 0; i < p.parts(); ++i) blocks[i] = ceil_div(ceil_div(p.rows_of(i), kRows), rounds);
  launch_group(
      stream,
      {concat("gemv_v2<", dtype_name(p.weights), ",", kRows, "x", kTokens, ">"),
       dim3(1, grid_extent("quant_matmul: m", ceil_div(p.m, kTokens))), dim3(static_cast<unsigned>(threads)), 0, p.m},
      &gemv_kernel<Block, kRows, kTokens>, p, views, hip::in("x", x, activation_elements(p)), blocks, n_blocks);
}

template <class Block>
void launch_tokens(hip::Stream& stream, const QuantMatmulGroupProblem& p, const QuantMatmulGroupArgs& args) {
  if (p.m == 1) return launch_gemv<Block, 1>(stream, p, args);
  if (p.m == 2) return launch_gemv<Block, 2>(stream, p, args);
  if (p.m <= 4) return launch_gemv<Block, 4>(stream, p, args);
  launch_gemv<Block, 8>(stream, p, args);
}

}  // namespace

void gemv_v2_group(hip::Stream& stream, const QuantMatmulGroupProblem& p, const QuantMatmulGroupArgs& args) {
  if (p.weights == DType::kQ4K) return launch_tokens<BlockQ4K>(stream, p, args);
  if (p.weights == DType::kQ6K) return launch_tokens<BlockQ6K>(stream, p, args);
  launch_tokens<BlockQ8_0>(stream, p, args);
}
void gemv_v2(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args) {
  gemv_v2_group(stream, group_of_one(p), group_of_one(args));
}

}  // namespace greta
