// SwiGLU of one element, as the kernels share it. Arithmetic: swiglu_problem.hpp. For .hip files.
#pragma once

#include "kernels/tile/exp2.hpp"

namespace greta {

inline constexpr float kMinusLog2E = -0x1.715476p+0f;

template <ExpMode kExp>
__device__ __forceinline__ float silu_times(float gate, float up) {
  float t = gate * kMinusLog2E;
  t = t < -126.0f ? -126.0f : t;  // selects keep NaN
  t = t > 127.0f ? 127.0f : t;
  const float s = gate / (1.0f + exp2<kExp>(t));
  return s * up;
}

}  // namespace greta
