// Embedding gather v1: one workgroup a token; a thread dequantises 32 values (16 bytes of a Q4_K block), or converts 4.
//   y[i,:] = dequantise(table[ids[i],:])
// Shapes    table [n_vocab, width / block] q4_k, q6_k, q8_0, f16, bf16 or f32; ids [n_tokens] int32; y f32
// Needs     table of q4_k and y on 16 bytes; float tables of any width (16-byte accesses when width % 4 == 0)
// Numerics  arithmetic "embedding_f32": q4_k fmaf(d*sc, q, -(dmin*m)) with both products rounded; q6_k (d*sc) * (q-32);
//           q8_0 d * q; floats exact
// Placement workgroup = token, up to 256 threads over the row; no LDS
// Faults    an id outside the table reads nothing and makes the row NaN
#include "kernels/embedding/embedding.hpp"
#include "kernels/hip/launch.hpp"
#include "kernels/tile/extents.hpp"
#include "kernels/tile/weight_piece.hpp"

namespace greta {
namespace {

constexpr int kMaxThreads = 256;

template <class Block>
__device__ __forceinline__ void store_run(float* y, const Words4& run, float scale, float minimum) {
  for (int i = 0; i < 16; i += 4) {
    Pack<float, 4> out;
    for (int k = 0; k < 4; ++k) {
      const auto q = static_cast<float>(run_byte(run, i + k) - PieceOf<Block>::kZero);
      out.v[k] = PieceOf<Block>::kMins ? fmaf(scale, q, -minimum) : scale * q;
    }
    store_pack<4>(y + i, out);
  }
}

template <class Block>
__global__ GRETA_LAUNCH_BOUNDS(kMaxThreads, 4) void embedding_kernel(const Block* table, const int32_t* ids, float* y,
                                                                     int64_t n_vocab, int row_blocks) {
  using Piece = PieceOf<Block>;
  const int id = ids[blockIdx.x];
  const bool inside = id >= 0 && id < n_vocab;
  const int n_values = row_blocks * (kSuperblock / Piece::kBlocks);
  table += (inside ? id : 0) * static_cast<int64_t>(row_blocks);
  y += static_cast<int64_t>(blockIdx.x) * n_values;
  // Rows of Q8_0 may end within a superblock; its pieces are whole blocks, so counting pieces is enough.
  for (int item = static_cast<int>(threadIdx.x); item < n_values / 32; item += static_cast<int>(blockDim.x)) {
    const int superblock = item / kPieces, piece = item % kPieces;
    WeightPiece p = load_piece<Block>(table + superblock * Piece::kBlocks, piece);
    if (!inside) p.d = hip::bits_float(0x7fc00000u);
    float* const out = y + superblock * kSuperblock;
    store_run<Block>(out + Piece::lo_at(piece), p.lo, Piece::kBlocks > 1 ? p.d : p.d * static_cast<float>(p.scale_lo),
                     p.dmin * static_cast<float>(p.min_lo));
    store_run<Block>(out + Piece::hi_at(piece), p.hi, Piece::kBlocks > 1 ? p.d : p.d * static_cast<float>(p.scale_hi),
                     p.dmin * static_cast<float>(p.min_hi));
  }
}

template <class T, int kElements>
__global__ GRETA_LAUNCH_BOUNDS(kMaxThreads, 8) void embedding_float_kernel(const T* table, const int32_t* ids, float* y,
                                                                           int64_t n_vocab, int width) {
  const int id = ids[blockIdx.x];
  const bool inside = id >= 0 && id < n_vocab;
  table += (inside ? id : 0) * static_cast<int64_t>(width);
  y += static_cast<int64_t>(blockIdx.x) * width;
  for (int c = static_cast<int>(threadIdx.x) * kElements; c < width; c += static_cast<int>(blockDim.x) * kElements) {
    Pack<float, kElements> values = load_floats<kElements>(table + c);
    for (int i = 0; i < kElements; ++i)
      if (!inside) values.v[i] = hip::bits_float(0x7fc00000u);
    store_pack<kElements>(y + c, values);
  }
}

unsigned threads_for(int64_t items) { return items <= 64 ? 64 : items <= 128 ? 128 : kMaxThreads; }

template <class Block>
void launch_blocks(hip::Stream& stream, const EmbeddingProblem& p, const EmbeddingArgs& args) {
  const auto table = args.table.as<const Block>("embedding: table");
  require_aligned("embedding: table", table.data(), PieceOf<Block>::kAlign);
  require_aligned("embedding: y", args.y.data(), 16);
  hip::launch(stream,
              {concat("embedding_v1<", dtype_name(p.weights), ">"),
               dim3(grid_extent("embedding: n_tokens", p.n_tokens)), dim3(threads_for(p.width / 32)), 0, p.n_tokens},
              &embedding_kernel<Block>, hip::in("table", table, static_cast<size_t>(p.weight_elements())),
              hip::in("ids", args.ids, static_cast<size_t>(p.n_tokens)),
              hip::out("y", args.y, static_cast<size_t>(p.elements())), p.n_vocab,
              int_extent("embedding: width", p.width) / dtype_block_values(p.weights));
}

template <class T>
void launch_floats(hip::Stream& stream, const EmbeddingProblem& p, const EmbeddingArgs& args) {
  const auto table = args.table.as<const T>("embedding: table");
  const bool packs = packs_fit({table.data(), args.y.data()}, p.width, 4);
  hip::launch(stream,
              {concat("embedding_v1<", dtype_name(p.weights), packs ? "" : ",elementwise", ">"),
               dim3(grid_extent("embedding: n_tokens", p.n_tokens)), dim3(threads_for(p.width / (packs ? 4 : 1))), 0,
               p.n_tokens},
              packs ? &embedding_float_kernel<T, 4> : &embedding_float_kernel<T, 1>,
              hip::in("table", table, static_cast<size_t>(p.weight_elements())),
              hip::in("ids", args.ids, static_cast<size_t>(p.n_tokens)),
              hip::out("y", args.y, static_cast<size_t>(p.elements())), p.n_vocab,
              int_extent("embedding: width", p.width));
}

}  // namespace

void embedding_v1(hip::Stream& stream, const EmbeddingProblem& p, const EmbeddingArgs& args) {
  switch (p.weights) {
    case DType::kQ4K:
      return launch_blocks<BlockQ4K>(stream, p, args);
    case DType::kQ6K:
      return launch_blocks<BlockQ6K>(stream, p, args);
    case DType::kQ8_0:
      return launch_blocks<BlockQ8_0>(stream, p, args);
    default:
      with_float_type("embedding: weights", p.weights,
                      [&](auto tag) { launch_floats<typename decltype(tag)::type>(stream, p, args); });
  }
}

}  // namespace greta
