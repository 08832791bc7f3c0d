// Cuts text into the pieces that byte-pair merges do not cross, by the expression of Llama 3 ("llama-bpe"):
//   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
// with \s meaning the characters of Unicode's White_Space property. PCRE2, compiled to machine code where it can be.
#pragma once

#include <functional>
#include <string_view>

namespace greta::model {

/// Calls piece(p) for consecutive parts of text that together are the whole of it. Each maximal run of bytes that is no
/// valid UTF-8 is a piece of its own. Linear in the length of the text.
void split_llama_bpe(std::string_view text, const std::function<void(std::string_view)>& piece);

/// Length of the longest valid UTF-8 prefix (shortest forms only, no surrogates, at most U+10FFFF).
size_t valid_utf8_prefix(std::string_view text);

}  // namespace greta::model
