#include "model/tokenizer.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "kernels/hip/error.hpp"
#include "model/pretokenizer.hpp"
#include "reference/random.hpp"

namespace greta::model {
namespace {

const Tokenizer& sample() {
  static const Tokenizer tokenizer(GgufFile::open(GRETA_SOURCE_DIR "/model/samples/sample-llama-a.q4_k_m.gguf"));
  return tokenizer;
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<std::string> pieces(std::string_view text) {
  std::vector<std::string> out;
  split_llama_bpe(text, [&](std::string_view piece) { out.emplace_back(piece); });
  return out;
}

using Ids = std::vector<int32_t>;

TEST(Tokenizer, SampleTextsBothWays) {
  const auto data = nlohmann::json::parse(read_file(GRETA_SOURCE_DIR "/model/samples/tokenization.json"));
  ASSERT_GE(data["cases"].size(), 15u);
  for (const auto& item : data["cases"]) {
    const auto text = item["text"].get<std::string>();
    const auto ids = item["ids"].get<Ids>();
    EXPECT_EQ(sample().encode(text), ids) << text;
    std::string plain = text;  // control tokens are dropped
    for (const char* control : {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"})
      for (size_t at; (at = plain.find(control)) != std::string::npos;) plain.erase(at, std::string(control).size());
    EXPECT_EQ(sample().decode(ids), plain);
  }
}

TEST(Tokenizer, ExpectedPrompt) {
  const auto data = nlohmann::json::parse(read_file(GRETA_SOURCE_DIR "/model/samples/expected.q4_k_m.json"));
  Ids ids = sample().encode(data["text"].get<std::string>());
  ASSERT_GE(ids.size(), 48u);
  ids.resize(48);
  EXPECT_EQ(ids, data["ids"].get<Ids>());
}

TEST(Tokenizer, PiecesByHand) {
  using P = std::vector<std::string>;
  EXPECT_EQ(pieces("Hello world"), (P{"Hello", " world"}));
  EXPECT_EQ(pieces("don't WE'VE"), (P{"don", "'t", " WE", "'VE"}));
  EXPECT_EQ(pieces("12345"), (P{"123", "45"}));
  EXPECT_EQ(pieces("a   b"), (P{"a", "  ", " b"}));
  EXPECT_EQ(pieces("a   "), (P{"a", "   "}));
  EXPECT_EQ(pieces("x \n\n  y"), (P{"x", " \n\n", " ", " y"}));
  EXPECT_EQ(pieces("...\n\nz"), (P{"...\n\n", "z"}));
  EXPECT_EQ(pieces("(word)"), (P{"(word", ")"}));
  EXPECT_EQ(pieces("\tword"), (P{"\tword"}));
  EXPECT_EQ(pieces("\u4e2d\u6587\u3002"), (P{"\u4e2d\u6587", "\u3002"}));
  // U+3000 is white space (one of it goes with the letter), U+180E is not any more.
  EXPECT_EQ(pieces("\u3000\u3000a"), (P{"\u3000", "\u3000a"}));
  EXPECT_EQ(pieces("\u180e\u180e"), (P{"\u180e\u180e"}));
  EXPECT_EQ(pieces(""), P{});
  // Invalid bytes are pieces of their own: a lone continuation byte, an overlong form, a surrogate, a cut character.
  EXPECT_EQ(pieces("a\x80\xff b"), (P{"a", "\x80\xff", " b"}));
  EXPECT_EQ(pieces("\xc0\xaf!"), (P{"\xc0\xaf", "!"}));
  EXPECT_EQ(pieces("\xed\xa0\x80"), (P{"\xed\xa0\x80"}));
  EXPECT_EQ(pieces("\xf0\x9f\x99"), (P{"\xf0\x9f\x99"}));
  EXPECT_EQ(valid_utf8_prefix("\xf4\x8f\xbf\xbf\xf4\x90\x80\x80"), 4u);
}

TEST(Tokenizer, SpecialTokens) {
  const Ids with = sample().encode("a<|eot_id|>b");
  EXPECT_EQ(with, (Ids{4088, 64, 4095, 65}));
  const Ids without = sample().encode("a<|eot_id|>b", {.add_bos = false, .parse_special = false});
  EXPECT_GT(without.size(), 4u);
  EXPECT_EQ(sample().decode(without), "a<|eot_id|>b");
  EXPECT_EQ(sample().encode("<|eot_id|><|eot_id|>"), (Ids{4088, 4095, 4095}));
  EXPECT_EQ(sample().decode(sample().encode("<|eot_id")), "<|eot_id");
  EXPECT_EQ(sample().end_ids(), (Ids{4089, 4095}));
  EXPECT_EQ(sample().bos_id(), 4088);
}

TEST(Tokenizer, DecodeRefusesIdsThatAreNoTokens) {
  EXPECT_EQ(sample().decode(Ids{}), "");
  EXPECT_THROW(sample().decode(Ids{4096}), Error);
  EXPECT_THROW(sample().decode(Ids{-1}), Error);
}

TEST(Tokenizer, AnyBytesComeBack) {
  reference::Random random(17);
  for (int trial = 0; trial < 300; ++trial) {
    std::string text(random.below(200), '\0');
    random.fill(text.data(), text.size());
    if (trial % 2 == 0)  // valid and invalid mixed
      for (size_t i = 0; i + 4 < text.size(); i += 1 + random.below(9)) text.replace(i, 4, "\xf0\x9f\x99\x82");
    if (trial % 3 == 0)
      for (char& c : text) c = " \n\r\t'a1\xc2\xa0"[static_cast<unsigned char>(c) % 9];
    EXPECT_EQ(sample().decode(sample().encode(text)), text);
  }
}

/// Merges by looking at all pairs again and again: quadratic, plainly right.
Ids slow_merge(std::string_view word, const std::map<std::pair<int32_t, int32_t>, std::pair<int, int32_t>>& table) {
  Ids ids;
  for (const char c : word) ids.push_back(sample().encode(std::string(1, c), {.add_bos = false}).at(0));
  for (;;) {
    int best = INT32_MAX;
    size_t at = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto found = table.find({ids[i], ids[i + 1]});
      if (found != table.end() && found->second.first < best) best = found->second.first, at = i;
    }
    if (best == INT32_MAX) return ids;
    ids[at] = table.at({ids[at], ids[at + 1]}).second;
    ids.erase(ids.begin() + static_cast<long>(at) + 1);
  }
}

TEST(Tokenizer, MergesLikeThePlainAlgorithm) {
  const GgufFile file = GgufFile::open(GRETA_SOURCE_DIR "/model/samples/sample-llama-a.q4_k_m.gguf");
  std::map<std::string, int32_t, std::less<>> ids;
  for (int32_t i = 0; i < sample().n_tokens(); ++i) ids[std::string(sample().token_text(i))] = i;
  std::map<std::pair<int32_t, int32_t>, std::pair<int, int32_t>> table;
  GgufStrings merges(*file.find("tokenizer.ggml.merges"));
  for (int rank = 0; rank < sample().n_merges(); ++rank) {
    const std::string merge(merges.next());
    const size_t space = merge.find(' ');
    const std::string left = merge.substr(0, space), right = merge.substr(space + 1);
    table[{ids.at(left), ids.at(right)}] = {rank, ids.at(left + right)};
  }
  reference::Random random(3);
  for (int trial = 0; trial < 400; ++trial) {
    std::string word;
    const size_t length = 1 + random.below(40);
    for (size_t i = 0; i < length; ++i) word += "etaoinshrdlu"[random.below(trial % 2 ? 12 : 3)];
    const Ids got = sample().encode(word, {.add_bos = false});
    if (got.size() == 1) continue;  // a token taken whole
    EXPECT_EQ(got, slow_merge(word, table)) << word;
  }
}

TEST(Tokenizer, LongTextsTakeLinearTime) {
  std::string letters(1 << 20, 'a'), spaces(1 << 20, ' '), mixed, bytes(1 << 20, '\xff');
  reference::Random random(1);
  for (char& c : letters) c = static_cast<char>('a' + random.below(26));
  const std::string emma = read_file(GRETA_SOURCE_DIR "/model/samples/emma_chapter_1.txt");
  while (mixed.size() < 1 << 20) mixed += emma;
  const std::string newlines(1 << 20, '\n'), digits(1 << 20, '7'), dashes(1 << 20, '-');
  for (const std::string& text : {letters, spaces, mixed, bytes, newlines, digits, dashes}) {
    const auto start = std::chrono::steady_clock::now();
    const Ids ids = sample().encode(text);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    EXPECT_EQ(sample().decode(ids), text);
    EXPECT_LT(took.count(), 20.0) << "1 MiB of " << text.substr(0, 4);  // about 0.5 s on a free core; quadratic: hours
  }
}

}  // namespace
}  // namespace greta::model
