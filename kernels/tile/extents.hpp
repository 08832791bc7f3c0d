// What launch functions need to shape a launch: checked narrowing of extents, the choice between wide and element-wise
// kernels, the switch from a run-time dtype to a C++ type. Host code, HIP-free.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>

#include "kernels/hip/dtype.hpp"
#include "kernels/hip/runtime.hpp"
#include "kernels/hip/text.hpp"

namespace greta {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// An extent that a kernel takes as int; throws kInvalidArgument naming it when it does not fit.
inline int int_extent(const char* what, int64_t value) {
  if (value < 0 || value > std::numeric_limits<int>::max())
    throw_invalid(concat(what, " must be below 2^31, got ", value));
  return static_cast<int>(value);
}
/// Workgroups along x.
inline unsigned grid_extent(const char* what, int64_t value) { return static_cast<unsigned>(int_extent(what, value)); }

/// Workgroups for `items` pieces of work when each loops over them with stride gridDim: enough to fill the device
/// (`per_compute_unit` on each), so that a workgroup of the host executor amortises its start over many pieces.
inline unsigned looping_grid(int64_t items, int per_compute_unit) {
  const int64_t filled = static_cast<int64_t>(std::max(1, hip::device_info().compute_units)) * per_compute_unit;
  return static_cast<unsigned>(std::clamp<int64_t>(items, 1, filled));
}

/// True when every address is a multiple of `bytes` and rows of `width` elements keep it so in packs of `elements`.
inline bool packs_fit(std::initializer_list<const void*> addresses, int64_t width, int elements, size_t bytes = 16) {
  bool fit = width % elements == 0;
  for (const void* address : addresses) fit = fit && reinterpret_cast<uintptr_t>(address) % bytes == 0;
  return fit;
}

/// Throws kInvalidArgument when a kernel that has no element-wise variant gets an address it cannot load from.
inline void require_aligned(const char* what, const void* address, size_t bytes) {
  if (const auto at = reinterpret_cast<uintptr_t>(address); at % bytes)
    throw_invalid(concat(what, " must start on a multiple of ", bytes, " bytes, got ", at % bytes,
                         " past one; allocate it by itself or slice it at a multiple"));
}

template <class T>
struct TypeTag {
  using type = T;
};
/// Calls f(TypeTag<float | half_t | bf16_t>{}); throws kInvalidArgument naming `what` for other dtypes.
template <class F>
void with_float_type(const char* what, DType dtype, F&& f) {
  switch (dtype) {
    case DType::kF32:
      return f(TypeTag<float>{});
    case DType::kF16:
      return f(TypeTag<half_t>{});
    case DType::kBF16:
      return f(TypeTag<bf16_t>{});
    default:
      throw_invalid(concat(what, ": dtype must be f16, bf16 or f32, got ", dtype_name(dtype)));
  }
}

}  // namespace greta
