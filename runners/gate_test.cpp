// greta gate and the model verbs, as a user runs them: what is green, what each planted defect looks like, bad input.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "model/weight_damage.hpp"
#include "runners/child_process.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

namespace fs = std::filesystem;

const std::string kModel = GRETA_SOURCE_DIR "/model/samples/sample-llama-a.q4_k_m.gguf";
const std::string kText = GRETA_SOURCE_DIR "/model/samples/emma_chapter_1.txt";

class GateProgram : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string pattern = (fs::temp_directory_path() / "greta-gate-test-XXXXXX").string();
    std::vector<char> name(pattern.begin(), pattern.end());
    name.push_back('\0');
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name.data();
  }
  void TearDown() override { fs::remove_all(folder_); }

  ChildResult run(std::vector<std::string> words) {
    words.insert(words.begin(), program_path());
    return run_child({.argv = words, .limit_s = 240, .folder = "", .environment = {}, .file_size_limit = {}});
  }
  /// A gate over a few tokens of real text; the last record it wrote.
  ChildResult gate(std::vector<std::string> more, nlohmann::json* record = nullptr, const char* tokens = "12") {
    const fs::path json = folder_ / "records.jsonl";
    fs::remove(json);
    std::vector<std::string> words = {"gate",     "--model", kModel,   "--text-file", kText,
                                      "--tokens", tokens,    "--json", json.string()};
    words.insert(words.end(), more.begin(), more.end());
    const ChildResult result = run(words);
    if (record) {
      std::ifstream in(json);
      std::string line, last;
      while (std::getline(in, line)) last = line;
      *record = last.empty() ? nlohmann::json() : nlohmann::json::parse(last);
    }
    return result;
  }
  fs::path folder_;
};

TEST_F(GateProgram, EveryPathHasTheBitsOfPrefillAndIsRight) {
  for (const char* side : {"decode", "chunk:5", "batch:3"})
    for (const char* aligned : {"0", "1"})
      for (const char* kv : {"fp16", "bf16"}) {
        nlohmann::json record;
        const ChildResult result = gate({"--b", side, "--kv-aligned", aligned, "--kv", kv}, &record);
        EXPECT_TRUE(result.exited_with(0)) << side << " " << aligned << " " << kv << "\n" << result.out << result.err;
        EXPECT_EQ(record["verdict"], "PASS");
        EXPECT_EQ(record["max_abs_diff"], 0.0);
        EXPECT_EQ(record["p99_abs_diff"], 0.0);
        EXPECT_EQ(record["top1_agreement"], 1.0);
        EXPECT_EQ(record["kl"], 0.0);
        EXPECT_GT(record["reference"]["max_abs_diff"], 0.0);
        EXPECT_LE(record["reference"]["relative"], record["reference"]["bound"]);
        EXPECT_EQ(record["config"]["kv_dtype"], std::string(kv) == "fp16" ? "f16" : "bf16");
        EXPECT_GE(record["config"]["b"]["launches"].size(), 10u);
        const auto& rows = record["config"]["b"]["kv_rows_read"];
        if (std::string(aligned) == "1")
          EXPECT_GT(rows["aligned"], 0);
        else
          EXPECT_EQ(rows["aligned"], 0);
      }
}

TEST_F(GateProgram, OneWorkerAndTwoAgree) {
  for (const char* workers : {"1", "2"})
    EXPECT_TRUE(gate({"--workers", workers}).exited_with(0)) << workers << " workers";
}

TEST_F(GateProgram, AgainstItselfIsVacuous) {
  nlohmann::json record;
  EXPECT_TRUE(gate({"--a", "prefill", "--b", "prefill"}, &record).exited_with(1));
  EXPECT_EQ(record["verdict"], "VACUOUS");
}

TEST_F(GateProgram, AgainstTheReferenceAlone) {
  nlohmann::json record;
  EXPECT_TRUE(gate({"--b", "reference"}, &record).exited_with(0));
  EXPECT_GT(record["max_abs_diff"], 0.0);
}

// Another arithmetic on one side: bits may differ, the reference's bound decides.
TEST_F(GateProgram, AcrossArithmeticsTheBoundDecides) {
  nlohmann::json record;
  EXPECT_TRUE(gate({"--rung", "decode_attention=v1"}, &record).exited_with(0));
  EXPECT_EQ(record["verdict"], "PASS");
}

TEST_F(GateProgram, EveryDefectIsRedOnEachSideAndPlaced) {
  for (const auto& info : model::defect_table()) {
    if (info.caught_by != "gate") continue;
    // Those of the loader: `greta audit defects`, audits/drift_test.cpp. Those that need a path of their own have one
    // place.
    if (model::load_fault_of(info.defect).damage != model::WeightDamage::kNone &&
        info.defect != model::Defect::kSubBlockScaleSwapped)
      continue;
    const bool one_place = info.gate_words != "";
    for (const char* side : {"b", "a", "both"}) {
      if (one_place && side != std::string_view("b")) continue;
      std::vector<std::string> words = {"--defect", std::string(info.name), "--defect-side", side};
      if (info.gate_words.find("--b ") == std::string_view::npos)
        words.insert(words.end(), {"--a", "decode", "--b", "batch:2"});
      std::istringstream more{std::string(info.gate_words)};
      for (std::string word; more >> word;) words.push_back(word);
      nlohmann::json record;
      const ChildResult result = gate(words, &record);
      EXPECT_TRUE(result.exited_with(1)) << info.name << " on " << side << "\n" << result.out << result.err;
      EXPECT_EQ(record["verdict"], std::string(info.expected)) << info.name << " on " << side;
      if (info.expected == "FAIL") {
        EXPECT_TRUE(record.contains("first_bad_position")) << info.name;
        EXPECT_NE(result.out.find("position "), std::string::npos);
        EXPECT_NE(result.out.find("repeat: ./greta gate"), std::string::npos);
      }
    }
  }
}

TEST_F(GateProgram, ListsItsDefectsOneALine) {
  const ChildResult result = run({"gate", "--list-defects"});
  EXPECT_TRUE(result.exited_with(0));
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), static_cast<long>(model::defect_table().size()));
}

TEST_F(GateProgram, SpanComparesTheLastPositions) {
  nlohmann::json record;
  EXPECT_TRUE(gate({"--span", "3"}, &record).exited_with(0));
  EXPECT_EQ(record["positions"], 3);
  EXPECT_EQ(record["config"]["first_position"], 9);
}

TEST_F(GateProgram, BadInputIsNamedWithExit2) {
  const auto ids = [&](const std::string& text) {
    const fs::path file = folder_ / "ids.json";
    std::ofstream(file) << text;
    return file.string();
  };
  struct Bad {
    std::vector<std::string> words;
    const char* says;
  };
  std::string long_list = "[0";
  for (int i = 0; i < 2048; ++i) long_list += ",1";
  long_list += "]";
  const std::vector<Bad> cases = {
      {{"gate", "--prompt", "x"}, "--model"},
      {{"gate", "--model", "/nowhere.gguf", "--prompt", "x"}, "/nowhere.gguf"},
      {{"gate", "--model", folder_.string(), "--prompt", "x"}, folder_.c_str()},
      {{"gate", "--model", kModel}, "--ids"},
      {{"gate", "--model", kModel, "--text-file", "/nowhere.txt"}, "/nowhere.txt"},
      {{"gate", "--model", kModel, "--ids", "/nowhere.json"}, "/nowhere.json"},
      {{"gate", "--model", kModel, "--ids", ids("[1, 2")}, "not JSON"},
      {{"gate", "--model", kModel, "--prompt", "x", "--a", "sideways"}, "chunk:N"},
      {{"gate", "--model", kModel, "--prompt", "x", "--b", "chunk:0"}, "chunk:0"},
      {{"gate", "--model", kModel, "--prompt", "x", "--kv", "fp8"}, "fp8"},
      {{"gate", "--model", kModel, "--prompt", "x", "--span", "99"}, "--span 99"},
      {{"gate", "--model", kModel, "--prompt", "x", "--defect", "gremlin"}, "gremlin"},
      {{"gate", "--model", kModel, "--prompt", "x", "--defect", "last-kv-ignored", "--defect-side", "a"}, "decode"},
      {{"gate", "--model", kModel, "--prompt", "x", "--defect", "kv-dtype-ignored"}, "audit dtype"},
      {{"gate", "--model", kModel, "--prompt", "x", "--defect", "batch-kv-lengths"}, "batch:N"},
      {{"gate", "--model", kModel, "--prompt", "x", "--defect", "readout-row-before", "--defect-side", "a"},
       "--span N"},
      {{"gate", "--model", kModel, "--prompt", "x", "--rung", "prefill_attention=v9"}, "v9"},
      {{"gate", "--model", kModel, "--prompt", "x", "--rung", "flux=v1"}, "flux"},
      {{"gate", "--model", kModel, "--prompt", "x", "--exp", "hw"}, "--exp hw"},
      {{"gate", "--model", kModel, "--prompt", "x", "--frobnicate"}, "frobnicate"},
      {{"model", "logits", "--model", kModel, "--prompt", "x", "--out", "/nowhere/x.f32"}, "/nowhere/x.f32"},
  };
  for (const Bad& bad : cases) {
    const ChildResult result = run(bad.words);
    EXPECT_TRUE(result.exited_with(2)) << shell_line(bad.words) << "\n" << result.how_it_ended() << result.err;
    EXPECT_NE(result.err.find(bad.says), std::string::npos) << shell_line(bad.words) << "\n" << result.err;
  }
  for (const auto& [text, says] : {std::pair<std::string, const char*>{"[5000]", "5000"},
                                   {"[-1]", "-1"},
                                   {"[1.5]", "1.5"},
                                   {"[]", "no tokens"},
                                   {"{\"x\":1}", "array"},
                                   {long_list, "2048"}}) {
    const ChildResult result = run({"gate", "--model", kModel, "--ids", ids(text)});
    EXPECT_TRUE(result.exited_with(2)) << text.substr(0, 40) << "\n" << result.how_it_ended() << result.err;
    EXPECT_NE(result.err.find(says), std::string::npos) << text.substr(0, 40) << "\n" << result.err;
  }
}

TEST_F(GateProgram, ReportsOfRedAndGreenRunsInBothLanguages) {
  const auto report = [&](std::vector<std::string> words, int code) {
    const fs::path file = folder_ / "report.md";
    fs::remove(file);
    words.insert(words.begin(), {"gate", "--model", kModel, "--text-file", kText, "--tokens", "6", "--report", file});
    const ChildResult result = run(words);
    EXPECT_TRUE(result.exited_with(code)) << shell_line(words) << "\n" << result.how_it_ended() << result.err;
    std::ifstream in(file);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const std::string green = report({}, 0);
  EXPECT_NE(green.find("**Result: green.**"), std::string::npos) << green;
  const std::string red = report({"--defect", "scale-omitted"}, 1),
                    rojo = report({"--defect", "scale-omitted", "--lang", "es"}, 1);
  for (const char* text : {"**Result: red.**", "**FAIL**", "position 1", "./greta gate", "--defect scale-omitted"})
    EXPECT_NE(red.find(text), std::string::npos) << text << "\n" << red;
  for (const char* text : {"**Resultado: rojo.**", "**FAIL**", "posición 1", "./greta gate", "--defect scale-omitted"})
    EXPECT_NE(rojo.find(text), std::string::npos) << text << "\n" << rojo;
  EXPECT_TRUE(run({"gate", "--model", kModel, "--prompt", "x", "--lang", "fr"}).exited_with(2));
  EXPECT_TRUE(run({"gate", "--model", kModel, "--prompt", "x y", "--report", "/nowhere/r.md"}).exited_with(2));
  EXPECT_TRUE(run({"model", "info", kModel, "--report", (folder_ / "r.md").string()}).exited_with(2));
}

TEST_F(GateProgram, NoSpaceForRecordsIsExit4) {
  const ChildResult result = run({"gate", "--model", kModel, "--prompt", "x y", "--json", "/dev/full"});
  EXPECT_TRUE(result.exited_with(4)) << result.how_it_ended() << result.err;
}

TEST_F(GateProgram, LogitsOfEveryPathAreTheSameBytes) {
  const auto logits = [&](const std::string& path) {
    const fs::path out = folder_ / "logits.f32";
    const ChildResult result = run({"model", "logits", "--model", kModel, "--text-file", kText, "--tokens", "9",
                                    "--path", path, "--out", out.string()});
    EXPECT_TRUE(result.exited_with(0)) << result.err;
    std::ifstream in(out, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const std::string prefill = logits("prefill");
  EXPECT_EQ(prefill.size(), 9u * 4096u * 4u);
  EXPECT_EQ(prefill, logits("decode"));
  EXPECT_EQ(prefill, logits("chunk:4"));
  EXPECT_NE(prefill, logits("reference"));
}

TEST_F(GateProgram, GeneratesTheSameTextTwice) {
  const std::vector<std::string> words = {"model",    "generate",           "--model", kModel,
                                          "--prompt", "Emma Woodhouse was", "-n",      "8"};
  const ChildResult first = run(words), second = run(words);
  EXPECT_TRUE(first.exited_with(0)) << first.err;
  EXPECT_GT(first.out.size(), 8u);
  EXPECT_EQ(first.out, second.out);
}

}  // namespace
}  // namespace greta::runners
