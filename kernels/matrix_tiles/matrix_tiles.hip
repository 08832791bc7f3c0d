// One wave a tile: fragments filled by the maps of kernels/hip/fragment.hpp, one matrix instruction, fragments stored.
#include "kernels/matrix_tiles/matrix_tiles.hpp"

#include "kernels/hip/launch.hpp"

namespace greta {
namespace {

template <class T>
__global__ GRETA_LAUNCH_BOUNDS(64, 1) void tiles_kernel(const T* a, const T* b, const float* c, float* d) {
  const int wave = hip::wave_size(), lane = hip::lane_id();
  const int64_t tile = static_cast<int64_t>(blockIdx.x) * 256;
  hip::FragmentA<T> fa{};
  hip::FragmentB<T> fb{};
  hip::FragmentC fc{};
  for (int i = 0; i < hip::tile_elements(wave); ++i) {
    fa.v[i] = a[tile + hip::tile_a_row(wave, lane, i) * 16 + hip::tile_a_k(wave, lane, i)];
    fb.v[i] = b[tile + hip::tile_b_k(wave, lane, i) * 16 + hip::tile_b_col(wave, lane, i)];
    fc.v[i] = c[tile + hip::tile_c_row(wave, lane, i) * 16 + hip::tile_c_col(wave, lane, i)];
  }
  const hip::FragmentC fd = hip::mma_16x16x16(fa, fb, fc);
  for (int i = 0; i < hip::tile_elements(wave); ++i)
    d[tile + hip::tile_c_row(wave, lane, i) * 16 + hip::tile_c_col(wave, lane, i)] = fd.v[i];
}

__global__ GRETA_LAUNCH_BOUNDS(64, 1) void tiles_i8_kernel(const int8_t* a, const int8_t* b, const int32_t* c,
                                                           int32_t* d) {
  const int wave = hip::wave_size(), lane = hip::lane_id();
  const int64_t tile = static_cast<int64_t>(blockIdx.x) * 256;
  hip::FragmentA8 fa{};
  hip::FragmentB8 fb{};
  hip::FragmentC8 fc{};
  for (int i = 0; i < 2 * hip::tile_elements(wave); ++i) {
    fa.v[i] = a[2 * tile + hip::tile8_a_row(wave, lane, i) * 32 + hip::tile8_a_k(wave, lane, i)];
    fb.v[i] = b[2 * tile + hip::tile8_b_k(wave, lane, i) * 16 + hip::tile8_b_col(wave, lane, i)];
  }
  for (int i = 0; i < hip::tile_elements(wave); ++i)
    fc.v[i] = c[tile + hip::tile_c_row(wave, lane, i) * 16 + hip::tile_c_col(wave, lane, i)];
  const hip::FragmentC8 fd = hip::mma_16x16x32(fa, fb, fc);
  for (int i = 0; i < hip::tile_elements(wave); ++i)
    d[tile + hip::tile_c_row(wave, lane, i) * 16 + hip::tile_c_col(wave, lane, i)] = fd.v[i];
}

__global__ GRETA_LAUNCH_BOUNDS(64, 1) void tiles_i8_32_kernel(const int8_t* a, const int8_t* b, const int32_t* c,
                                                              int32_t* d) {
  const int wave = hip::wave_size(), lane = hip::lane_id();
  const int64_t tile = static_cast<int64_t>(blockIdx.x) * 1024;
  hip::FragmentA8x32 fa{};
  hip::FragmentB8x32 fb{};
  hip::FragmentC8x32 fc{};
  for (int i = 0; i < 2 * hip::tile_elements(wave); ++i) {
    fa.v[i] = a[tile / 2 + hip::tile32_a_row(wave, lane, i) * 16 + hip::tile32_a_k(wave, lane, i)];
    fb.v[i] = b[tile / 2 + hip::tile32_b_k(wave, lane, i) * 32 + hip::tile32_b_col(wave, lane, i)];
  }
  for (int i = 0; i < 4 * hip::tile_elements(wave); ++i)
    fc.v[i] = c[tile + hip::tile32_c_row(wave, lane, i) * 32 + hip::tile32_c_col(wave, lane, i)];
  const hip::FragmentC8x32 fd = hip::mma_32x32x16(fa, fb, fc);
  for (int i = 0; i < 4 * hip::tile_elements(wave); ++i)
    d[tile + hip::tile32_c_row(wave, lane, i) * 32 + hip::tile32_c_col(wave, lane, i)] = fd.v[i];
}

hip::LaunchShape one_wave_a_tile(std::string name, int64_t n_tiles) {
  return {std::move(name), dim3(static_cast<unsigned>(n_tiles)),
          dim3(static_cast<unsigned>(hip::device_info().wave_size)), 0, n_tiles};
}

}  // namespace

template <class T>
void multiply_tiles(hip::Stream& stream, int64_t n_tiles, hip::DeviceView<const T> a, hip::DeviceView<const T> b,
                    hip::DeviceView<const float> c, hip::DeviceView<float> d) {
  const auto n = static_cast<size_t>(n_tiles) * 256;
  hip::launch(stream, one_wave_a_tile(concat("matrix_tiles<", dtype_name(dtype_of<T>::value), ">"), n_tiles),
              &tiles_kernel<T>, hip::in("a", a, n), hip::in("b", b, n), hip::in("c", c, n), hip::out("d", d, n));
}
template void multiply_tiles(hip::Stream&, int64_t, hip::DeviceView<const half_t>, hip::DeviceView<const half_t>,
                             hip::DeviceView<const float>, hip::DeviceView<float>);
template void multiply_tiles(hip::Stream&, int64_t, hip::DeviceView<const bf16_t>, hip::DeviceView<const bf16_t>,
                             hip::DeviceView<const float>, hip::DeviceView<float>);

void multiply_tiles_i8(hip::Stream& stream, const ByteTile& tile, int64_t n_tiles, hip::DeviceView<const int8_t> a,
                       hip::DeviceView<const int8_t> b, hip::DeviceView<const int32_t> c, hip::DeviceView<int32_t> d) {
  const bool wide = tile.rows == 32;
  const auto n = static_cast<size_t>(n_tiles * tile.rows);
  const auto depth = static_cast<size_t>(tile.depth), rows = static_cast<size_t>(tile.rows);
  hip::launch(stream, one_wave_a_tile(concat("matrix_tiles<", tile.name, ">"), n_tiles),
              wide ? &tiles_i8_32_kernel : &tiles_i8_kernel, hip::in("a", a, n * depth), hip::in("b", b, n * depth),
              hip::in("c", c, n * rows), hip::out("d", d, n * rows));
}

}  // namespace greta
