// Many independent tiles, one matrix instruction each: for comparing the instruction with its model
// (verify/matrix_calibration.hpp).
#pragma once

#include "kernels/hip/runtime.hpp"

namespace greta {

/// d[t] = c[t] + a[t] b[t], t < n_tiles. All four [n_tiles][16][16], row-major.
/// T is half_t or bf16_t; one mma_16x16x16 a tile.
template <class T>
void multiply_tiles(hip::Stream& stream, int64_t n_tiles, hip::DeviceView<const T> a, hip::DeviceView<const T> b,
                    hip::DeviceView<const float> c, hip::DeviceView<float> d);

/// The same for bytes, with int32 sums that wrap: mma_16x16x32 or mma_32x32x16.
/// a [n_tiles][rows][depth], b [n_tiles][depth][rows], c and d [n_tiles][rows][rows].
struct ByteTile {
  const char* name;  ///< "i8 16x16x32"
  int rows, depth;
};
inline constexpr ByteTile kByteTiles[] = {{"i8 16x16x32", 16, 32}, {"i8 32x32x16", 32, 16}};
void multiply_tiles_i8(hip::Stream& stream, const ByteTile& tile, int64_t n_tiles, hip::DeviceView<const int8_t> a,
                       hip::DeviceView<const int8_t> b, hip::DeviceView<const int32_t> c, hip::DeviceView<int32_t> d);

}  // namespace greta
