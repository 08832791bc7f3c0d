// exp2 of kernels, chosen by ExpMode:
//   kPortable  exp2_portable.hpp: one sequence of IEEE operations, the same bits on host, gfx942 and sm_90a
//   kHardware  the device's own instruction (v_exp_f32, ex2.approx): faster, about 1 ulp, results below 2^-126 flush to
//              zero; the same bits on one device always, not across devices. Not on host.
#pragma once

#include <type_traits>

#include "kernels/hip/hip.hpp"
#include "kernels/hip/ladder.hpp"
#include "kernels/tile/exp2_portable.hpp"

namespace greta {

template <ExpMode kMode>
__device__ __forceinline__ float exp2(float x) {
#if !defined(GRETA_HOST_EXECUTOR)
  if constexpr (kMode == ExpMode::kHardware) return hip::exp2_hw(x);
#endif
  static_assert(kMode == ExpMode::kPortable || kMode == ExpMode::kHardware);
  return exp2_portable(x);
}

/// Calls f(std::integral_constant<ExpMode, mode>{}) for launch functions. Throws kInvalidArgument naming `what` for
/// kHardware on host.
template <class F>
void with_exp_mode([[maybe_unused]] const char* what, ExpMode mode, F&& f) {
  if (mode == ExpMode::kPortable) return f(std::integral_constant<ExpMode, ExpMode::kPortable>{});
#if defined(GRETA_HOST_EXECUTOR)
  throw_invalid(std::string(what) + ": exp must be portable on the host platform, which has no hardware exp2");
#else
  f(std::integral_constant<ExpMode, ExpMode::kHardware>{});
#endif
}

/// For kernel names in records: "" or ",exp_hw".
inline const char* exp_mode_suffix(ExpMode mode) { return mode == ExpMode::kHardware ? ",exp_hw" : ""; }

}  // namespace greta
