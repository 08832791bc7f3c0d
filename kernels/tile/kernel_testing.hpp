// For tests of kernels only: data, tensors of any dtype, every wave and schedule of the host platform, and the check
// that a refusal says the right words. HIP-free.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "kernels/hip/problem.hpp"
#include "kernels/hip/tensor.hpp"

namespace greta::testing_support {

/// About normal values (a sum of uniform ones) of the given scale; the same for the same seed everywhere.
inline std::vector<float> random_values(size_t count, uint64_t seed, float scale = 1.0f) {
  std::vector<float> values(count);
  uint64_t state = seed * 0x9e3779b97f4a7c15ull + 1;
  for (float& v : values) {
    double sum = 0;
    for (int i = 0; i < 4; ++i) {
      state = state * 6364136223846793005ull + 1442695040888963407ull;
      sum += static_cast<double>(state >> 40) / static_cast<double>(1 << 24) - 0.5;
    }
    v = static_cast<float>(sum * 1.7320508) * scale;
  }
  return values;
}
inline std::vector<uint8_t> random_bytes(size_t count, uint64_t seed) {
  std::vector<uint8_t> bytes(count);
  uint64_t state = seed * 0x9e3779b97f4a7c15ull + 7;
  for (uint8_t& b : bytes) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    b = static_cast<uint8_t>(state >> 56);
  }
  return bytes;
}

/// The value after storage as `dtype` (f16, bf16 or f32).
inline float rounded(DType dtype, float v) {
  if (dtype == DType::kF16) return half_to_float(half_from_float(v));
  if (dtype == DType::kBF16) return bf16_to_float(bf16_from_float(v));
  return v;
}
inline std::vector<float> rounded(DType dtype, std::vector<float> values) {
  for (float& v : values) v = rounded(dtype, v);
  return values;
}

/// A buffer of f16, bf16 or f32 with these values, each rounded.
inline hip::DeviceTensor tensor_of(hip::Stream& stream, const char* name, DType dtype, std::span<const float> values) {
  hip::DeviceTensor tensor(name, dtype, values.size());
  if (dtype == DType::kF32) {
    tensor.upload_bytes(stream, values.data(), values.size_bytes());
  } else {
    std::vector<uint16_t> bits;
    for (const float v : values)
      bits.push_back(dtype == DType::kF16 ? half_from_float(v).bits : bf16_from_float(v).bits);
    tensor.upload_bytes(stream, bits.data(), 2 * bits.size());
  }
  return tensor;
}
inline std::vector<float> floats_of(hip::Stream& stream, const hip::DeviceTensor& tensor) {
  std::vector<float> values(tensor.count());
  if (tensor.dtype() == DType::kF32) {
    tensor.download_bytes(stream, values.data(), tensor.bytes());
    return values;
  }
  std::vector<uint16_t> bits(tensor.count());
  tensor.download_bytes(stream, bits.data(), tensor.bytes());
  for (size_t i = 0; i < bits.size(); ++i)
    values[i] = tensor.dtype() == DType::kF16 ? half_to_float({bits[i]}) : bf16_to_float({bits[i]});
  return values;
}

template <class T>
hip::DeviceBuffer<T> buffer_of(hip::Stream& stream, const char* name, const std::vector<T>& values) {
  hip::DeviceBuffer<T> buffer(name, values.size());
  buffer.upload(stream, values);
  return buffer;
}

/// Bits, with every NaN the same.
inline uint32_t value_bits(float v) { return std::isnan(v) ? 0x7fc00000u : std::bit_cast<uint32_t>(v); }
/// The first place where bits differ, as a message; empty when there is none.
inline std::string difference(std::span<const float> want, std::span<const float> got) {
  if (want.size() != got.size()) return "sizes differ";
  for (size_t i = 0; i < want.size(); ++i)
    if (value_bits(want[i]) != value_bits(got[i]))
      return "[" + std::to_string(i) + "] want " + std::to_string(want[i]) + " got " + std::to_string(got[i]);
  return {};
}

/// f(label) under both waves and three orders of threads and workgroups (on a GPU: once); restores the configuration.
template <class F>
void for_every_schedule(F&& f) {
  struct Restore {
    hip::ExecConfig saved = hip::exec_config();
    ~Restore() { hip::set_exec_config(saved); }
  } restore;
  using Order = hip::ExecConfig::Order;
  const bool host = hip::platform_name() == "host";
  for (const int wave : {64, 32})
    for (const Order order : {Order::kForward, Order::kReverse, Order::kRandom}) {
      hip::ExecConfig config = restore.saved;
      config.wave = wave, config.order = order, config.order_seed = 3;
      if (host) hip::set_exec_config(config);
      f("wave " + std::to_string(wave) + " order " + std::to_string(static_cast<int>(order)));
      if (!host) return;
    }
}

/// f() must throw kInvalidArgument with every one of the words in its message.
template <class F>
void expect_refused(F&& f, std::initializer_list<const char*> words) {
  try {
    f();
    ADD_FAILURE() << "accepted; wanted a refusal that says '" << *words.begin() << "'";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInvalidArgument);
    for (const char* word : words)
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << "no '" << word << "' in: " << error.what();
  }
}

}  // namespace greta::testing_support
