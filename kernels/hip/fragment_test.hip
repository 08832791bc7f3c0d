// Matrix tiles against the fragment maps: small integers, whose products and sums are exact in every arithmetic, so
// that one wrong lane, row, column or depth changes an answer. And the maps themselves: each covers its tile once.
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "kernels/hip/launch.hpp"

namespace greta::hip {
namespace {

TEST(Fragment, EveryMapCoversItsTileOnce) {
  for (int wave : {64, 32}) {
    std::set<int> a, b, c, a8, b8, a32, b32, c32;
    for (int lane = 0; lane < wave; ++lane) {
      for (int i = 0; i < tile_elements(wave); ++i) {
        a.insert(tile_a_row(wave, lane, i) * 16 + tile_a_k(wave, lane, i));
        b.insert(tile_b_k(wave, lane, i) * 16 + tile_b_col(wave, lane, i));
        c.insert(tile_c_row(wave, lane, i) * 16 + tile_c_col(wave, lane, i));
      }
      for (int i = 0; i < 2 * tile_elements(wave); ++i) {
        a8.insert(tile8_a_row(wave, lane, i) * 32 + tile8_a_k(wave, lane, i));
        b8.insert(tile8_b_k(wave, lane, i) * 16 + tile8_b_col(wave, lane, i));
        a32.insert(tile32_a_row(wave, lane, i) * 16 + tile32_a_k(wave, lane, i));
        b32.insert(tile32_b_k(wave, lane, i) * 32 + tile32_b_col(wave, lane, i));
      }
      for (int i = 0; i < 4 * tile_elements(wave); ++i)
        c32.insert(tile32_c_row(wave, lane, i) * 32 + tile32_c_col(wave, lane, i));
    }
    for (const auto& [map, size] :
         {std::pair(&a, 256), std::pair(&b, 256), std::pair(&c, 256), std::pair(&a8, 512), std::pair(&b8, 512),
          std::pair(&a32, 512), std::pair(&b32, 512), std::pair(&c32, 1024)}) {
      EXPECT_EQ(static_cast<int>(map->size()), size) << "wave " << wave;
      EXPECT_EQ(*map->begin(), 0);
      EXPECT_EQ(*map->rbegin(), size - 1);
    }
  }
}

template <class T>
__global__ void tile_kernel(const float* a, const float* b, const float* c, float* d) {
  const int wave = wave_size(), lane = lane_id();
  FragmentA<T> fa{};
  FragmentB<T> fb{};
  FragmentC fc{};
  for (int i = 0; i < tile_elements(wave); ++i) {
    fa.v[i] = from_float<T>(a[tile_a_row(wave, lane, i) * 16 + tile_a_k(wave, lane, i)]);
    fb.v[i] = from_float<T>(b[tile_b_k(wave, lane, i) * 16 + tile_b_col(wave, lane, i)]);
    fc.v[i] = c[tile_c_row(wave, lane, i) * 16 + tile_c_col(wave, lane, i)];
  }
  const FragmentC fd = mma_16x16x16(fa, fb, fc);
  for (int i = 0; i < tile_elements(wave); ++i) d[tile_c_row(wave, lane, i) * 16 + tile_c_col(wave, lane, i)] = fd.v[i];
}

__global__ void tile8_kernel(const int8_t* a, const int8_t* b, const int* c, int* d) {
  const int wave = wave_size(), lane = lane_id();
  FragmentA8 fa{};
  FragmentB8 fb{};
  FragmentC8 fc{};
  for (int i = 0; i < 2 * tile_elements(wave); ++i) {
    fa.v[i] = a[tile8_a_row(wave, lane, i) * 32 + tile8_a_k(wave, lane, i)];
    fb.v[i] = b[tile8_b_k(wave, lane, i) * 16 + tile8_b_col(wave, lane, i)];
  }
  for (int i = 0; i < tile_elements(wave); ++i) fc.v[i] = c[tile_c_row(wave, lane, i) * 16 + tile_c_col(wave, lane, i)];
  const FragmentC8 fd = mma_16x16x32(fa, fb, fc);
  for (int i = 0; i < tile_elements(wave); ++i) d[tile_c_row(wave, lane, i) * 16 + tile_c_col(wave, lane, i)] = fd.v[i];
}

__global__ void tile32_kernel(const int8_t* a, const int8_t* b, const int* c, int* d, int swapped) {
  const int wave = wave_size(), lane = lane_id();
  FragmentA8x32 fa{};
  FragmentB8x32 fb{};
  FragmentC8x32 fc{};
  for (int i = 0; i < 2 * tile_elements(wave); ++i) {
    fa.v[i] = a[tile32_a_row(wave, lane, i) * 16 + tile32_a_k(wave, lane, i)];
    const int k = tile32_b_k(wave, lane, i);
    fb.v[i] = b[(swapped ? k ^ 1 : k) * 32 + tile32_b_col(wave, lane, i)];
  }
  for (int i = 0; i < 4 * tile_elements(wave); ++i)
    fc.v[i] = c[tile32_c_row(wave, lane, i) * 32 + tile32_c_col(wave, lane, i)];
  const FragmentC8x32 fd = mma_32x32x16(fa, fb, fc);
  for (int i = 0; i < 4 * tile_elements(wave); ++i)
    d[tile32_c_row(wave, lane, i) * 32 + tile32_c_col(wave, lane, i)] = fd.v[i];
}

/// v of the lane that each exchange reads.
__global__ void exchange_kernel(int* to) {
  const int lane = lane_id(), wave = wave_size();
  const int read[5] = {wave_exchange<1>(lane), wave_exchange<2>(lane), wave_exchange<7>(lane), wave_exchange<8>(lane),
                       wave_exchange<16>(lane)};
  for (int i = 0; i < 5; ++i) to[i * wave + lane] = read[i];
}

class Tile : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    saved_ = exec_config();
    ExecConfig config = saved_;
    config.wave = GetParam();
    set_exec_config(config);
    ASSERT_EQ(device_info().wave_size, GetParam());
  }
  void TearDown() override { set_exec_config(saved_); }
  unsigned wave() const { return static_cast<unsigned>(GetParam()); }
  ExecConfig saved_;
};

/// Row r, column c of a matrix without symmetry: swapping any two indices, or transposing, is seen in the product.
int entry(int r, int c, int seed) { return (r * 7 + c * 3 + r * c * 5 + seed) % 15 - 7; }

template <class T>
void tile_multiplies(unsigned wave, const char* name) {
  Stream stream;
  std::vector<float> a(256), b(256), c(256);
  for (int r = 0; r < 16; ++r)
    for (int k = 0; k < 16; ++k) {
      a[static_cast<size_t>(r * 16 + k)] = static_cast<float>(entry(r, k, 1));
      b[static_cast<size_t>(r * 16 + k)] = static_cast<float>(entry(r, k, 4));
      c[static_cast<size_t>(r * 16 + k)] = static_cast<float>(100 * entry(r, k, 9));
    }
  DeviceBuffer<float> da("a", 256), db("b", 256), dc("c", 256), dd("d", 256);
  da.upload(stream, a), db.upload(stream, b), dc.upload(stream, c);
  launch(stream, {concat("tile<", name, ">"), dim3(1), dim3(wave)}, &tile_kernel<T>, in("a", da.cview(), 256),
         in("b", db.cview(), 256), in("c", dc.cview(), 256), out("d", dd.view(), 256));
  const auto d = dd.to_host(stream);
  for (size_t r = 0; r < 16; ++r)
    for (size_t col = 0; col < 16; ++col) {
      float want = c[r * 16 + col];
      for (size_t k = 0; k < 16; ++k) want += a[r * 16 + k] * b[k * 16 + col];
      EXPECT_EQ(d[r * 16 + col], want) << name << " row " << r << " column " << col;
    }
}

TEST_P(Tile, HalfProductsLandWhereTheMapsSay) { tile_multiplies<half_t>(wave(), "f16"); }
TEST_P(Tile, Bfloat16ProductsLandWhereTheMapsSay) { tile_multiplies<bf16_t>(wave(), "bf16"); }

TEST_P(Tile, ByteProductsLandWhereTheMapsSay) {
  Stream stream;
  std::vector<int8_t> a(512), b(512);
  std::vector<int> c(256);
  for (int i = 0; i < 512; ++i) {
    a[static_cast<size_t>(i)] = static_cast<int8_t>(i * 37 % 256 - 128);
    b[static_cast<size_t>(i)] = static_cast<int8_t>(i * i * 11 % 256 - 128);
  }
  for (int i = 0; i < 256; ++i) c[static_cast<size_t>(i)] = 1000 * entry(i / 16, i % 16, 2);
  DeviceBuffer<int8_t> da("a", 512), db("b", 512);
  DeviceBuffer<int> dc("c", 256), dd("d", 256);
  da.upload(stream, a), db.upload(stream, b), dc.upload(stream, c);
  launch(stream, {"tile<i8>", dim3(1), dim3(wave())}, &tile8_kernel, in("a", da.cview(), 512), in("b", db.cview(), 512),
         in("c", dc.cview(), 256), out("d", dd.view(), 256));
  const auto d = dd.to_host(stream);
  for (size_t r = 0; r < 16; ++r)
    for (size_t col = 0; col < 16; ++col) {
      int want = c[r * 16 + col];
      for (size_t k = 0; k < 32; ++k) want += a[r * 32 + k] * b[k * 16 + col];
      EXPECT_EQ(d[r * 16 + col], want) << "row " << r << " column " << col;
    }
}

TEST_P(Tile, ByteProductsOfDepth16LandWhereTheMapsSayAndASwappedDepthShows) {
  Stream stream;
  std::vector<int8_t> a(512), b(512);
  std::vector<int> c(1024);
  for (int i = 0; i < 512; ++i) {
    a[static_cast<size_t>(i)] = static_cast<int8_t>(i * 37 % 256 - 128);
    b[static_cast<size_t>(i)] = static_cast<int8_t>(i * i * 11 % 256 - 128);
  }
  for (int i = 0; i < 1024; ++i) c[static_cast<size_t>(i)] = 1000 * entry(i / 32, i % 32, 2);
  DeviceBuffer<int8_t> da("a", 512), db("b", 512);
  DeviceBuffer<int> dc("c", 1024), dd("d", 1024);
  da.upload(stream, a), db.upload(stream, b), dc.upload(stream, c);
  for (const int swapped : {0, 1}) {
    launch(stream, {"tile32<i8>", dim3(1), dim3(wave())}, &tile32_kernel, in("a", da.cview(), 512),
           in("b", db.cview(), 512), in("c", dc.cview(), 1024), out("d", dd.view(), 1024), swapped);
    const auto d = dd.to_host(stream);
    size_t wrong = 0;
    for (size_t r = 0; r < 32; ++r)
      for (size_t col = 0; col < 32; ++col) {
        int want = c[r * 32 + col];
        for (size_t k = 0; k < 16; ++k) want += a[r * 16 + k] * b[k * 32 + col];
        wrong += d[r * 32 + col] != want;
      }
    if (swapped)
      EXPECT_GT(wrong, 700u);
    else
      EXPECT_EQ(wrong, 0u);
  }
}

TEST_P(Tile, ExchangesReadTheLaneOfTheirMask) {
  Stream stream;
  DeviceBuffer<int> to("to", 5 * wave());
  launch(stream, {"exchange", dim3(1), dim3(wave())}, &exchange_kernel, out("to", to.view(), 5 * wave()));
  const auto read = to.to_host(stream);
  const unsigned masks[] = {1, 2, 7, 8, 16};
  for (unsigned i = 0; i < 5; ++i)
    for (unsigned lane = 0; lane < wave(); ++lane)
      EXPECT_EQ(static_cast<unsigned>(read[i * wave() + lane]), lane ^ masks[i]) << "mask " << masks[i];
}

std::vector<int> waves() {
#if defined(GRETA_HOST_EXECUTOR)
  return {64, 32};
#else
  return {wave_size()};
#endif
}
INSTANTIATE_TEST_SUITE_P(Wave, Tile, testing::ValuesIn(waves()),
                         [](const auto& p) { return "w" + std::to_string(p.param); });

}  // namespace
}  // namespace greta::hip
