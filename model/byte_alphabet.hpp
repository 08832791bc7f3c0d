// The alphabet in which byte-level BPE vocabularies spell bytes: printable Latin-1 characters stand for themselves, the
// other 68 bytes for U+0100 onwards in ascending order, so a space is U+0120. (GPT-2's published byte encoder.)
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace greta::model {

constexpr bool spells_itself(int byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

/// Code point that stands for each byte: below U+0144, so one or two bytes of UTF-8.
inline constexpr std::array<uint16_t, 256> kByteToCodePoint = [] {
  std::array<uint16_t, 256> table = {};
  uint16_t next = 256;
  for (int b = 0; b < 256; ++b) table[static_cast<size_t>(b)] = spells_itself(b) ? static_cast<uint16_t>(b) : next++;
  return table;
}();

/// The byte a code point stands for, or -1.
inline constexpr std::array<int16_t, 324> kCodePointToByte = [] {
  std::array<int16_t, 324> table = {};
  for (auto& entry : table) entry = -1;
  for (int b = 0; b < 256; ++b) table[kByteToCodePoint[static_cast<size_t>(b)]] = static_cast<int16_t>(b);
  return table;
}();
static_assert(kByteToCodePoint[' '] == 0x120 && kByteToCodePoint['\n'] == 0x10a && kCodePointToByte[0x143] == 0xad);

/// Appends the spelling of one byte.
inline void append_spelling(std::string& to, uint8_t byte) {
  const uint16_t c = kByteToCodePoint[byte];
  if (c < 0x80) {
    to += static_cast<char>(c);
  } else {
    to += static_cast<char>(0xc0 | c >> 6);
    to += static_cast<char>(0x80 | (c & 0x3f));
  }
}

/// Appends the bytes that `text` spells. False, with `to` unchanged, if a character of it stands for no byte.
inline bool append_spelled(std::string& to, std::string_view text) {
  const size_t before = to.size();
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned c = static_cast<unsigned char>(text[i]);
    if (c >= 0xc0 && c < 0xe0 && i + 1 < text.size()) {
      c = (c & 0x1f) << 6 | (static_cast<unsigned char>(text[++i]) & 0x3f);
    } else if (c >= 0x80) {
      c = 0xffff;
    }
    if (c >= kCodePointToByte.size() || kCodePointToByte[c] < 0) {
      to.resize(before);
      return false;
    }
    to += static_cast<char>(kCodePointToByte[c]);
  }
  return true;
}

}  // namespace greta::model
