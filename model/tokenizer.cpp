#include "model/tokenizer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <functional>

#include "kernels/hip/error.hpp"
#include "model/byte_alphabet.hpp"
#include "model/config.hpp"
#include "model/pretokenizer.hpp"

namespace greta::model {
namespace {

constexpr uint64_t kMaxMerges = 1 << 20;
constexpr size_t kMaxTokenBytes = 1 << 16;  // the longest of Llama 3, 128 spaces, takes 256

enum TokenType : uint8_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

/// Slots for n entries, at most half of them filled.
size_t n_slots(uint64_t n) { return std::bit_ceil(std::max<uint64_t>(16, 2 * n)); }

size_t hash_pair(int32_t left, int32_t right) {
  const uint64_t key = static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  const uint64_t mixed = (key ^ key >> 29) * 0xbf58476d1ce4e5b9ull;
  return static_cast<size_t>(mixed ^ mixed >> 32);
}

}  // namespace

/// Buffers that one encode() reuses from piece to piece.
struct Tokenizer::Workspace {
  struct Symbol {
    int32_t id, previous, next;  ///< id -1: merged into the one before
  };
  /// A merge that may happen; stale when one of its symbols has changed since.
  struct Candidate {
    int32_t rank, position, left, right;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };
  std::string spelling;
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;
};

Tokenizer::Tokenizer(const GgufFile& file) : file_(file) {
  const auto expect = [&](const char* key, std::string_view value, std::string_view other) {
    const std::string_view got = file_.string(key);
    if (got != value && got != other) file_.fail_key(key, fmt::format("got {}, wanted '{}'", quoted(got), value));
  };
  expect("tokenizer.ggml.model", "gpt2", "gpt2");
  expect("tokenizer.ggml.pre", "llama-bpe", "llama3");
  read_tokens();
  read_types();
  read_merges();
  read_special_ids();
}

void Tokenizer::read_tokens() {
  constexpr const char* kKey = "tokenizer.ggml.tokens";
  const GgufValue* tokens = file_.array(kKey, GgufType::kString, true);
  if (tokens->count < 1 || tokens->count > static_cast<uint64_t>(kMaxVocab))
    file_.fail_key(kKey, fmt::format("got {} tokens, wanted 1 to {}", tokens->count, kMaxVocab));
  texts_.reserve(tokens->count);
  id_slots_.assign(n_slots(tokens->count), -1);
  GgufStrings strings(*tokens);
  for (uint64_t i = 0; i < tokens->count; ++i) {
    const std::string_view text = strings.next();
    if (text.empty() || text.size() > kMaxTokenBytes)
      file_.fail_key(kKey, fmt::format("token {} has {} bytes, wanted 1 to {}", i, text.size(), kMaxTokenBytes));
    const size_t mask = id_slots_.size() - 1;
    size_t slot = std::hash<std::string_view>()(text) & mask;
    for (; id_slots_[slot] >= 0; slot = (slot + 1) & mask)
      if (texts_[static_cast<size_t>(id_slots_[slot])] == text)
        file_.fail_key(
            kKey, fmt::format("tokens {} and {} are both {}; wanted each text once", id_slots_[slot], i, quoted(text)));
    id_slots_[slot] = static_cast<int32_t>(i);
    texts_.push_back(text);
    longest_text_ = std::max(longest_text_, text.size());
  }
  for (int b = 0; b < 256; ++b) {
    std::string spelling;
    append_spelling(spelling, static_cast<uint8_t>(b));
    byte_ids_[static_cast<size_t>(b)] = id_of(spelling);
    if (byte_ids_[static_cast<size_t>(b)] < 0)
      file_.fail_key(kKey, fmt::format("no token for byte 0x{:02x}, spelt {}; a byte-level table needs all 256", b,
                                       quoted(spelling)));
  }
}

void Tokenizer::read_types() {
  constexpr const char* kKey = "tokenizer.ggml.token_type";
  types_.assign(texts_.size(), kNormal);
  const GgufValue* types = file_.array(kKey, GgufType::kI32, false);
  if (types != nullptr) {
    if (types->count != texts_.size())
      file_.fail_key(kKey, fmt::format("got {} types, wanted one for each of {} tokens", types->count, texts_.size()));
    for (size_t i = 0; i < types_.size(); ++i) {
      const int64_t type = *types->integer_at(i);
      if (type < kNormal || type > kByte)
        file_.fail_key(kKey, fmt::format("type of token {} is {}, wanted 1 to 6", i, type));
      types_[i] = static_cast<uint8_t>(type);
    }
  }
  for (size_t i = 0; i < types_.size(); ++i) {
    if (types_[i] != kControl && types_[i] != kUserDefined) continue;
    auto& lengths = special_lengths_[static_cast<unsigned char>(texts_[i][0])];
    const auto length = static_cast<uint32_t>(texts_[i].size());
    const auto at = std::lower_bound(lengths.begin(), lengths.end(), length, std::greater<>());
    if (at == lengths.end() || *at != length) lengths.insert(at, length);
  }
}

void Tokenizer::read_merges() {
  constexpr const char* kKey = "tokenizer.ggml.merges";
  const GgufValue* merges = file_.array(kKey, GgufType::kString, true);
  if (merges->count > kMaxMerges)
    file_.fail_key(kKey, fmt::format("got {} merges, wanted at most {}", merges->count, kMaxMerges));
  merges_.reserve(merges->count);
  merge_slots_.assign(n_slots(merges->count), -1);
  GgufStrings strings(*merges);
  std::string joined;
  for (uint64_t i = 0; i < merges->count; ++i) {
    const std::string_view text = strings.next();
    const auto refuse = [&](std::string_view what) {
      file_.fail_key(kKey, fmt::format("merge {} {}: {}", i, quoted(text), what));
    };
    const size_t space = text.find(' ');
    if (space == std::string_view::npos || space == 0 || space + 1 == text.size() ||
        text.find(' ', space + 1) != std::string_view::npos)
      refuse("wanted two tokens with one space between them");
    Merge merge;
    merge.left = id_of(text.substr(0, space));
    merge.right = id_of(text.substr(space + 1));
    if (merge.left < 0 || merge.right < 0)
      refuse(fmt::format("{} is no token", merge.left < 0 ? "the first part" : "the second part"));
    joined.assign(text.substr(0, space)).append(text.substr(space + 1));
    merge.result = id_of(joined);
    if (merge.result < 0) refuse("the parts together are no token");
    if (rank_of(merge.left, merge.right) >= 0) refuse("stands in the table twice");
    const size_t mask = merge_slots_.size() - 1;
    size_t slot = hash_pair(merge.left, merge.right) & mask;
    while (merge_slots_[slot] >= 0) slot = (slot + 1) & mask;
    merge_slots_[slot] = static_cast<int32_t>(i);
    merges_.push_back(merge);
  }
}

void Tokenizer::read_special_ids() {
  const auto id = [&](const char* key) -> std::optional<int32_t> {
    const auto value = file_.maybe_integer(key, 0, n_tokens() - 1);
    return value ? std::optional(static_cast<int32_t>(*value)) : std::nullopt;
  };
  bos_id_ = id("tokenizer.ggml.bos_token_id");
  eos_id_ = id("tokenizer.ggml.eos_token_id");
  add_bos_ = file_.maybe_boolean("tokenizer.ggml.add_bos_token").value_or(true);
  add_eos_ = file_.maybe_boolean("tokenizer.ggml.add_eos_token").value_or(false);
  if (add_bos_ && !bos_id_) file_.fail_key("tokenizer.ggml.bos_token_id", "is missing, and add_bos_token is true");
  if (add_eos_ && !eos_id_) file_.fail_key("tokenizer.ggml.eos_token_id", "is missing, and add_eos_token is true");
  for (const auto end : {eos_id_, id("tokenizer.ggml.eot_token_id")})
    if (end && std::find(end_ids_.begin(), end_ids_.end(), *end) == end_ids_.end()) end_ids_.push_back(*end);
}

bool Tokenizer::is_control(int32_t id) const {
  const uint8_t type = types_[static_cast<size_t>(id)];
  return type == kControl || type == kUnknown;
}

int32_t Tokenizer::id_of(std::string_view spelling) const {
  const size_t mask = id_slots_.size() - 1;
  for (size_t slot = std::hash<std::string_view>()(spelling) & mask; id_slots_[slot] >= 0; slot = (slot + 1) & mask)
    if (texts_[static_cast<size_t>(id_slots_[slot])] == spelling) return id_slots_[slot];
  return -1;
}

int32_t Tokenizer::rank_of(int32_t left, int32_t right) const {
  const size_t mask = merge_slots_.size() - 1;
  for (size_t slot = hash_pair(left, right) & mask; merge_slots_[slot] >= 0; slot = (slot + 1) & mask) {
    const Merge& merge = merges_[static_cast<size_t>(merge_slots_[slot])];
    if (merge.left == left && merge.right == right) return merge_slots_[slot];
  }
  return -1;
}

int32_t Tokenizer::special_at(std::string_view text, bool parse_control) const {
  for (const uint32_t length : special_lengths_[static_cast<unsigned char>(text[0])]) {
    if (length > text.size()) continue;
    const int32_t id = id_of(text.substr(0, length));
    if (id < 0) continue;
    const uint8_t type = types_[static_cast<size_t>(id)];
    if (type == kUserDefined || (type == kControl && parse_control)) return id;
  }
  return -1;
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, const Options& options) const {
  if (text.size() >= size_t{1} << 31)
    throw_invalid(fmt::format("{}: text of {} bytes; wanted less than 2 GiB", file_.path(), text.size()));
  Workspace work;
  std::vector<int32_t> ids;
  if (options.add_bos && add_bos_) ids.push_back(*bos_id_);
  size_t start = 0;
  for (size_t i = 0; i < text.size();) {
    const int32_t special = special_at(text.substr(i), options.parse_special);
    if (special < 0) {
      ++i;
      continue;
    }
    encode_text(text.substr(start, i - start), work, ids);
    ids.push_back(special);
    i += texts_[static_cast<size_t>(special)].size();
    start = i;
  }
  encode_text(text.substr(start), work, ids);
  if (options.add_bos && add_eos_) ids.push_back(*eos_id_);
  return ids;
}

void Tokenizer::encode_text(std::string_view text, Workspace& work, std::vector<int32_t>& ids) const {
  split_llama_bpe(text, [&](std::string_view piece) {
    if (piece.size() <= longest_text_) {
      work.spelling.clear();
      for (const char c : piece) append_spelling(work.spelling, static_cast<uint8_t>(c));
      const int32_t whole = id_of(work.spelling);
      if (whole >= 0 && !is_control(whole)) {
        ids.push_back(whole);
        return;
      }
    }
    merge_bytes(piece, work, ids);
  });
}

void Tokenizer::merge_bytes(std::string_view piece, Workspace& work, std::vector<int32_t>& ids) const {
  auto& symbols = work.symbols;
  auto& heap = work.heap;
  const auto n = static_cast<int32_t>(piece.size());
  symbols.clear();
  heap.clear();
  for (int32_t i = 0; i < n; ++i)
    symbols.push_back(
        {byte_ids_[static_cast<unsigned char>(piece[static_cast<size_t>(i)])], i - 1, i + 1 < n ? i + 1 : -1});
  const auto symbol = [&](int32_t i) -> Workspace::Symbol& { return symbols[static_cast<size_t>(i)]; };
  const auto propose = [&](int32_t position) {
    if (position < 0 || symbol(position).next < 0) return;
    const int32_t left = symbol(position).id, right = symbol(symbol(position).next).id;
    const int32_t rank = rank_of(left, right);
    if (rank < 0) return;
    heap.push_back({rank, position, left, right});
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  for (int32_t i = 0; i + 1 < n; ++i) propose(i);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const Workspace::Candidate c = heap.back();
    heap.pop_back();
    Workspace::Symbol& left = symbol(c.position);
    if (left.id != c.left || left.next < 0 || symbol(left.next).id != c.right) continue;
    Workspace::Symbol& right = symbol(left.next);
    left.id = merges_[static_cast<size_t>(c.rank)].result;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) symbol(left.next).previous = c.position;
    propose(left.previous);
    propose(c.position);
  }
  for (int32_t i = 0; i >= 0 && i < n; i = symbol(i).next) ids.push_back(symbol(i).id);
}

void Tokenizer::append_piece(int32_t id, std::string& to) const {
  if (id < 0 || id >= n_tokens())
    throw_invalid(fmt::format("{}: token id {} is out of range; wanted 0 to {}", file_.path(), id, n_tokens() - 1));
  if (is_control(id)) return;
  const std::string_view text = texts_[static_cast<size_t>(id)];
  // User-defined tokens hold plain text; so does a token with a character outside the byte alphabet.
  if (types_[static_cast<size_t>(id)] == kUserDefined || !append_spelled(to, text)) to += text;
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::string out;
  for (const int32_t id : ids) append_piece(id, out);
  return out;
}

std::string Tokenizer::piece(int32_t id) const {
  std::string out;
  append_piece(id, out);
  return out;
}

void check_tokenizer(const GgufFile& file) {
  const auto model = file.maybe_string("tokenizer.ggml.model");
  const auto is_part = [](const GgufKey& key) { return key.name.starts_with("tokenizer.ggml."); };
  const bool has_one = model ? *model == "gpt2" : std::any_of(file.keys().begin(), file.keys().end(), is_part);
  const auto pre = file.maybe_string("tokenizer.ggml.pre");
  if (has_one && (!pre || *pre == "llama-bpe" || *pre == "llama3")) Tokenizer checked(file);
}

}  // namespace greta::model
