// Matrix tiles as wave collectives: the fragments of all lanes are gathered into the tile, multiplied, and handed back.
#include "kernels/hip/host/executor.hpp"
#include "kernels/hip/matrix_model.hpp"

namespace greta::hip::host {
namespace {

template <class T>
struct Operands {
  const T* a;
  const T* b;
  const float* c;
  float* d;
};

template <class T>
void perform_tile(void* const* operands, int lanes) {
  uint16_t a[kTile * kTile] = {}, b[kTile * kTile] = {};
  float c[kTile * kTile] = {};
  const int n = tile_elements(lanes);
  for (int lane = 0; lane < lanes; ++lane) {
    const auto& mine = *static_cast<Operands<T>*>(operands[lane]);
    for (int i = 0; i < n; ++i) {
      a[tile_a_row(lanes, lane, i) * kTile + tile_a_k(lanes, lane, i)] = mine.a[i].bits;
      b[tile_b_k(lanes, lane, i) * kTile + tile_b_col(lanes, lane, i)] = mine.b[i].bits;
      c[tile_c_row(lanes, lane, i) * kTile + tile_c_col(lanes, lane, i)] = mine.c[i];
    }
  }
  matrix_multiply(t_worker->config().matrix_model, dtype_of<T>::value, kTile, kTile, kTile, a, b, c, c);
  for (int lane = 0; lane < lanes; ++lane) {
    const auto& mine = *static_cast<Operands<T>*>(operands[lane]);
    for (int i = 0; i < n; ++i) mine.d[i] = c[tile_c_row(lanes, lane, i) * kTile + tile_c_col(lanes, lane, i)];
  }
}

struct Operands8 {
  const int8_t* a;
  const int8_t* b;
  const int32_t* c;
  int32_t* d;
};

/// The maps of an int8 tile of kSide x kSide x kDepth.
struct Map16 {
  static constexpr int kSide = kTile, kDepth = kTileDepth8, kOfC = 1;
  static constexpr auto a_row = tile8_a_row, a_k = tile8_a_k, b_k = tile8_b_k, b_col = tile8_b_col;
  static constexpr auto c_row = tile_c_row, c_col = tile_c_col;
};
struct Map32 {
  static constexpr int kSide = kTile32, kDepth = kTile32Depth, kOfC = 4;
  static constexpr auto a_row = tile32_a_row, a_k = tile32_a_k, b_k = tile32_b_k, b_col = tile32_b_col;
  static constexpr auto c_row = tile32_c_row, c_col = tile32_c_col;
};

/// Rows of A and columns of B side by side as 16-bit numbers, so that a product is a few multiply-adds of vectors.
template <class Map>
void perform_tile8(void* const* operands, int lanes) {
  alignas(32) int16_t a[Map::kSide][Map::kDepth], b[Map::kSide][Map::kDepth];
  const int n = tile_elements(lanes);
  for (int lane = 0; lane < lanes; ++lane) {
    const auto& mine = *static_cast<Operands8*>(operands[lane]);
    for (int i = 0; i < 2 * n; ++i) {
      a[Map::a_row(lanes, lane, i)][Map::a_k(lanes, lane, i)] = mine.a[i];
      b[Map::b_col(lanes, lane, i)][Map::b_k(lanes, lane, i)] = mine.b[i];
    }
  }
  for (int lane = 0; lane < lanes; ++lane) {
    const auto& mine = *static_cast<Operands8*>(operands[lane]);
    for (int i = 0; i < Map::kOfC * n; ++i) {
      const int16_t* row = a[Map::c_row(lanes, lane, i)];
      const int16_t* col = b[Map::c_col(lanes, lane, i)];
      int32_t sum = 0;  // at most 32 * 2^14
      for (int k = 0; k < Map::kDepth; ++k) sum += static_cast<int32_t>(row[k]) * col[k];
      mine.d[i] = static_cast<int32_t>(static_cast<uint32_t>(mine.c[i]) + static_cast<uint32_t>(sum));
    }
  }
}

}  // namespace

void matrix_f16(const half_t* a, const half_t* b, const float* c, float* d, Site site) {
  Operands<half_t> mine{a, b, c, d};
  t_worker->meet(&mine, perform_tile<half_t>, "mma_16x16x16", site);
}
void matrix_bf16(const bf16_t* a, const bf16_t* b, const float* c, float* d, Site site) {
  Operands<bf16_t> mine{a, b, c, d};
  t_worker->meet(&mine, perform_tile<bf16_t>, "mma_16x16x16", site);
}
void matrix_i8(const int8_t* a, const int8_t* b, const int32_t* c, int32_t* d, Site site) {
  Operands8 mine{a, b, c, d};
  t_worker->meet(&mine, perform_tile8<Map16>, "mma_16x16x32", site);
}
void matrix_i8_32(const int8_t* a, const int8_t* b, const int32_t* c, int32_t* d, Site site) {
  Operands8 mine{a, b, c, d};
  t_worker->meet(&mine, perform_tile8<Map32>, "mma_32x32x16", site);
}

}  // namespace greta::hip::host
