// Element types of tensors, and the 16-bit storage types with their conversions for host code. HIP-free.
//
// half_t and bf16_t store; arithmetic happens in float. Both conversions to 16 bits round to nearest even and quieten
// NaN, on every platform, so that a tensor's bits do not depend on where it was rounded. Kernels use the same names
// through kernels/hip/hip.hpp, which maps the conversions to the platform's instructions where their bits are the same.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace greta {

enum class DType : uint8_t { kF32, kF16, kBF16, kI8, kI32, kU8, kF64, kI64, kQ4K, kQ6K, kQ8_0, kQ8Act256, kQ8Act32 };

/// "f32", "f16", "bf16", "i8", "i32", "u8", "f64", "i64", "q4_k", "q6_k", "q8_0", "q8_act256", "q8_act32".
std::string_view dtype_name(DType type);
/// The type of that name; throws kInvalidArgument listing the names there are.
DType dtype_from_name(std::string_view name);
/// Values held by one storage element of the type: 1, or 256 (q4_k, q6_k, q8_act256) or 32 (q8_0, q8_act32).
int dtype_block_values(DType type);
/// Bytes of one storage element (a block for quantised types).
int dtype_block_bytes(DType type);

/// IEEE binary16 and bfloat16 as stored. Plain data; no operators on purpose.
struct half_t {
  uint16_t bits;
};
struct bf16_t {
  uint16_t bits;
};

/// Host conversions (not for kernels). Exact widening; narrowing to nearest even, NaN stays a quiet NaN, overflow to
/// infinity.
float half_to_float(half_t h);
half_t half_from_float(float f);

inline float bf16_to_float(bf16_t b) {
  const uint32_t bits = static_cast<uint32_t>(b.bits) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}
inline bf16_t bf16_from_float(float f) {
  uint32_t u;
  std::memcpy(&u, &f, 4);
  if ((u & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((u >> 16) | 0x40u)};
  return {static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
}

/// Generic spellings for host templates over the storage type.
inline float to_f32(float v) { return v; }
inline float to_f32(half_t v) { return half_to_float(v); }
inline float to_f32(bf16_t v) { return bf16_to_float(v); }
template <class T>
T from_f32(float v);
template <>
inline float from_f32<float>(float v) {
  return v;
}
template <>
inline half_t from_f32<half_t>(float v) {
  return half_from_float(v);
}
template <>
inline bf16_t from_f32<bf16_t>(float v) {
  return bf16_from_float(v);
}

/// dtype_of<T>: the DType of a C++ element type; specialised for the quantised blocks in kernels/tile/quant_blocks.hpp.
template <class T>
struct dtype_of;
#define GRETA_DTYPE_OF(type, dtype)              \
  template <>                                    \
  struct dtype_of<type> {                        \
    static constexpr DType value = DType::dtype; \
  }
GRETA_DTYPE_OF(float, kF32);
GRETA_DTYPE_OF(double, kF64);
GRETA_DTYPE_OF(half_t, kF16);
GRETA_DTYPE_OF(bf16_t, kBF16);
GRETA_DTYPE_OF(int8_t, kI8);
GRETA_DTYPE_OF(uint8_t, kU8);
GRETA_DTYPE_OF(int32_t, kI32);
GRETA_DTYPE_OF(int64_t, kI64);

}  // namespace greta
