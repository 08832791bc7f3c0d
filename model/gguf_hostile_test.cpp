// Files made to do harm: each is refused with kInvalidArgument and a message that names the field, none crashes the
// reader, the configuration or the tokenizer, none makes them allocate by a number of the file.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <chrono>
#include <fstream>
#include <limits>

#include "kernels/hip/error.hpp"
#include "model/config.hpp"
#include "model/gguf_forge.hpp"
#include "model/make.hpp"
#include "model/test_folder.hpp"
#include "model/tokenizer.hpp"
#include "reference/quant_blocks.hpp"
#include "reference/random.hpp"

namespace greta::model {
namespace {

constexpr uint64_t kHuge = uint64_t{1} << 63;

/// A sound small model, as bytes.
const std::string& sound_bytes() {
  static const std::string bytes = [] {
    const TestFolder folder;
    LlamaConfig shape = shape_preset("tiny");
    shape.n_layers = 1;
    shape.dim = 64;
    shape.ffn_dim = 64;
    shape.n_heads = 2;
    shape.n_kv_heads = 1;
    shape.head_dim = shape.rope_dim = 32;
    shape.vocab_size = 300;
    shape.rope_freqs = std::vector<float>(16, 1.0f);
    make_model(folder / "m", shape, WeightMix::kQ8_0, 1);
    std::ifstream in(folder / "m", std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }();
  return bytes;
}

GgufForge sound() { return GgufForge(parse_text(sound_bytes())); }

/// What `greta model info` does. The message, or "" when the file is accepted.
std::string verdict(const std::string& bytes) {
  try {
    const GgufFile file = parse_text(bytes);
    read_config(file);
    Tokenizer(file).encode("the text <|eot_id|>");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInvalidArgument) << error.what();
    EXPECT_EQ(std::string(error.what()).find("hostile.gguf: "), 0u) << error.what();
    return error.what();
  }
  return "";
}

/// The change must be refused by a message that holds `part`.
void refused(const char* part, const std::function<void(GgufForge&)>& change) {
  GgufForge forge = sound();
  change(forge);
  const std::string message = verdict(forge.bytes());
  EXPECT_NE(message.find(part), std::string::npos) << "wanted '" << part << "' in: " << message;
}

TEST(HostileGguf, TheSoundFileIsAccepted) {
  EXPECT_EQ(verdict(sound_bytes()), "");
  EXPECT_EQ(verdict(sound().bytes()), "");  // and so is what the forge makes of it: the refusals below mean something
}

TEST(HostileGguf, EveryTruncation) {
  const std::string& bytes = sound_bytes();
  const GgufFile file = parse_text(bytes);
  const size_t data_bytes = file.find_tensor("output.weight")->data.size() + file.tensors()[0].data.size();
  // Every length in the header (about 12 KB), then steps; cutting only the padding at the end is harmless.
  for (size_t n = 0; n + 32 < bytes.size(); n += n + data_bytes < bytes.size() ? (n < 400 ? 1 : 7) : 997) {
    const std::string message = verdict(bytes.substr(0, n));
    EXPECT_FALSE(message.empty()) << "accepted with " << n << " of " << bytes.size() << " bytes";
  }
}

TEST(HostileGguf, Header) {
  refused("magic", [](GgufForge& f) { f.magic = "GGML"; });
  refused("version", [](GgufForge& f) { f.version = 1; });
  refused("version", [](GgufForge& f) { f.version = 4; });
  refused("big-endian", [](GgufForge& f) { f.version = 0x03000000; });
  refused("tensor count", [](GgufForge& f) { f.more_tensors = std::numeric_limits<int64_t>::max() - 20; });
  refused("tensor count", [](GgufForge& f) { f.more_tensors = -100; });
  refused("key count", [](GgufForge& f) { f.more_keys = std::numeric_limits<int64_t>::max(); });
  refused("tensor", [](GgufForge& f) { f.more_tensors = 60000; });
  refused("metadata key", [](GgufForge& f) { f.more_keys = 60000; });
  GgufForge v2 = sound();
  v2.version = 2;
  EXPECT_EQ(verdict(v2.bytes()), "");
}

TEST(HostileGguf, Keys) {
  refused("metadata key 'general.name'", [](GgufForge& f) { f.key("general.name").raw = le(kHuge); });
  refused("metadata key 'general.name'", [](GgufForge& f) { f.key("general.name").raw = le(~uint64_t{0}) + "abc"; });
  refused("is unknown", [](GgufForge& f) { f.key("general.name").type = 13; });
  refused("metadata key 0", [](GgufForge& f) { f.keys[0].name = ""; });
  refused("metadata key 0", [](GgufForge& f) { f.keys[0].name = std::string(300, 'k'); });
  refused("'llama.block_count' appears twice", [](GgufForge& f) { f.keys.push_back(f.key("llama.block_count")); });
  refused("boolean is 2", [](GgufForge& f) { f.key("tokenizer.ggml.add_bos_token").raw = "\x02"; });
  refused("'big'", [](GgufForge& f) { f.set("big", GgufType::kArray, le(4u) + le(kHuge)); });
  refused("'big'", [](GgufForge& f) { f.set("big", GgufType::kArray, le(10u) + le(kHuge / 4 + 1)); });  // * 8 wraps
  refused("'big'", [](GgufForge& f) { f.set("big", GgufType::kArray, le(8u) + le(kHuge)); });
  refused("'big'", [](GgufForge& f) { f.set("big", GgufType::kArray, le(9u) + le(kHuge)); });
  refused("string 1",
          [](GgufForge& f) { f.set("big", GgufType::kArray, le(8u) + le(uint64_t{2}) + gguf_text("a") + le(kHuge)); });
  refused("nested deeper", [](GgufForge& f) {
    std::string raw;
    for (int i = 0; i < 100; ++i) raw += le(9u) + le(uint64_t{1});
    f.set("deep", GgufType::kArray, raw);
  });
  GgufForge nested = sound();  // arrays of arrays are no fault
  const std::string inner = le(4u) + le(uint64_t{2}) + le(1u) + le(2u);
  nested.set("nested", GgufType::kArray, le(9u) + le(uint64_t{2}) + inner + inner);
  EXPECT_EQ(verdict(nested.bytes()), "");
}

TEST(HostileGguf, Tensors) {
  constexpr const char* kQ = "blk.0.attn_q.weight";
  refused("n_dims", [](GgufForge& f) { f.tensor(kQ).dims = {}; });
  refused("n_dims", [](GgufForge& f) { f.tensor(kQ).dims = {64, 64, 1, 1, 1}; });
  refused("dims[1]: got 0", [](GgufForge& f) { f.tensor(kQ).dims = {64, 0}; });
  refused("dims[0]", [](GgufForge& f) { f.tensor(kQ).dims = {kHuge, 1}; });
  refused("2^63 - 1 values", [](GgufForge& f) { f.tensor(kQ).dims = {uint64_t{1} << 32, uint64_t{1} << 32}; });
  refused("2^63 - 1 values", [](GgufForge& f) { f.tensor(kQ).dims = {64, kHuge / 64, 2, kHuge / 2}; });
  refused("at offset", [](GgufForge& f) { f.tensor(kQ).dims = {64, uint64_t{1} << 50}; });
  refused("2^64 bytes", [](GgufForge& f) {  // fits 2^63 values, not the bytes of F32
    f.tensor("output_norm.weight").dims = {(kHuge - 1) / 1024, 1024};
  });
  refused("not a multiple of the 32-value block", [](GgufForge& f) { f.tensor(kQ).dims = {63, 64}; });
  refused("type 2 (Q4_0) is not supported", [](GgufForge& f) { f.tensor(kQ).type = 2; });
  refused("type 4294967295 (unknown)", [](GgufForge& f) { f.tensor(kQ).type = ~0u; });
  refused("multiple of the alignment", [](GgufForge& f) { f.tensor(kQ).offset += 1; });
  refused("overlaps", [](GgufForge& f) { f.tensor(kQ).offset = 0; });
  refused("overlaps", [](GgufForge& f) { f.tensor(kQ).offset += 32; });
  refused("at offset", [](GgufForge& f) { f.tensor(kQ).offset = kHuge; });
  refused("at offset", [](GgufForge& f) { f.tensor(kQ).offset = ~uint64_t{31}; });
  refused("'blk.0.attn_q.weight' appears twice", [](GgufForge& f) { f.tensor("blk.0.attn_k.weight").name = kQ; });
  refused("name of tensor 1", [](GgufForge& f) { f.tensors[1].name = ""; });
  refused("name of tensor 1", [](GgufForge& f) { f.tensors[1].name = std::string(257, 't'); });
  refused("'\\x1b[31m\\xff'", [](GgufForge& f) { f.tensors[1].name = "\x1b[31m\xff"; });  // nothing raw on a terminal
}

TEST(HostileGguf, Alignment) {
  refused("general.alignment", [](GgufForge& f) { f.set_u32("general.alignment", 0); });
  refused("general.alignment", [](GgufForge& f) { f.set_u32("general.alignment", 48); });
  refused("general.alignment", [](GgufForge& f) { f.set_u32("general.alignment", 1u << 31); });
  refused("general.alignment", [](GgufForge& f) { f.set_text("general.alignment", "32"); });
  refused("alignment 4096", [](GgufForge& f) { f.set_u32("general.alignment", 4096); });  // offsets are not
}

TEST(HostileGguf, Configuration) {
  for (const char* key :
       {"general.architecture", "llama.block_count", "llama.context_length", "llama.embedding_length",
        "llama.feed_forward_length", "llama.attention.head_count", "llama.attention.layer_norm_rms_epsilon"}) {
    refused(fmt::format("'{}' is missing", key).c_str(), [&](GgufForge& f) { f.drop_key(key); });
    refused(key, [&](GgufForge& f) { f.set(key, GgufType::kArray, le(4u) + le(uint64_t{0})); });
  }
  for (const char* key : {"block_count", "context_length", "embedding_length", "feed_forward_length", "vocab_size",
                          "attention.head_count", "attention.head_count_kv", "attention.key_length",
                          "attention.value_length", "rope.dimension_count"}) {
    const std::string full = fmt::format("llama.{}", key);
    refused(full.c_str(), [&](GgufForge& f) { f.set_u32(full, 0); });
    refused(full.c_str(), [&](GgufForge& f) { f.set(full, GgufType::kU64, le(kHuge + 1)); });
    refused(full.c_str(), [&](GgufForge& f) { f.set(full, GgufType::kI64, le(int64_t{-1})); });
    refused(full.c_str(), [&](GgufForge& f) { f.set_f32(full, 1.0f); });
  }
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  for (const char* key : {"attention.layer_norm_rms_epsilon", "rope.freq_base", "rope.scaling.factor"}) {
    const std::string full = fmt::format("llama.{}", key);
    for (const float bad : {nan, infinity, -1.0f}) refused(full.c_str(), [&](GgufForge& f) { f.set_f32(full, bad); });
    refused(full.c_str(), [&](GgufForge& f) { f.set_text(full, "1"); });
  }
  refused("general.architecture", [](GgufForge& f) { f.set_text("general.architecture", "gpt2"); });
  refused("'blk.0.attn_q.weight': dims", [](GgufForge& f) { f.set_u32("llama.attention.head_count", 3); });
  refused("llama.attention.head_count_kv", [](GgufForge& f) { f.set_u32("llama.attention.head_count_kv", 3); });
  refused("llama.attention.key_length", [](GgufForge& f) {
    f.set_u32("llama.attention.key_length", 33);
    f.set_u32("llama.attention.value_length", 33);
  });
  refused("llama.attention.value_length", [](GgufForge& f) { f.set_u32("llama.attention.value_length", 64); });
  refused("llama.rope.dimension_count", [](GgufForge& f) {
    f.set_u32("llama.rope.dimension_count", 34);
    f.tensor("rope_freqs.weight").dims = {17};
    f.tensor("rope_freqs.weight").data = std::string(68, '\x3f');
    f.place();
  });
  refused("llama.rope.scaling.type", [](GgufForge& f) { f.set_text("llama.rope.scaling.type", "yarn"); });
  refused("llama.rope.scaling.attn_factor", [](GgufForge& f) { f.set_f32("llama.rope.scaling.attn_factor", 2); });
  refused("llama.expert_count", [](GgufForge& f) { f.set_u32("llama.expert_count", 8); });
  refused("split.count", [](GgufForge& f) { f.set_u32("split.count", 2); });
  refused("llama.block_count", [](GgufForge& f) { f.set_u32("llama.block_count", 0xffffff); });
  refused("'blk.1.attn_norm.weight' is missing", [](GgufForge& f) {
    f.set_u32("llama.block_count", 2);
    for (int i = 0; i < 9; ++i) f.tensors.push_back({fmt::format("x{}", i), {8}, 0, 0, std::string(32, '\0')});
    f.place();
  });
}

TEST(HostileGguf, TensorsAgainstTheConfiguration) {
  refused("'blk.0.ffn_up.weight' is missing",
          [](GgufForge& f) { f.tensor("blk.0.ffn_up.weight").name = "blk.0.ffn_up.bias"; });
  refused("'blk.0.attn_q.bias' is not part", [](GgufForge& f) {
    f.tensors.push_back({"blk.0.attn_q.bias", {64}, 0, 0, std::string(256, '\0')});
    f.place();
  });
  refused("'blk.0.attn_k.weight': dims", [](GgufForge& f) { f.tensor("blk.0.attn_k.weight").dims = {32, 64}; });
  refused("'token_embd.weight': dims", [](GgufForge& f) { f.set_u32("llama.embedding_length", 128); });
  refused("'output_norm.weight': type: got f16", [](GgufForge& f) { f.tensor("output_norm.weight").type = 1; });
  refused("'rope_freqs.weight'", [](GgufForge& f) { f.tensor("rope_freqs.weight").dims = {8}; });
  refused("'rope_freqs.weight': value 0",
          [](GgufForge& f) { f.tensor("rope_freqs.weight").data = std::string(64, '\0'); });
  refused("'rope_freqs.weight': value 0",
          [](GgufForge& f) { f.tensor("rope_freqs.weight").data = std::string(64, '\xff'); });
}

TEST(HostileGguf, TokenizerTables) {
  constexpr const char* kTokens = "tokenizer.ggml.tokens";
  constexpr const char* kMerges = "tokenizer.ggml.merges";
  constexpr const char* kTypes = "tokenizer.ggml.token_type";
  for (const char* key :
       {"tokenizer.ggml.model", "tokenizer.ggml.pre", kTokens, kMerges, "tokenizer.ggml.bos_token_id"})
    refused(key, [&](GgufForge& f) { f.drop_key(key); });
  for (const char* key :
       {"tokenizer.ggml.model", "tokenizer.ggml.pre", kTokens, kMerges, kTypes, "tokenizer.ggml.bos_token_id",
        "tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.add_bos_token"})
    refused(key, [&](GgufForge& f) { f.set_f32(key, 0.5f); });
  refused("tokenizer.ggml.model", [](GgufForge& f) { f.set_text("tokenizer.ggml.model", "llama"); });
  refused("tokenizer.ggml.pre", [](GgufForge& f) { f.set_text("tokenizer.ggml.pre", "default"); });
  for (const char* key : {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"})
    for (const uint32_t bad : {300u, ~0u}) refused(key, [&](GgufForge& f) { f.set_u32(key, bad); });

  const std::string none = le(8u) + le(uint64_t{0});
  refused(kTokens, [&](GgufForge& f) { f.set(kTokens, GgufType::kArray, none); });
  refused("vocab_size", [&](GgufForge& f) {  // without the key, the number of tokens decides
    f.drop_key("llama.vocab_size");
    f.set(kTokens, GgufType::kArray, none);
  });
  refused(kTokens, [&](GgufForge& f) {
    f.set(kTokens, GgufType::kArray, le(4u) + le(uint64_t{300}) + std::string(1200, '\0'));
  });
  refused("tokens 0 and 7 are both", [&](GgufForge& f) { f.set_string_at(kTokens, 7, "!"); });
  refused("token 299 has 0 bytes", [&](GgufForge& f) { f.set_string_at(kTokens, 299, ""); });
  refused("token 299 has 70000 bytes", [&](GgufForge& f) { f.set_string_at(kTokens, 299, std::string(70000, 'a')); });
  refused("no token for byte 0x21", [&](GgufForge& f) { f.set_string_at(kTokens, 0, "zzz"); });
  refused("merge 3 'zq t': the first part is no token", [&](GgufForge& f) { f.set_string_at(kMerges, 3, "zq t"); });
  refused("merge 3 't zq': the second part is no token", [&](GgufForge& f) { f.set_string_at(kMerges, 3, "t zq"); });
  refused("merge 3 'q z': the parts together are no token", [&](GgufForge& f) { f.set_string_at(kMerges, 3, "q z"); });
  refused("stands in the table twice", [&](GgufForge& f) { f.set_string_at(kMerges, 1, "\u0120 e"); });
  for (const char* bad : {"", " ", "a", "a ", " a", "a b c", "a  b"})
    refused("wanted two tokens with one space", [&](GgufForge& f) { f.set_string_at(kMerges, 0, bad); });
  refused("got 299 types", [&](GgufForge& f) {
    f.set(kTypes, GgufType::kArray, le(5u) + le(uint64_t{299}) + std::string(299 * 4, '\x01'));
  });
  refused("type of token 0 is", [&](GgufForge& f) {
    f.set(kTypes, GgufType::kArray, le(5u) + le(uint64_t{300}) + std::string(300 * 4, '\0'));
  });
  refused(kTypes, [&](GgufForge& f) {
    f.set(kTypes, GgufType::kArray, le(8u) + le(uint64_t{300}) + std::string(300 * 8, '\0'));
  });
}

/// Bytes that malloc has handed out and not got back (0 under a sanitizer, whose allocator keeps other books).
uint64_t allocated_bytes() {
  const struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

// The largest tables that are accepted, from a file on disk, cost less than the bound of the headers.
TEST(HostileGguf, MemoryStaysBounded) {
  const TestFolder folder;
  GgufForge forge = sound();
  std::string tokens = le(8u) + le(uint64_t{kMaxVocab}), types = le(5u) + le(uint64_t{kMaxVocab});
  const std::string& old = forge.key("tokenizer.ggml.tokens").raw;
  tokens += old.substr(12);
  for (int64_t i = 300; i < kMaxVocab; ++i) tokens += gguf_text(fmt::format("{:x}", i + (1 << 20)));
  for (int64_t i = 0; i < kMaxVocab; ++i) types += le(int32_t{3} - (i < 256 ? 2 : 0));
  forge.key("tokenizer.ggml.tokens").raw = tokens;
  forge.key("tokenizer.ggml.token_type").raw = types;
  forge.set_u32("llama.vocab_size", kMaxVocab);
  for (const char* name : {"token_embd.weight", "output.weight"}) {
    forge.tensor(name).dims[1] = kMaxVocab;
    forge.tensor(name).data.resize(static_cast<size_t>(kMaxVocab) * 68);
  }
  for (int i = 0; i < 60000; ++i) forge.keys.push_back({fmt::format("key.{}", i), 0, "x"});
  forge.place();
  std::ofstream(folder / "big", std::ios::binary) << forge.bytes();
  forge = sound();
  tokens = types = std::string();
  tokens.shrink_to_fit();
  const uint64_t before = allocated_bytes();
  const GgufFile file = GgufFile::open(folder / "big");
  read_config(file);
  const Tokenizer tokenizer(file);
  EXPECT_EQ(tokenizer.encode("<100200>").size(), 4u);  // "100200" is one of the million control tokens
  const uint64_t after = allocated_bytes();
  RecordProperty("mebibytes", static_cast<int>((after - before) >> 20));
  EXPECT_LT(after - before, uint64_t{64} << 20);
}

TEST(HostileGguf, RandomBytesNeverCrash) {
  const auto stop = std::chrono::steady_clock::now() + std::chrono::seconds(4);
  const std::string& bytes = sound_bytes();
  const size_t header = bytes.size() - 32 - [&] {
    size_t n = 0;
    for (const GgufForge::Tensor& t : sound().tensors) n += (t.data.size() + 31) / 32 * 32;
    return n;
  }();
  int n_refused = 0, n_accepted = 0;
  for (uint64_t seed = 0; seed < 20000 && std::chrono::steady_clock::now() < stop; ++seed) {
    reference::Random random(seed);
    std::string damaged = bytes;
    const uint64_t n_changes = 1 + random.below(4);
    for (uint64_t i = 0; i < n_changes; ++i) {
      // Numbers stand near the start and in the tensor table near the end of the header: aim there more often.
      const size_t range = random.below(3) == 0 ? 1500 : header;
      const size_t at = random.below(2) == 0 ? random.below(range) : header - 1 - random.below(range);
      switch (random.below(4)) {
        case 0:
          damaged[at] = static_cast<char>(damaged[at] ^ (1 << random.below(8)));
          break;
        case 1:
          damaged[at] = static_cast<char>(random.next());
          break;
        case 2: {
          const uint64_t values[] = {0, ~uint64_t{0}, kHuge, kHuge - 1, uint64_t{1} << 32, uint64_t{1} << 61};
          std::memcpy(&damaged[at], &values[random.below(6)], 8);
          break;
        }
        default:
          random.below(2) == 0 ? damaged.erase(at, 1 + random.below(9))
                               : damaged.insert(at, 1 + random.below(9), '\x07');
      }
    }
    verdict(damaged).empty() ? ++n_accepted : ++n_refused;
  }
  EXPECT_GT(n_refused, 100);
  EXPECT_GT(n_accepted, 0);  // a changed letter in a name is no fault
  RecordProperty("refused", n_refused);
}

}  // namespace
}  // namespace greta::model
