#include <fmt/format.h>

#include <algorithm>

#include "kernels/hip/error.hpp"
#include "model/byte_alphabet.hpp"
#include "model/make.hpp"

namespace greta::model {
namespace {

constexpr int64_t kMinTokens = 266, kMaxTokens = 900'000;
constexpr std::string_view kLetters = "etaoinshrdlcumwfgypbvkjxqz";  // by frequency in English

/// Adds merges until the table holds `limit` tokens.
class Merges {
 public:
  Merges(SyntheticVocabulary& vocabulary, size_t limit) : v_(vocabulary), limit_(limit) {}
  bool full() const { return v_.tokens.size() >= limit_; }
  /// Merges each of `left` with each of `right`; returns the new tokens.
  std::vector<std::string> cross(const std::vector<std::string>& left, const std::vector<std::string>& right) {
    std::vector<std::string> made;
    for (const std::string& l : left) {
      for (const std::string& r : right) {
        if (full()) return made;
        v_.merges.push_back(l + " " + r);
        v_.tokens.push_back(l + r);
        made.push_back(l + r);
      }
    }
    return made;
  }

 private:
  SyntheticVocabulary& v_;
  size_t limit_;
};

}  // namespace

SyntheticVocabulary make_vocabulary(int64_t n_tokens) {
  if (n_tokens < kMinTokens || n_tokens > kMaxTokens)
    throw_invalid(
        fmt::format("synthetic vocabulary: vocab_size: got {}, wanted {} to {}", n_tokens, kMinTokens, kMaxTokens));
  SyntheticVocabulary v;
  const int64_t n_control = std::clamp<int64_t>(n_tokens / 64, 10, 256);
  const auto n_normal = static_cast<size_t>(n_tokens - n_control);
  // Bytes in the usual order: those that spell themselves, then the others.
  for (const bool itself : {true, false}) {
    for (int b = 0; b < 256; ++b) {
      if (spells_itself(b) != itself) continue;
      v.tokens.emplace_back();
      append_spelling(v.tokens.back(), static_cast<uint8_t>(b));
    }
  }
  // Level by level; strings of a level have one length and one beginning, so no token is made twice.
  std::vector<std::string> letters, space(1);
  for (const char c : kLetters) letters.emplace_back(1, c);
  append_spelling(space[0], ' ');
  Merges merges(v, n_normal);
  const auto space1 = merges.cross(space, letters);
  const auto two = merges.cross(letters, letters);
  const auto space2 = merges.cross(space1, letters);
  merges.cross(two, letters);
  merges.cross(space2, letters);
  merges.cross(two, two);
  merges.cross(space2, two);
  v.types.assign(n_normal, 1);

  const char* names[] = {"begin_of_text",
                         "end_of_text",
                         "reserved_special_token_0",
                         "reserved_special_token_1",
                         "finetune_right_pad_id",
                         "reserved_special_token_2",
                         "start_header_id",
                         "end_header_id",
                         "eom_id",
                         "eot_id",
                         "python_tag"};
  for (int64_t i = 0; i < n_control; ++i) {
    const auto k = static_cast<size_t>(i);
    v.tokens.push_back(k < std::size(names) ? fmt::format("<|{}|>", names[k])
                                            : fmt::format("<|reserved_special_token_{}|>", i - 8));
    v.types.push_back(3);
  }
  v.bos_id = static_cast<uint32_t>(n_normal);
  v.eos_id = v.bos_id + 1;
  v.eot_id = v.bos_id + 9;
  return v;
}

}  // namespace greta::model
