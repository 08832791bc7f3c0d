// A tensor on the host as the device holds it: bytes of a dtype, with a name for itself and for each dimension, so that
// a mismatch can say where it lies: "O[t=17,h=5,d=96]".
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "kernels/hip/dtype.hpp"

namespace greta::verify {

struct Dim {
  std::string name;
  int64_t size = 1;
};

struct Tensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<Dim> dims;  ///< outermost first; sizes in storage elements (blocks for quantised types)
  std::vector<uint8_t> bytes;

  Tensor() = default;
  /// Zero-filled.
  Tensor(std::string tensor_name, DType type, std::vector<Dim> dimensions);

  int64_t count() const;
  int element_bytes() const { return dtype_block_bytes(dtype); }

  /// The element's bits, zero-extended; only for types of at most 4 bytes.
  uint32_t bits(int64_t i) const;
  /// The element as a number, exact. f32, f16, bf16, i8, u8, i32.
  double number(int64_t i) const;
  /// Stores v rounded to the type; integer types want an integer in range.
  void set(int64_t i, float v);

  /// f32, f16, bf16 only.
  std::vector<float> floats() const;
  void set_floats(std::span<const float> values);

  /// "O[t=17,h=5,d=96]".
  std::string place(int64_t i) const;
  /// Index of each dimension, outermost first.
  std::vector<int64_t> coordinates(int64_t i) const;

  template <class T>
  std::span<const T> as() const {
    return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
  template <class T>
  std::span<T> as() {
    return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
};

/// The element as text with its bits: "0.125 (0x3000)".
std::string show(const Tensor& tensor, int64_t i);

/// True for f32, f16 and bf16.
bool is_float(DType type);
/// True when the bits are a NaN of the float type.
bool is_nan(DType type, uint32_t bits);
/// True when the bits are +0 or -0 of the float type.
bool is_zero(DType type, uint32_t bits);
/// Steps between two values of a float type on the line of its numbers; both must be no NaN. -0 and +0 are 0 apart.
uint32_t ulp_distance(DType type, uint32_t a, uint32_t b);

}  // namespace greta::verify
