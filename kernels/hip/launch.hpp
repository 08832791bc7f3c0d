// launch(): the only way a kernel starts. For .hip files (the launch functions of operators); .cpp files call those.
//
//   launch(stream, {"rms_norm<f16>", grid, block, /*lds*/ 0, /*rows*/ p.n_rows}, &rms_norm_kernel<half_t>,
//          in("x", x, p.n_rows * p.width), in("weight", weight, p.width), out("y", y, p.n_rows * p.width), p.width,
//          p.eps);
//
// Each buffer argument names itself and says how many elements the problem will touch. Before the launch it is checked
// that the view's allocation is live, that [view, view + needed) lies inside it, that the allocation's dtype is the
// kernel's, and that the pointer is aligned to its element; that the grid, block and LDS fit the device; and that no
// out argument overlaps another argument. The kernel gets plain pointers.
#pragma once

#include <array>
#include <tuple>
#include <type_traits>

#include "kernels/hip/hip.hpp"
#include "kernels/hip/launch_shape.hpp"
#include "kernels/hip/runtime.hpp"
#include "kernels/hip/text.hpp"

namespace greta::hip {

template <class T>
struct Argument {
  const char* name;
  const char* direction;
  DeviceView<T> view;
  size_t needed;
};
/// Read by the kernel, written by it, or both. `needed` is in elements. A null view is accepted only when needed is 0.
template <class T>
Argument<const T> in(const char* name, DeviceView<T> view, size_t needed) {
  return {name, "in", {view.data(), view.count(), view.id()}, needed};
}
template <class T>
Argument<T> out(const char* name, DeviceView<T> view, size_t needed) {
  return {name, "out", view, needed};
}
template <class T>
Argument<T> inout(const char* name, DeviceView<T> view, size_t needed) {
  return {name, "inout", view, needed};
}

namespace detail {

template <class T>
T* value_of(const Argument<T>& a) {
  return a.view.data();
}
template <class T>
const T& value_of(const T& scalar) {
  return scalar;
}

template <class T>
ErasedArgument erase(const Argument<T>& a) {
  using E = std::remove_const_t<T>;
  return {a.name,      a.direction, a.view.data(), a.view.count(), a.needed, dtype_of<E>::value, sizeof(E), alignof(E),
          a.view.id(), {}};
}
template <class T>
ErasedArgument erase(const T& scalar) {
  static_assert(!std::is_pointer_v<T>, "hand buffers to launch() through in(), out() or inout()");
  ErasedArgument e;
  if constexpr (std::is_enum_v<T> || std::is_arithmetic_v<T>) {
    e.text = concat(scalar);
  } else {
    static_assert(std::is_trivially_copyable_v<T>, "kernel arguments are plain data");
    e.text = "struct";
  }
  return e;
}

template <class T>
constexpr Parameter parameter() {
  using Kind = Parameter::Kind;
  constexpr bool is_integer = std::is_integral_v<T> || std::is_enum_v<T>;
  constexpr bool is_signed = std::is_signed_v<T> || std::is_enum_v<T>;
  if constexpr (std::is_pointer_v<T>) return {Kind::kPointer, sizeof(T)};
  if constexpr (std::is_same_v<T, float>) return {Kind::kF32, sizeof(T)};
  if constexpr (is_integer && sizeof(T) == 4) return {is_signed ? Kind::kI32 : Kind::kU32, sizeof(T)};
  if constexpr (is_integer && sizeof(T) == 8) return {is_signed ? Kind::kI64 : Kind::kU64, sizeof(T)};
  return {Kind::kBytes, sizeof(T)};
}

}  // namespace detail

template <class... P, class... A>
void launch(Stream& stream, const LaunchShape& shape, void (*kernel)(P...), const A&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "one launch argument for each kernel parameter");
  const std::array<ErasedArgument, sizeof...(A)> erased = {detail::erase(arguments)...};
  begin_launch(stream, shape, erased);
  std::tuple<P...> values(detail::value_of(arguments)...);
  std::apply(
      [&](auto&... value) {
        std::array<void*, sizeof...(P)> pointers = {const_cast<void*>(static_cast<const void*>(&value))...};
        struct Context {
          void (*kernel)(P...);
          std::tuple<P...>* values;
        } context{kernel, &values};
        auto invoke = [](void* c) {
          auto* ctx = static_cast<Context*>(c);
          std::apply(ctx->kernel, *ctx->values);
        };
        static constexpr std::array<Parameter, sizeof...(P)> parameters = {detail::parameter<P>()...};
        observed_dispatch(stream, shape, erased,
                          {reinterpret_cast<const void*>(kernel), pointers.data(), invoke, &context, parameters});
      },
      values);
  end_launch(stream, shape);
}

}  // namespace greta::hip
