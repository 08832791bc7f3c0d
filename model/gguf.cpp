#include "model/gguf.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/hip/error.hpp"

namespace greta::model {
namespace {

template <class T>
T load(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

/// The integer or boolean of that type at p.
std::optional<int64_t> load_integer(GgufType type, const std::byte* p) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kBool:
      return load<uint8_t>(p);
    case GgufType::kI8:
      return load<int8_t>(p);
    case GgufType::kU16:
      return load<uint16_t>(p);
    case GgufType::kI16:
      return load<int16_t>(p);
    case GgufType::kU32:
      return load<uint32_t>(p);
    case GgufType::kI32:
      return load<int32_t>(p);
    case GgufType::kI64:
      return load<int64_t>(p);
    case GgufType::kU64: {
      const auto v = load<uint64_t>(p);
      if (v > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
      return static_cast<int64_t>(v);
    }
    default:
      return std::nullopt;
  }
}

uint64_t integer_bytes(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU64:
    case GgufType::kI64:
      return 8;
    default:
      return 4;
  }
}

template <class Item>
const Item* find_by_name(const std::vector<Item>& items, const std::vector<uint32_t>& order, std::string_view name) {
  const auto it = std::lower_bound(order.begin(), order.end(), name,
                                   [&](uint32_t i, std::string_view n) { return items[i].name < n; });
  return it != order.end() && items[*it].name == name ? &items[*it] : nullptr;
}

std::string described(const GgufValue& value) {
  return fmt::format("{} ({})", value.summary(), gguf_type_name(value.type));
}

}  // namespace

std::string gguf_type_name(GgufType type) {
  static constexpr const char* kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                           "bool", "string", "array", "u64", "i64", "f64"};
  const auto number = static_cast<uint32_t>(type);
  return number < std::size(kNames) ? kNames[number] : fmt::format("type {}", number);
}

std::string quoted(std::string_view text) {
  constexpr size_t kShown = 80;
  std::string out = "'";
  for (const char c : text.substr(0, kShown)) {
    if (c >= 0x20 && c < 0x7f) {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  out += text.size() > kShown ? "...'" : "'";
  return out;
}

std::string_view GgufValue::text() const { return {reinterpret_cast<const char*>(raw.data()) + 8, raw.size() - 8}; }

std::optional<int64_t> GgufValue::integer_at(uint64_t i) const {
  return load_integer(element_type, elements().data() + i * integer_bytes(element_type));
}

std::string GgufValue::summary() const {
  switch (type) {
    case GgufType::kString:
      return quoted(text());
    case GgufType::kArray:
      return fmt::format("[{} x {}]", count, gguf_type_name(element_type));
    case GgufType::kF32:
      return fmt::format("{}", load<float>(raw.data()));
    case GgufType::kF64:
      return fmt::format("{}", load<double>(raw.data()));
    case GgufType::kBool:
      return load<uint8_t>(raw.data()) != 0 ? "true" : "false";
    case GgufType::kU64:
      return fmt::format("{}", load<uint64_t>(raw.data()));
    default:
      return fmt::format("{}", load_integer(type, raw.data()).value_or(0));
  }
}

std::string_view GgufStrings::next() {
  const auto length = load<uint64_t>(rest_.data());
  const std::string_view text(reinterpret_cast<const char*>(rest_.data()) + 8, length);
  rest_ = rest_.subspan(8 + length);
  return text;
}

std::string GgufTensor::shape() const {
  return fmt::format("[{}]", fmt::join(std::span(dims).first(static_cast<size_t>(n_dims)), ", "));
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  return find_by_name(tensors_, tensors_by_name_, name);
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const GgufKey* found = find_by_name(keys_, keys_by_name_, key);
  return found != nullptr ? &found->value : nullptr;
}

const GgufValue& GgufFile::require(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) fail(fmt::format("metadata key {} is missing", quoted(key)));
  return *value;
}

std::optional<int64_t> GgufFile::maybe_integer(std::string_view key, int64_t min, int64_t max) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  const bool is_integer = value->type != GgufType::kBool && value->type != GgufType::kF32 &&
                          value->type != GgufType::kF64 && value->type != GgufType::kString &&
                          value->type != GgufType::kArray;
  const auto v = is_integer ? load_integer(value->type, value->raw.data()) : std::nullopt;
  if (!v || *v < min || *v > max)
    fail_key(key, fmt::format("got {}, wanted an integer from {} to {}", described(*value), min, max));
  return v;
}

int64_t GgufFile::integer(std::string_view key, int64_t min, int64_t max) const {
  require(key);
  return *maybe_integer(key, min, max);
}

std::optional<double> GgufFile::maybe_real(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  double v = std::numeric_limits<double>::quiet_NaN();
  if (value->type == GgufType::kF32) v = load<float>(value->raw.data());
  if (value->type == GgufType::kF64) v = load<double>(value->raw.data());
  if (!std::isfinite(v)) fail_key(key, fmt::format("got {}, wanted a finite f32 or f64", described(*value)));
  return v;
}

double GgufFile::real(std::string_view key) const {
  require(key);
  return *maybe_real(key);
}

std::optional<bool> GgufFile::maybe_boolean(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufType::kBool) fail_key(key, fmt::format("got {}, wanted a bool", described(*value)));
  return load<uint8_t>(value->raw.data()) != 0;
}

std::optional<std::string_view> GgufFile::maybe_string(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufType::kString) fail_key(key, fmt::format("got {}, wanted a string", described(*value)));
  return value->text();
}

std::string_view GgufFile::string(std::string_view key) const {
  require(key);
  return *maybe_string(key);
}

const GgufValue* GgufFile::array(std::string_view key, GgufType element_type, bool required) const {
  const GgufValue* value = required ? &require(key) : find(key);
  if (value == nullptr) return nullptr;
  if (value->type != GgufType::kArray || value->element_type != element_type)
    fail_key(key, fmt::format("got {}, wanted an array of {}", described(*value), gguf_type_name(element_type)));
  return value;
}

void GgufFile::fail(std::string_view what) const { throw_invalid(fmt::format("{}: {}", path(), what)); }

void GgufFile::fail_key(std::string_view key, std::string_view what) const {
  fail(fmt::format("metadata key {}: {}", quoted(key), what));
}

}  // namespace greta::model
