#include "verify/tensor.hpp"

#include <fmt/format.h>

#include <cmath>

#include "kernels/hip/error.hpp"

namespace greta::verify {
namespace {

uint32_t sign_mask(DType type) { return type == DType::kF32 ? 0x80000000u : 0x8000u; }
uint32_t infinity_bits(DType type) {
  return type == DType::kF32 ? 0x7f800000u : (type == DType::kF16 ? 0x7c00u : 0x7f80u);
}
/// Position on the line of numbers: negative values below zero, both zeros at 0.
int64_t on_the_line(DType type, uint32_t bits) {
  const uint32_t magnitude = bits & (sign_mask(type) - 1);
  return (bits & sign_mask(type)) ? -static_cast<int64_t>(magnitude) : static_cast<int64_t>(magnitude);
}

}  // namespace

bool is_float(DType type) { return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16; }

bool is_nan(DType type, uint32_t bits) {
  return is_float(type) && (bits & (sign_mask(type) - 1)) > infinity_bits(type);
}

bool is_zero(DType type, uint32_t bits) { return is_float(type) && (bits & (sign_mask(type) - 1)) == 0; }

uint32_t ulp_distance(DType type, uint32_t a, uint32_t b) {
  const int64_t distance = on_the_line(type, a) - on_the_line(type, b);
  return static_cast<uint32_t>(distance < 0 ? -distance : distance);
}

Tensor::Tensor(std::string tensor_name, DType type, std::vector<Dim> dimensions)
    : name(std::move(tensor_name)), dtype(type), dims(std::move(dimensions)) {
  bytes.assign(static_cast<size_t>(count()) * static_cast<size_t>(element_bytes()), 0);
}

int64_t Tensor::count() const {
  int64_t n = 1;
  for (const Dim& d : dims) n *= d.size;
  return n;
}

uint32_t Tensor::bits(int64_t i) const {
  const auto size = static_cast<size_t>(element_bytes());
  if (size > 4) throw_invalid(fmt::format("tensor {}: no bits of a {}", name, dtype_name(dtype)));
  uint32_t out = 0;
  std::memcpy(&out, bytes.data() + static_cast<size_t>(i) * size, size);
  return out;
}

double Tensor::number(int64_t i) const {
  const uint32_t b = bits(i);
  switch (dtype) {
    case DType::kF32: {
      float f;
      std::memcpy(&f, &b, 4);
      return static_cast<double>(f);
    }
    case DType::kF16:
      return static_cast<double>(half_to_float({static_cast<uint16_t>(b)}));
    case DType::kBF16:
      return static_cast<double>(bf16_to_float({static_cast<uint16_t>(b)}));
    case DType::kI8:
      return static_cast<int8_t>(b);
    case DType::kU8:
      return static_cast<uint8_t>(b);
    case DType::kI32:
      return static_cast<int32_t>(b);
    default:
      throw_invalid(fmt::format("tensor {}: a {} is no number", name, dtype_name(dtype)));
  }
}

void Tensor::set(int64_t i, float v) {
  uint8_t* at = bytes.data() + static_cast<size_t>(i) * static_cast<size_t>(element_bytes());
  const auto put = [at](auto value) { std::memcpy(at, &value, sizeof value); };
  switch (dtype) {
    case DType::kF32:
      return put(v);
    case DType::kF16:
      return put(half_from_float(v));
    case DType::kBF16:
      return put(bf16_from_float(v));
    case DType::kI8:
      return put(static_cast<int8_t>(v));
    case DType::kU8:
      return put(static_cast<uint8_t>(v));
    case DType::kI32:
      return put(static_cast<int32_t>(v));
    default:
      throw_invalid(fmt::format("tensor {}: cannot set a {}", name, dtype_name(dtype)));
  }
}

std::vector<float> Tensor::floats() const {
  std::vector<float> out(static_cast<size_t>(count()));
  if (dtype == DType::kF32) {
    std::memcpy(out.data(), bytes.data(), bytes.size());
  } else if (dtype == DType::kF16) {
    for (size_t i = 0; i < out.size(); ++i) out[i] = half_to_float(as<half_t>()[i]);
  } else if (dtype == DType::kBF16) {
    for (size_t i = 0; i < out.size(); ++i) out[i] = bf16_to_float(as<bf16_t>()[i]);
  } else {
    throw_invalid(fmt::format("tensor {}: {} is no float type", name, dtype_name(dtype)));
  }
  return out;
}

void Tensor::set_floats(std::span<const float> values) {
  if (static_cast<int64_t>(values.size()) != count())
    throw_invalid(fmt::format("tensor {}: {} values for {} elements", name, values.size(), count()));
  for (size_t i = 0; i < values.size(); ++i) set(static_cast<int64_t>(i), values[i]);
}

std::vector<int64_t> Tensor::coordinates(int64_t i) const {
  std::vector<int64_t> out(dims.size());
  for (size_t d = dims.size(); d-- > 0;) {
    out[d] = i % dims[d].size;
    i /= dims[d].size;
  }
  return out;
}

std::string Tensor::place(int64_t i) const {
  std::string inside;
  const std::vector<int64_t> at = coordinates(i);
  for (size_t d = 0; d < dims.size(); ++d) inside += fmt::format("{}{}={}", d ? "," : "", dims[d].name, at[d]);
  return fmt::format("{}[{}]", name, inside);
}

std::string show(const Tensor& t, int64_t i) {
  if (!is_float(t.dtype)) return fmt::format("{}", t.number(i));
  const int digits = t.dtype == DType::kF32 ? 9 : 6;
  return fmt::format("{:.{}g} (0x{:0{}x})", t.number(i), digits, t.bits(i), 2 * t.element_bytes());
}

}  // namespace greta::verify
