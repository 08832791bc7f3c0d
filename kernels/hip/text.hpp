// Message text for .hip files: concat("head_dim must be ", 128, ", got ", p.head_dim). .hip files do not include fmt,
// which nvcc 13 cannot compile (fmt 9: a consteval constructor that calls a function nvcc makes non-constexpr).
#pragma once

#include <charconv>
#include <string>
#include <string_view>
#include <type_traits>

namespace greta {

/// Strings as they are; booleans as true and false; numbers in the shortest form that reads back as the same value.
template <class T>
void append_text(std::string& to, const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    to += value ? "true" : "false";
  } else if constexpr (std::is_same_v<T, char>) {
    to += value;
  } else if constexpr (std::is_enum_v<T>) {
    append_text(to, static_cast<long long>(value));
  } else if constexpr (std::is_arithmetic_v<T>) {
    char digits[64];
    to.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  } else {
    to += std::string_view(value);
  }
}

template <class... T>
std::string concat(const T&... parts) {
  std::string text;
  (append_text(text, parts), ...);
  return text;
}

}  // namespace greta
