// Damaged models through the program: every verb that reads one ends with exit code 2 and names the field, within a
// limit on the memory it may use. The reader's own cases, many more: model/gguf_hostile_test.cpp.
#include <gtest/gtest.h>

#include <fstream>

#include "model/gguf_forge.hpp"
#include "model/make.hpp"
#include "model/test_folder.hpp"
#include "runners/child_process.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

using model::GgufForge;
using model::GgufType;
using model::le;

#ifdef __SANITIZE_ADDRESS__
constexpr const char* kLimit = "";  // the sanitizer's own shadow memory is far larger
#else
constexpr const char* kLimit = "ulimit -d 65536; ";  // 64 MiB of memory that is no mapped file
#endif
constexpr uint64_t kHuge = uint64_t{1} << 63;

struct Damage {
  const char* name;
  const char* names;  ///< what the message must hold
  void (*apply)(GgufForge&);
};

const Damage kDamages[] = {
    {"count near 2^63", "tensor count", [](GgufForge& f) { f.more_tensors = INT64_MAX - 100; }},
    {"array count wraps", "'a'", [](GgufForge& f) { f.set("a", GgufType::kArray, le(10u) + le(kHuge / 4 + 1)); }},
    {"huge string", "general.name", [](GgufForge& f) { f.key("general.name").raw = le(kHuge); }},
    {"product wraps", "output.weight",
     [](GgufForge& f) {
       f.tensor("output.weight").dims = {1u << 31, 1ull << 33};
     }},
    {"zero dimension", "output.weight", [](GgufForge& f) { f.tensor("output.weight").dims[1] = 0; }},
    {"overlap", "overlaps", [](GgufForge& f) { f.tensor("output.weight").offset = 0; }},
    {"unaligned", "alignment", [](GgufForge& f) { f.tensor("output.weight").offset += 4; }},
    {"outside the file", "output.weight", [](GgufForge& f) { f.tensor("output.weight").offset = 1ull << 60; }},
    {"unknown type", "type 99", [](GgufForge& f) { f.tensor("output.weight").type = 99; }},
    {"type of a key", "llama.block_count", [](GgufForge& f) { f.set_f32("llama.block_count", 2); }},
    {"duplicate key", "llama.block_count", [](GgufForge& f) { f.keys.push_back(f.key("llama.block_count")); }},
    {"missing key", "llama.block_count", [](GgufForge& f) { f.drop_key("llama.block_count"); }},
    {"missing tensor", "output_norm.weight", [](GgufForge& f) { f.tensor("output_norm.weight").name = "x"; }},
    {"merge of nothing", "tokenizer.ggml.merges",
     [](GgufForge& f) { f.set_string_at("tokenizer.ggml.merges", 5, "zzzz t"); }},
    {"token twice", "tokenizer.ggml.tokens", [](GgufForge& f) { f.set_string_at("tokenizer.ggml.tokens", 5, "!"); }},
    {"bos out of range", "tokenizer.ggml.bos_token_id",
     [](GgufForge& f) { f.set_u32("tokenizer.ggml.bos_token_id", 512); }},
    {"types too few", "tokenizer.ggml.token_type",
     [](GgufForge& f) { f.set("tokenizer.ggml.token_type", GgufType::kArray, le(5u) + le(uint64_t{0})); }},
};

TEST(HostileModels, EveryVerbExits2AndNamesTheField) {
  const model::TestFolder folder;
  const std::string path = folder / "m.gguf";
  model::make_model(folder / "sound.gguf", model::shape_preset("tiny"), model::WeightMix::kQ8_0, 1);
  std::ofstream(folder / "ids") << "{\"ids\":[1,2,3]}";
  const std::vector<std::vector<std::string>> verbs = {
      {"model", "info", path},
      {"model", "tokenize", "--model", path, "--text", "a"},
      {"gate", "--model", path, "--ids", folder / "ids"},
      {"model", "logits", "--model", path, "--ids", folder / "ids", "--path", "prefill", "--out", folder / "out"},
      {"model", "quantize", path, folder / "out", "--type", "q8_0"},
  };
  const auto run = [&](const std::vector<std::string>& verb) {
    // The shell sets the limit and becomes the program.
    std::vector<std::string> argv = {"sh", "-c", std::string(kLimit) + "exec \"$0\" \"$@\"", program_path()};
    argv.insert(argv.end(), verb.begin(), verb.end());
    return run_child({.argv = argv, .limit_s = 60, .folder = {}, .environment = {}, .file_size_limit = {}});
  };
  const GgufForge sound(model::GgufFile::open(folder / "sound.gguf"));
  for (const Damage& damage : kDamages) {
    GgufForge forge = sound;
    damage.apply(forge);
    std::ofstream(path, std::ios::binary) << forge.bytes();
    for (const std::vector<std::string>& verb : verbs) {
      if (verb[1] == "quantize" && std::string(damage.names).starts_with("tokenizer")) continue;  // copied unread
      const ChildResult r = run(verb);
      EXPECT_TRUE(r.exited_with(2)) << damage.name << ", " << verb[0] << " " << verb[1] << ": " << r.how_it_ended()
                                    << r.err;
      EXPECT_NE(r.err.find(damage.names), std::string::npos) << damage.name << ", " << verb[1] << ": " << r.err;
    }
  }
  EXPECT_EQ(folder.n_files(), 3u);
}

}  // namespace
}  // namespace greta::runners
