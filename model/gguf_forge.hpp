// For tests: a GGUF file taken apart so that any part of it can be made wrong, and put together again without a check.
#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/gguf.hpp"

namespace greta::model {

/// Text of the little-endian bytes of a number.
template <class T>
std::string le(T value) {
  std::string s(sizeof(T), '\0');
  std::memcpy(s.data(), &value, sizeof(T));
  return s;
}
/// A string as GGUF stores it.
inline std::string gguf_text(std::string_view text) { return le<uint64_t>(text.size()) + std::string(text); }

struct GgufForge {
  struct Key {
    std::string name;
    uint32_t type;
    std::string raw;
  };
  struct Tensor {
    std::string name;
    std::vector<uint64_t> dims;
    uint32_t type;
    uint64_t offset;
    std::string data;
  };
  std::string magic = "GGUF";
  uint32_t version = 3;
  int64_t more_tensors = 0, more_keys = 0;  ///< added to the true counts (and may wrap)
  std::vector<Key> keys;
  std::vector<Tensor> tensors;

  explicit GgufForge(const GgufFile& file) {
    const auto text = [](std::span<const std::byte> b) {
      return std::string(reinterpret_cast<const char*>(b.data()), b.size());
    };
    for (const GgufKey& k : file.keys())
      keys.push_back({std::string(k.name), static_cast<uint32_t>(k.value.type), text(k.value.raw)});
    for (const GgufTensor& t : file.tensors()) {
      Tensor tensor = {std::string(t.name), {}, gguf_tensor_type(t.type), 0, text(t.data)};
      for (int i = 0; i < t.n_dims; ++i) tensor.dims.push_back(static_cast<uint64_t>(t.dims[i]));
      tensors.push_back(std::move(tensor));
    }
    place();
  }

  /// Offsets one after the other, 32-byte aligned.
  void place() {
    uint64_t offset = 0;
    for (Tensor& t : tensors) {
      t.offset = offset;
      offset += (t.data.size() + 31) / 32 * 32;
    }
  }
  Key& key(const std::string& name) {
    for (Key& k : keys)
      if (k.name == name) return k;
    throw std::logic_error("no key " + name);
  }
  Tensor& tensor(const std::string& name) {
    for (Tensor& t : tensors)
      if (t.name == name) return t;
    throw std::logic_error("no tensor " + name);
  }
  void drop_key(const std::string& name) {
    std::erase_if(keys, [&](const Key& k) { return k.name == name; });
  }
  void set(const std::string& name, GgufType type, const std::string& raw) {
    drop_key(name);
    keys.push_back({name, static_cast<uint32_t>(type), raw});
  }
  void set_u32(const std::string& name, uint32_t value) { set(name, GgufType::kU32, le(value)); }
  void set_f32(const std::string& name, float value) { set(name, GgufType::kF32, le(value)); }
  void set_text(const std::string& name, std::string_view value) { set(name, GgufType::kString, gguf_text(value)); }
  /// Replaces element i of an array of strings.
  void set_string_at(const std::string& name, uint64_t i, std::string_view value) {
    std::string& raw = key(name).raw;
    size_t at = 12;
    uint64_t length = 0;
    for (uint64_t k = 0;; ++k, at += 8 + length) {
      std::memcpy(&length, raw.data() + at, 8);
      if (k == i) break;
    }
    raw.replace(at, 8 + length, gguf_text(value));
  }

  std::string bytes() const {
    std::string out = magic + le(version) + le<uint64_t>(tensors.size() + static_cast<uint64_t>(more_tensors)) +
                      le<uint64_t>(keys.size() + static_cast<uint64_t>(more_keys));
    for (const Key& k : keys) out += gguf_text(k.name) + le(k.type) + k.raw;
    for (const Tensor& t : tensors) {
      out += gguf_text(t.name) + le(static_cast<uint32_t>(t.dims.size()));
      for (const uint64_t d : t.dims) out += le(d);
      out += le(t.type) + le(t.offset);
    }
    out.resize((out.size() + 31) / 32 * 32);
    for (const Tensor& t : tensors) {
      out += t.data;
      out.resize((out.size() + 31) / 32 * 32);
    }
    return out;
  }
};

/// Parses bytes that end exactly where the vector's memory ends, so that a sanitizer sees the first byte too many.
inline GgufFile parse_text(std::string_view text, std::string name = "hostile.gguf") {
  const auto* p = reinterpret_cast<const std::byte*>(text.data());
  return GgufFile::parse(FileBytes::own(std::move(name), std::vector<std::byte>(p, p + text.size())));
}

}  // namespace greta::model
