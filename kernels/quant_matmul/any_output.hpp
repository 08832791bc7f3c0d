// Y of a matmul kernel in any of its three dtypes, so that kernels need no template parameter for it: three pointers,
// two of them null. The branch is uniform and outside the loops. For .hip files of this operator.
#pragma once

#include "kernels/hip/launch.hpp"
#include "kernels/hip/tensor.hpp"

namespace greta {

struct AnyOutput {
  hip::DeviceView<float> f32;
  hip::DeviceView<half_t> f16;
  hip::DeviceView<bf16_t> bf16;
  size_t n = 0;

  AnyOutput() = default;
  /// Throws kInvalidArgument when the view is not of `dtype`.
  AnyOutput(hip::AnyView y, DType dtype, size_t needed) : n(needed) {
    if (dtype == DType::kF32) f32 = y.as<float>("quant_matmul: y");
    if (dtype == DType::kF16) f16 = y.as<half_t>("quant_matmul: y");
    if (dtype == DType::kBF16) bf16 = y.as<bf16_t>("quant_matmul: y");
  }
  auto arg_f32(const char* name = "y") const { return hip::out(name, f32, f32 ? n : 0); }
  auto arg_f16(const char* name = "y") const { return hip::out(name, f16, f16 ? n : 0); }
  auto arg_bf16(const char* name = "y") const { return hip::out(name, bf16, bf16 ? n : 0); }
};

/// Rounded once.
__device__ __forceinline__ void store_any(float* f32, half_t* f16, bf16_t* bf16, int64_t at, float value) {
  if (f32) {
    f32[at] = value;
  } else if (f16) {
    f16[at] = hip::from_float<half_t>(value);
  } else {
    bf16[at] = hip::from_float<bf16_t>(value);
  }
}

}  // namespace greta
