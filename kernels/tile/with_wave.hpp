// For launch functions of kernels that are templates on the wave: on host there are two of each.
#pragma once

#include <type_traits>

#include "kernels/hip/hip.hpp"
#include "kernels/hip/runtime.hpp"

namespace greta {

/// Calls f(std::integral_constant<int, wave>{}) with the wave of the device in use.
template <class F>
void with_wave(F&& f) {
#if defined(GRETA_HOST_EXECUTOR)
  if (hip::device_info().wave_size == 64) return f(std::integral_constant<int, 64>{});
  f(std::integral_constant<int, 32>{});
#else
  f(std::integral_constant<int, hip::wave_size()>{});
#endif
}

}  // namespace greta
