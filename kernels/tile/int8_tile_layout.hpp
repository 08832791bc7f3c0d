// How int8 operand tiles lie in LDS (int8_tile.hpp), as numbers. HIP-free.
#pragma once

#include <cstdint>

namespace greta {

namespace int8_layout {
inline constexpr int kStepOf64KiB = 64, kStrideOf64KiB = 64 + 8;       // gfx942 and host
inline constexpr int kStepOf227KiB = 128, kStrideOf227KiB = 128 + 16;  // sm_90a
}  // namespace int8_layout

#if defined(__CUDACC__)
inline constexpr int kInt8Step = int8_layout::kStepOf227KiB, kInt8Stride = int8_layout::kStrideOf227KiB;
#else
inline constexpr int kInt8Step = int8_layout::kStepOf64KiB, kInt8Stride = int8_layout::kStrideOf64KiB;
#endif

}  // namespace greta
