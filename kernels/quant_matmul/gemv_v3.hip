// Q4_K GEMV v3, few rows of X: four lanes a superblock, so that a pair of scales is decoded once for 64 values.
//   Y[i,r] = sum_c X[i,c] W[r,c]
// Shapes    X blocks [m, n_in/256] Q8Act256; W [n_out, n_in/256] Q4_K; Y [m, n_out] any float type
// Needs     any m and n_out; weights on 16 bytes. Made for m <= 8: kTokens = 1, 2, 4 or 8 rows of X at a time
// Numerics  arithmetic "q4_k_i8" (quant_matmul_problem.hpp): integers inside a superblock, one thread an output runs
//           the float chain, superblocks ascending
// Placement workgroup = 64 or 128 threads = 16 or 32 groups of 4 lanes; in a pass, group g has superblock g of kRows
//           weight rows. Lane p of a group has sub-blocks 2p (low nibbles of its 32 bytes) and 2p+1 (high ones). Lane
//           exchanges leave lane o with both sums of output o, which it scales and stores as one 16-byte term; a thread
//           an output adds the terms while the loads of the next pass are under way.
// Cost      H200, cold weights: 4096 -> 14336 in 13.7 us (2420 GB/s, 57 % of the copy ceiling), 4096 -> 128256 in 77.9
//           us (3800 GB/s, 89 %): about 5 us of a launch are its beginning and end. gfx942, one row of X: 95 VGPRs, 5
//           waves a SIMD, no spills.
// From v2   half the decoding, exchanges and header loads for the same bytes: v2 ran at the rate of the integer units.
#include "kernels/quant_matmul/matmul_group.hpp"
#include "kernels/tile/weight_piece.hpp"

namespace greta {
namespace {

constexpr int kMaxThreads = 128;
constexpr int kLanes = 4;                        // of a superblock
constexpr int kMaxSlots = kMaxThreads / kLanes;  // superblocks of a pass
constexpr int kRow = 4 * kMaxSlots + 8;          // floats of an output's terms in LDS; padded against bank conflicts

// Of one token four rows, but where they would spill at four waves a SIMD (gfx942; host as gfx942).
#if defined(__CUDACC__)
constexpr int kRowsOfOne = 4;
#else
constexpr int kRowsOfOne = 2;
#endif
template <int kTokens>
constexpr int kRowsOf = kTokens == 1 ? kRowsOfOne : 2;

/// What a lane loads of a weight row.
struct Raw {
  Words4 header, qs[2];
};
/// A lane's 64 activations: sub-blocks 2p and 2p+1, and their sums, 16 bits each.
struct Activations {
  Words4 lo[2], hi[2];
  int sums;
};
__device__ __forceinline__ Activations load_activations(const BlockQ8Act256* block, int lane) {
  Activations a;
  GRETA_UNROLL
  for (int i = 0; i < 2; ++i) {
    a.lo[i] = load16<16>(block->qs + 64 * lane + 16 * i);
    a.hi[i] = load16<16>(block->qs + 64 * lane + 32 + 16 * i);
  }
  // Sums of 16 values, two in a word: their halves added are the sum of a sub-block.
  const Pack<uint32_t, 2> pairs = load_pack<2>(reinterpret_cast<const uint32_t*>(block->sums + 4 * lane));
  const uint32_t low = pairs.v[0] + (pairs.v[0] >> 16), high = pairs.v[1] + (pairs.v[1] >> 16);
  a.sums = static_cast<int>((low & 0xffffu) | high << 16);
  return a;
}

/// A row's 64 values as bytes, and what they are scaled by: two bytes each, sub-block 2p below.
struct Unpacked {
  Words4 lo[2], hi[2];
  uint32_t scales, mins;
};
__device__ __forceinline__ Unpacked unpack(const Raw& raw, int shift, uint32_t high) {
  const uint32_t low_bits = 0x3f3fu ^ (high & 0x3030u), high_bits = high & 0x3030u;
  const Words4& header = raw.header;
  const uint32_t low_scales = header.v[1] ^ ((header.v[1] ^ header.v[3]) & high);
  const uint32_t low_mins = header.v[2] ^ ((header.v[2] ^ (header.v[3] >> 4)) & high);
  Unpacked w;
  w.scales = ((low_scales >> shift) & low_bits) | ((header.v[1] >> (shift + 2)) & high_bits);
  w.mins = ((low_mins >> shift) & low_bits) | ((header.v[2] >> (shift + 2)) & high_bits);
  GRETA_UNROLL
  for (int i = 0; i < 2; ++i) GRETA_UNROLL
  for (int k = 0; k < 4; ++k) {
    w.lo[i].v[k] = raw.qs[i].v[k] & 0x0f0f0f0fu;
    w.hi[i].v[k] = (raw.qs[i].v[k] >> 4) & 0x0f0f0f0fu;
  }
  return w;
}

template <int kRows, int kTokens>
__global__ GRETA_LAUNCH_BOUNDS(kMaxThreads, kTokens <= 2 ? 4 : 2) void gemv_kernel(GRETA_GROUP_WEIGHTS(BlockQ4K),
                                                                                   const BlockQ8Act256* x,
                                                                                   GRETA_GROUP_OUTPUTS, int n_super) {
  const MatmulPart<BlockQ4K> part = GRETA_GROUP_PART;
  const BlockQ4K* const weights = part.weights;
  const int n_out = part.n_out;
  constexpr int kOutputs = kRows * kTokens;
  // Each lane ends with the sums of whole outputs: to four of them, zeros are added.
  constexpr int kPadded = (kOutputs + kLanes - 1) / kLanes * kLanes;
  GRETA_LDS(float, terms, [2][kOutputs * kRow]);
  const int t = static_cast<int>(threadIdx.x), group = t / kLanes, lane = t % kLanes;
  const int n_slots = static_cast<int>(blockDim.x) / kLanes;
  const int first_token = static_cast<int>(blockIdx.y) * kTokens;
  const auto token_of = [&](int i) { return first_token + i < m ? first_token + i : m - 1; };
  const int row_blocks = (n_out + kRows - 1) / kRows, stride = part.blocks;
  const int64_t row_bytes = static_cast<int64_t>(n_super) * static_cast<int64_t>(sizeof(BlockQ4K));
  // Groups without a superblock work on the row's first; their terms are not read.
  const auto block_of = [&](int super0) { return super0 + group < n_super ? super0 + group : 0; };

  // Of the lane's sub-blocks 2p and 2p+1 both scales are neighbouring bytes of the header (PieceOf<BlockQ4K>).
  const int shift = 16 * (lane % 2);
  const uint32_t high = lane >= 2 ? 0xffffffffu : 0u;
  const bool upper2 = lane & 2, upper1 = lane & 1;

  Raw raw[kRows] = {};
  const auto fetch = [&](int row_block, int super0) {
    const int row0 = row_block * kRows, last = n_out - 1 - row0;
    const auto* from = reinterpret_cast<const char*>(weights) + row0 * row_bytes +
                       block_of(super0) * static_cast<int>(sizeof(BlockQ4K));
    GRETA_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const auto* block = reinterpret_cast<const BlockQ4K*>(from + (r < last ? r : last) * row_bytes);
      raw[r].header = load16<16>(block);
      raw[r].qs[0] = load16<16>(block->qs + 32 * lane), raw[r].qs[1] = load16<16>(block->qs + 32 * lane + 16);
    }
  };

  int row_block = part.block, super0 = 0, buffer = 0;
  float acc = 0.0f;
  if (row_block < row_blocks) fetch(row_block, 0);
  while (row_block < row_blocks) {
    const bool ends = super0 + n_slots >= n_super;  // the rows
    const int next_block = ends ? row_block + stride : row_block, next_super = ends ? 0 : super0 + n_slots;
    const int block = block_of(super0);
    int sums[kPadded][2] = {};  // scaled sum and sum of the minima
    uint32_t d[kRows];          // d and dmin, halves
    // Few tokens: their activations stay in registers and a row is unpacked when its turn comes. Many: the other way.
    constexpr int kHeld = kTokens <= 2 ? kTokens : 1, kUnpacked = kTokens <= 2 ? 1 : kRows;
    Activations a[kHeld];
    Unpacked w[kUnpacked];
    const auto activations_of = [&](int i) {
      return load_activations(x + static_cast<int64_t>(token_of(i)) * n_super + block, lane);
    };
    const auto multiply = [&](const Unpacked& row, const Activations& token, int(&to)[2]) {
      const int dot_lo = dot16_i8(row.lo[1], token.lo[1], dot16_i8(row.lo[0], token.lo[0], 0));
      const int dot_hi = dot16_i8(row.hi[1], token.hi[1], dot16_i8(row.hi[0], token.hi[0], 0));
      to[0] = hip::mad24(static_cast<int>(row.scales & 0xffu), dot_lo,
                         hip::mad24(static_cast<int>(row.scales >> 8), dot_hi, 0));
      to[1] = hip::dot2_i16_i8(token.sums, row.mins, 0);
    };
    GRETA_UNROLL
    for (int r = 0; r < kRows; ++r) d[r] = raw[r].header.v[0];
    if constexpr (kTokens <= 2) {
      GRETA_UNROLL
      for (int i = 0; i < kTokens; ++i) a[i] = activations_of(i);
      GRETA_UNROLL
      for (int r = 0; r < kRows; ++r) {
        w[0] = unpack(raw[r], shift, high);
        GRETA_UNROLL
        for (int i = 0; i < kTokens; ++i) multiply(w[0], a[i], sums[r * kTokens + i]);
        hip::schedule_fence();
      }
    } else {
      GRETA_UNROLL
      for (int r = 0; r < kRows; ++r) w[r] = unpack(raw[r], shift, high);
      GRETA_UNROLL
      for (int i = 0; i < kTokens; ++i) {
        a[0] = activations_of(i);
        GRETA_UNROLL
        for (int r = 0; r < kRows; ++r) multiply(w[r], a[0], sums[r * kTokens + i]);
      }
    }
    if (next_block < row_blocks) fetch(next_block, next_super);

    GRETA_UNROLL
    for (int chunk = 0; chunk < kPadded; chunk += kLanes) {
      int s[2][2];  // [output of the lane's pair of lanes][kind], then [0][kind]
      GRETA_UNROLL
      for (int i = 0; i < 2; ++i) GRETA_UNROLL
      for (int kind = 0; kind < 2; ++kind) {
        const int below = sums[chunk + i][kind], above = sums[chunk + 2 + i][kind];
        s[i][kind] = (upper2 ? above : below) + hip::wave_exchange<2>(upper2 ? below : above);
      }
      GRETA_UNROLL
      for (int kind = 0; kind < 2; ++kind)
        s[0][kind] = (upper1 ? s[1][kind] : s[0][kind]) + hip::wave_exchange<1>(upper1 ? s[0][kind] : s[1][kind]);
      const bool meant = kOutputs % kLanes == 0 || chunk + lane < kOutputs;
      const int output = meant ? chunk + lane : 0;
      uint32_t halves = d[0];
      GRETA_UNROLL
      for (int r = 1; r < kRows; ++r) halves = output / kTokens == r ? d[r] : halves;
      const float dx = x[static_cast<int64_t>(token_of(output % kTokens)) * n_super + block].d;
      if (meant)
        store_pack<4>(&terms[buffer][output * kRow + 4 * group],
                      Pack<float, 4>{{piece_detail::half_at(halves, 0) * dx, static_cast<float>(s[0][0]),
                                      -(piece_detail::half_at(halves, 16) * dx), static_cast<float>(s[0][1])}});
    }
    __syncthreads();
    if (t < kOutputs) {
      const float* mine = &terms[buffer][t * kRow];
      const int n = n_super - super0 < n_slots ? n_super - super0 : n_slots;
      GRETA_UNROLL_BY(4)
      for (int s = 0; s < n; ++s) {
        const Pack<float, 4> term = load_pack<4>(mine + 4 * s);
        acc = fmaf(term.v[0], term.v[1], acc);
        acc = fmaf(term.v[2], term.v[3], acc);
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

template <int kTokens>
void launch_gemv(hip::Stream& stream, const QuantMatmulGroupProblem& p, const QuantMatmulGroupArgs& args) {
  constexpr int kRows = kRowsOf<kTokens>;
  const MatmulViews<BlockQ4K> views(p, args, 16);
  const auto x = args.x.as<const BlockQ8Act256>("quant_matmul: x");
  const int n_super = int_extent("quant_matmul: n_in", p.n_in) / kSuperblock;
  const int last = n_super % kMaxSlots;
  const int threads = last >= 1 && last <= kMaxSlots / 2 ? kMaxThreads / 2 : kMaxThreads;
  // As many workgroups as run at once, each with the same number of rounds, give or take one.
  int64_t row_blocks = 0, blocks[kMatmulGroup] = {};
  for (int i = 0; i < p.parts(); ++i) row_blocks += ceil_div(p.rows_of(i), kRows);
  const int resident = (kTokens <= 2 ? 4 : 3) * (kMaxThreads / threads);
  const int64_t rounds = ceil_div(row_blocks, looping_grid(row_blocks, resident));
  for (int i = 0; i < p.parts(); ++i) blocks[i] = ceil_div(ceil_div(p.rows_of(i), kRows), rounds);
  launch_group(
      stream,
      {concat("gemv_v3<q4_k,", kRows, "x", kTokens, ">"),
       dim3(1, grid_extent("quant_matmul: m", ceil_div(p.m, kTokens))), dim3(static_cast<unsigned>(threads)), 0, p.m},
      &gemv_kernel<kRows, kTokens>, p, views, hip::in("x", x, activation_elements(p)), blocks, n_super);
}

}  // namespace

void gemv_v3_group(hip::Stream& stream, const QuantMatmulGroupProblem& p, const QuantMatmulGroupArgs& args) {
  if (p.m == 1) return launch_gemv<1>(stream, p, args);
  if (p.m == 2) return launch_gemv<2>(stream, p, args);
  if (p.m <= 4) return launch_gemv<4>(stream, p, args);
  launch_gemv<8>(stream, p, args);
}
void gemv_v3(hip::Stream& stream, const QuantMatmulProblem& p, const QuantMatmulArgs& args) {
  gemv_v3_group(stream, group_of_one(p), group_of_one(args));
}

}  // namespace greta
