#include "model/pretokenizer.hpp"

#include <fmt/format.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <memory>
#include <stdexcept>

namespace greta::model {
namespace {

// White_Space written out: PCRE2's \s is wider (it holds U+180E).
#define GRETA_SPACE R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})"
constexpr char kExpression[] = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^)" GRETA_SPACE
                               R"(\p{L}\p{N}]+[\r\n]*|[)"  //
    GRETA_SPACE R"(]*[\r\n]+|[)" GRETA_SPACE R"(]+(?![^)" GRETA_SPACE R"(])|[)" GRETA_SPACE "]+";
#undef GRETA_SPACE

[[noreturn]] void regex_error(const char* doing, int code) {
  PCRE2_UCHAR message[200];
  pcre2_get_error_message(code, message, sizeof(message));
  throw std::runtime_error(fmt::format("pre-tokenizer: {}: {}", doing, reinterpret_cast<const char*>(message)));
}

struct FreeCode {
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
};
struct FreeContext {
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
};
struct FreeStack {
  void operator()(pcre2_jit_stack* p) const { pcre2_jit_stack_free(p); }
};

const pcre2_code* compiled_expression() {
  static const std::unique_ptr<pcre2_code, FreeCode> code = [] {
    int error = 0;
    PCRE2_SIZE offset = 0;
    std::unique_ptr<pcre2_code, FreeCode> compiled(pcre2_compile(
        reinterpret_cast<PCRE2_SPTR>(kExpression), sizeof(kExpression) - 1, PCRE2_UTF, &error, &offset, nullptr));
    if (!compiled) regex_error(fmt::format("compile at {}", offset).c_str(), error);
    // A library without JIT interprets: the same answers, slower.
    const int jit = pcre2_jit_compile(compiled.get(), PCRE2_JIT_COMPLETE);
    if (jit < 0 && jit != PCRE2_ERROR_JIT_BADOPTION) regex_error("compile to machine code", jit);
    return compiled;
  }();
  return code.get();
}

/// `text` is valid UTF-8.
void split_valid(std::string_view text, const std::function<void(std::string_view)>& piece) {
  const pcre2_code* code = compiled_expression();
  const std::unique_ptr<pcre2_match_data, FreeMatch> match(pcre2_match_data_create_from_pattern(code, nullptr));
  const std::unique_ptr<pcre2_match_context, FreeContext> context(pcre2_match_context_create(nullptr));
  const std::unique_ptr<pcre2_jit_stack, FreeStack> stack(pcre2_jit_stack_create(32 << 10, 16 << 20, nullptr));
  pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(match.get());
  for (size_t position = 0; position < text.size();) {
    // Anchored: the expression matches at every position, as any character belongs to one of its classes. NO_UTF_CHECK:
    // the text was checked once; PCRE2 would check it again for every piece, quadratic in the length.
    constexpr uint32_t kOptions = PCRE2_ANCHORED | PCRE2_NO_UTF_CHECK;
    int n = pcre2_match(code, subject, text.size(), position, kOptions, match.get(), context.get());
    if (n == PCRE2_ERROR_JIT_STACKLIMIT)
      n = pcre2_match(code, subject, text.size(), position, kOptions | PCRE2_NO_JIT, match.get(), context.get());
    if (n < 0) regex_error(fmt::format("match at byte {}", position).c_str(), n);
    piece(text.substr(position, ends[1] - position));
    position = ends[1];
  }
}

/// Bytes of the UTF-8 character at the start of text, 0 if there is none.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto tail = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned first = byte(0), second = byte(1);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first < 0xe0) return tail(1) ? 2 : 0;
  if (first >= 0xe0 && first < 0xf0) {
    const bool in_range = tail(1) && !(first == 0xe0 && second < 0xa0) && !(first == 0xed && second >= 0xa0);
    return in_range && tail(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first < 0xf5) {
    const bool in_range = tail(1) && !(first == 0xf0 && second < 0x90) && !(first == 0xf4 && second >= 0x90);
    return in_range && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

size_t valid_utf8_prefix(std::string_view text) {
  size_t n = 0;
  while (n < text.size()) {
    const size_t length = utf8_length(text.substr(n));
    if (length == 0) break;
    n += length;
  }
  return n;
}

void split_llama_bpe(std::string_view text, const std::function<void(std::string_view)>& piece) {
  while (!text.empty()) {
    const size_t valid = valid_utf8_prefix(text);
    split_valid(text.substr(0, valid), piece);
    text.remove_prefix(valid);
    size_t invalid = 0;
    while (invalid < text.size() && utf8_length(text.substr(invalid)) == 0) ++invalid;
    if (invalid > 0) piece(text.substr(0, invalid));
    text.remove_prefix(invalid);
  }
}

}  // namespace greta::model
