// greta model info, make, quantize, tokenize from outside: output, messages, exit codes.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "model/test_folder.hpp"
#include "runners/child_process.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

const std::string kSample = GRETA_SOURCE_DIR "/model/samples/sample-llama-a.q4_k_m.gguf";

ChildResult greta(std::vector<std::string> arguments, std::optional<uint64_t> file_size_limit = {}) {
  arguments.insert(arguments.begin(), {program_path(), "model"});
  return run_child(
      {.argv = arguments, .limit_s = 120, .folder = {}, .environment = {}, .file_size_limit = file_size_limit});
}

std::string file_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(ModelVerbs, TokenizeSampleTextsBothWays) {
  const model::TestFolder folder;
  const auto data = nlohmann::json::parse(file_text(GRETA_SOURCE_DIR "/model/samples/tokenization.json"));
  for (const auto& item : data["cases"]) {
    const auto text = item["text"].get<std::string>();
    const ChildResult ids = greta({"tokenize", "--model", kSample, "--text", text});
    ASSERT_TRUE(ids.exited_with(0)) << text << ids.err;
    EXPECT_EQ(nlohmann::json::parse(ids.out), (nlohmann::json{{"ids", item["ids"]}})) << text;
    std::ofstream(folder / "ids", std::ios::binary) << ids.out;
    const ChildResult back = greta({"tokenize", "--model", kSample, "--decode", "--file", folder / "ids"});
    ASSERT_TRUE(back.exited_with(0)) << back.err;
    EXPECT_TRUE(back.out == text || text.find("<|") != std::string::npos) << text;
  }
}

TEST(ModelVerbs, TokenizeTakesAnyText) {
  for (const char* text : {"[a,b]", "--model", "-x", "\"quoted\"", "%d", "{}"}) {
    const ChildResult ids = greta({"tokenize", "--model", kSample, "--text", text});
    ASSERT_TRUE(ids.exited_with(0)) << text << ids.err;
    const ChildResult back = greta({"tokenize", "--model", kSample, "--decode", "--text", ids.out});
    EXPECT_EQ(back.out, text);
  }
}

TEST(ModelVerbs, InfoSaysWhatTheSampleHolds) {
  const ChildResult r = greta({"info", kSample, "--keys", "--tensors"});
  ASSERT_TRUE(r.exited_with(0)) << r.err;
  for (const char* part : {"GGUF version 3", "n_layers=8 dim=256", "'sample-llama-a'", "4096 tokens, 3832 merges",
                           "llama.rope.freq_base", "blk.7.ffn_down.weight"})
    EXPECT_NE(r.out.find(part), std::string::npos) << part << " is not in\n" << r.out;
}

TEST(ModelVerbs, MakeAndQuantize) {
  const model::TestFolder folder;
  const ChildResult make = greta({"make", folder / "f16", "--type", "f16", "--n-layers", "1", "--seed", "7"});
  ASSERT_TRUE(make.exited_with(0)) << make.err;
  const ChildResult quantize = greta({"quantize", folder / "f16", folder / "q4", "--type", "q4_k_m"});
  ASSERT_TRUE(quantize.exited_with(0)) << quantize.err;
  EXPECT_NE(quantize.out.find("blk.0.attn_v.weight"), std::string::npos) << quantize.out;
  const ChildResult info = greta({"info", folder / "q4"});
  ASSERT_TRUE(info.exited_with(0)) << info.err;
  EXPECT_NE(info.out.find("n_layers=1 "), std::string::npos) << info.out;

  // The same seed gives the same file; another one does not.
  ASSERT_TRUE(greta({"make", folder / "b", "--type", "f16", "--n-layers", "1", "--seed", "7"}).exited_with(0));
  ASSERT_TRUE(greta({"make", folder / "c", "--type", "f16", "--n-layers", "1", "--seed", "8"}).exited_with(0));
  EXPECT_EQ(file_text(folder / "f16"), file_text(folder / "b"));
  EXPECT_NE(file_text(folder / "f16"), file_text(folder / "c"));

  // Quantised weights are not quantised again; the old output stays.
  const ChildResult again = greta({"quantize", folder / "q4", folder / "f16", "--type", "q8_0"});
  EXPECT_TRUE(again.exited_with(2)) << again.how_it_ended();
  EXPECT_EQ(file_text(folder / "f16"), file_text(folder / "b"));
}

TEST(ModelVerbs, FullDiskExits4AndLeavesNothing) {
  const model::TestFolder folder;
  const ChildResult r = greta({"make", folder / "m"}, 1 << 16);
  EXPECT_TRUE(r.exited_with(4)) << r.how_it_ended() << r.err;
  EXPECT_NE(r.err.find("File too large"), std::string::npos) << r.err;
  EXPECT_EQ(folder.n_files(), 0u);
}

TEST(ModelVerbs, BadInputExits2AndSaysWhat) {
  const model::TestFolder folder;
  std::ofstream(folder / "text") << "no model";
  std::ofstream(folder / "short", std::ios::binary) << file_text(kSample).substr(0, 200'000);
  const std::vector<std::pair<std::vector<std::string>, const char*>> wrong = {
      {{}, "verb"},
      {{"paint"}, "subcommand"},
      {{"info"}, "model"},
      {{"info", folder / "absent"}, "No such file"},
      {{"info", "/"}, "not a regular file"},
      {{"info", folder / "text"}, "magic"},
      {{"info", folder / "short"}, "truncated"},
      {{"tokenize", "--model", folder / "short", "--text", "a"}, "truncated"},
      {{"tokenize", "--model", kSample}, "--text"},
      {{"tokenize", "--model", kSample, "--text", "a", "--file", folder / "text"}, "one of --text"},
      {{"tokenize", "--model", kSample, "--file", folder / "absent"}, "No such file"},
      {{"tokenize", "--model", kSample, "--file", "/"}, "Is a directory"},
      {{"tokenize", "--model", kSample, "--decode", "--text", "4096"}, "4096"},
      {{"tokenize", "--model", kSample, "--decode", "--text", "{\"ids\":[1,true]}"}, "element 1 is true"},
      {{"tokenize", "--model", kSample, "--decode", "--text", "{\"id\":[1]}"}, "no field"},
      {{"make", folder / "m", "--type", "q5_k"}, "q5_k"},
      {{"make", folder / "no/such/folder"}, "No such file"},
      {{"make", folder / "m", "--shape", "gpt"}, "gpt"},
      {{"make", folder / "m", "--layers", "3"}, "--n-layers"},
      {{"make", folder / "m", "--n-kv-heads", "3"}, "head_count_kv"},
      {{"make", folder / "m", "--rms-eps", "nan"}, "epsilon"},
      {{"quantize", folder / "text", folder / "m", "--type", "q8_0"}, "magic"},
      {{"quantize", kSample, folder / "m"}, "--type"},
      {{"info", kSample, "--json", folder / "j"}, "--json"},
  };
  for (const auto& [arguments, part] : wrong) {
    const ChildResult r = greta(arguments);
    EXPECT_TRUE(r.exited_with(2)) << shell_line(arguments) << ": " << r.how_it_ended() << r.err;
    EXPECT_NE(r.err.find(part), std::string::npos) << shell_line(arguments) << ": " << r.err;
  }
  EXPECT_EQ(folder.n_files(), 2u);
}

}  // namespace
}  // namespace greta::runners
