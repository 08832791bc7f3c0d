// Operands straight from memory against plain loops: every row meets every row, whatever the wave does with the depths.
#include "kernels/tile/int8_operand.hpp"

#include "kernels/hip/launch.hpp"
#include "kernels/tile/kernel_testing.hpp"

namespace greta {
namespace {
using namespace testing_support;

/// c[i][j] = sum of the 32 products of row i of a and row j of b. `shifted`: of b the neighbouring run's bytes, as a
/// lane would have them that took another for its own.
__global__ void rows_kernel(const int8_t* a, const int8_t* b, int32_t* c, int shifted) {
  Int8Bytes of_a = {}, of_b = {};
  for (int slot = 0; slot < int8_slots(); ++slot) {
    const int run = int8_run();
    of_a[slot] = load8<8>(a + 32 * int8_row(slot) + 8 * run);
    of_b[slot] = load8<2>(b + 34 * int8_row(slot) + 2 + 8 * ((run + shifted) % 4));
  }
  const hip::FragmentC8 sums = hip::mma_16x16x32(int8_a(of_a), int8_b(of_b), hip::FragmentC8{});
  const int wave = hip::wave_size(), lane = hip::lane_id();
  for (int i = 0; i < hip::tile_elements(wave); ++i)
    c[16 * hip::tile_c_row(wave, lane, i) + int8_column(int8_column_slot(i))] = sums.v[i];
}

TEST(Int8Operand, RowsStraightFromMemory) {
  for_every_schedule([&](const std::string& label) {
    hip::Stream stream;
    const std::vector<uint8_t> a = random_bytes(16 * 32, 1), b = random_bytes(16 * 34, 2);  // rows of b as Q8_0 blocks
    const auto da = buffer_of(stream, "a", std::vector<int8_t>(a.begin(), a.end()));
    const auto db = buffer_of(stream, "b", std::vector<int8_t>(b.begin(), b.end()));
    hip::DeviceBuffer<int32_t> dc("c", 256);
    for (const int shifted : {0, 1}) {
      hip::launch(stream, {"rows", dim3(1), dim3(static_cast<unsigned>(hip::device_info().wave_size))}, &rows_kernel,
                  hip::in("a", da.cview(), a.size()), hip::in("b", db.cview(), b.size()), hip::out("c", dc.view(), 256),
                  shifted);
      const std::vector<int32_t> c = dc.to_host(stream);
      int differ = 0;
      for (size_t i = 0; i < 16; ++i)
        for (size_t j = 0; j < 16; ++j) {
          int want = 0;
          for (size_t k = 0; k < 32; ++k)
            want += static_cast<int8_t>(a[32 * i + k]) * static_cast<int8_t>(b[34 * j + 2 + k]);
          differ += c[16 * i + j] != want;
        }
      if (shifted)
        EXPECT_GT(differ, 200) << label;
      else
        EXPECT_EQ(differ, 0) << label;
    }
  });
}

}  // namespace
}  // namespace greta
