// Byte-level BPE as Llama 3 uses it: text to token ids and back.
//
// Keys  tokenizer.ggml.model "gpt2", tokenizer.ggml.pre "llama-bpe" (or its older name "llama3")
//       tokenizer.ggml.tokens [string], .merges ["left right"], .token_type [i32, optional: 1 normal, 2 unknown,
//       3 control, 4 user-defined, 5 unused, 6 byte], .bos_token_id, .eos_token_id, .eot_token_id,
//       .add_bos_token [true], .add_eos_token [false]
// Encoding
//   1. Control and user-defined tokens that stand in the text are taken first, leftmost and then longest.
//   2. The text between them is cut into pieces by the llama-bpe expression (pretokenizer.hpp).
//   3. A piece that is itself a token is taken whole. Otherwise its bytes are merged: the pair of lowest rank first,
//      leftmost among equals, until no pair is in the table. n log n in the length of a piece.
//   4. bos_token_id comes first when add_bos_token holds, eos_token_id last when add_eos_token does.
//   Bytes that are not UTF-8 are encoded one by one, so decode(encode(x)) is x for any bytes (but for control tokens
//   in it).
// Decoding gives the bytes of the tokens; control tokens give none.
// Errors  kInvalidArgument naming the key, the element and what is wanted, for a table that is not sound: a byte
//         without a token, duplicate tokens, a merge of unknown tokens, an id out of range, lengths that differ.
// Memory  below 48 MiB at the largest table accepted (2^20 tokens, 2^20 merges); the texts stay in the file.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/gguf.hpp"

namespace greta::model {

class Tokenizer {
 public:
  explicit Tokenizer(const GgufFile& file);

  struct Options {
    bool add_bos = true;        ///< false: never; true: as the file says
    bool parse_special = true;  ///< false: "<|eot_id|>" in the text is ordinary text
  };
  std::vector<int32_t> encode(std::string_view text, const Options& options) const;
  std::vector<int32_t> encode(std::string_view text) const { return encode(text, Options()); }

  /// The bytes of the ids, without control tokens; kInvalidArgument naming an id that is no token.
  std::string decode(std::span<const int32_t> ids) const;
  /// The bytes of one token (empty for control tokens): text streams by appending these.
  std::string piece(int32_t id) const;

  int64_t n_tokens() const { return static_cast<int64_t>(texts_.size()); }
  int64_t n_merges() const { return static_cast<int64_t>(merges_.size()); }
  /// As the table spells it.
  std::string_view token_text(int32_t id) const { return texts_[static_cast<size_t>(id)]; }
  bool is_control(int32_t id) const;
  bool adds_bos() const { return add_bos_; }
  std::optional<int32_t> bos_id() const { return bos_id_; }
  std::optional<int32_t> eos_id() const { return eos_id_; }
  /// Tokens that end a generated text: eos_token_id and eot_token_id, where the file has them.
  const std::vector<int32_t>& end_ids() const { return end_ids_; }

 private:
  struct Merge {
    int32_t left, right, result;
  };
  struct Workspace;

  void read_tokens();
  void read_types();
  void read_merges();
  void read_special_ids();
  int32_t id_of(std::string_view spelling) const;                       ///< -1: no token
  int32_t rank_of(int32_t left, int32_t right) const;                   ///< -1: no merge
  int32_t special_at(std::string_view text, bool parse_control) const;  ///< at its start; -1: none
  void encode_text(std::string_view text, Workspace& work, std::vector<int32_t>& ids) const;
  void merge_bytes(std::string_view piece, Workspace& work, std::vector<int32_t>& ids) const;
  void append_piece(int32_t id, std::string& to) const;

  GgufFile file_;                        ///< keeps the texts alive
  std::vector<std::string_view> texts_;  ///< by id, as spelt in the file
  std::vector<uint8_t> types_;
  std::vector<int32_t> id_slots_;  ///< open addressing over texts_; -1 is empty
  size_t longest_text_ = 0;
  std::vector<Merge> merges_;         ///< by rank
  std::vector<int32_t> merge_slots_;  ///< open addressing over merges_
  std::array<int32_t, 256> byte_ids_;
  /// Lengths of the control and user-defined tokens that start with a byte, longest first.
  std::array<std::vector<uint32_t>, 256> special_lengths_;
  bool add_bos_ = true, add_eos_ = false;
  std::optional<int32_t> bos_id_, eos_id_;
  std::vector<int32_t> end_ids_;
};

/// For verbs that are given ids: refuses a damaged tokenizer as Tokenizer does, and lets a file pass that has none or
/// one of another kind.
void check_tokenizer(const GgufFile& file);

}  // namespace greta::model
