// greta trace and greta bisect, as a user runs them: what is green, what each planted mistake looks like, bad input.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "runners/child_process.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const std::string kSamples = GRETA_SOURCE_DIR "/model/samples";

class Forensics : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "greta-forensics-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  /// The verb over a few tokens of real text; the last record it wrote.
  ChildResult run(const char* verb, std::vector<std::string> more, Json* record = nullptr, const char* tokens = "5") {
    const fs::path json = folder_ / "records.jsonl";
    fs::remove(json);
    std::vector<std::string> words = {program_path(), verb,         "--model", kSamples + "/sample-llama-a.q4_k_m.gguf",
                                      "--json",       json.string()};
    if (tokens) words.insert(words.end(), {"--text-file", kSamples + "/emma_chapter_1.txt", "--tokens", tokens});
    words.insert(words.end(), more.begin(), more.end());
    const ChildResult result =
        run_child({.argv = words, .limit_s = 300, .folder = "", .environment = {}, .file_size_limit = {}});
    std::ifstream in(json);
    std::string line, last;
    while (std::getline(in, line)) last = line;
    if (record) *record = last.empty() ? Json() : Json::parse(last);
    return result;
  }
  std::string file(const char* name) const { return (folder_ / name).string(); }
  fs::path folder_;
};

TEST_F(Forensics, TraceWritesEveryPointAndKeepsTheBits) {
  Json record;
  const ChildResult result = run(
      "trace",
      {"--side", "chunk:2", "--out", file("t.jsonl"), "--raw", file("raw"), "--layers", "0,7", "--positions", "1,4"},
      &record);
  ASSERT_TRUE(result.exited_with(0)) << result.out << result.err;
  EXPECT_EQ(record["points"], 2 * (2 * 17 + 3));
  EXPECT_EQ(record["logits_bits_equal"], true);
  EXPECT_GT(record["cost"], 0.0);
  std::ifstream in(file("t.jsonl"));
  int points = 0;
  for (std::string line; std::getline(in, line);) {
    const Json point = Json::parse(line);
    if (point.contains("event")) continue;
    ++points;
    EXPECT_EQ(point["sha256"].get<std::string>().size(), 64u);
    EXPECT_TRUE(fs::exists(folder_ / "raw" / point["raw"].get<std::string>()));
    EXPECT_EQ(point.value("recomputed", false), point["stage"] == "softmax_stats");
  }
  EXPECT_EQ(points, 2 * (2 * 17 + 3));
}

TEST_F(Forensics, TraceMistakesAreRed) {
  Json record;
  EXPECT_TRUE(run("trace", {"--out", file("t"), "--lose", "wo_out"}, &record).exited_with(5));
  EXPECT_EQ(record["verdict"], "INCOMPLETE");
  const std::vector<std::string> planted = {"--out", file("t"), "--plant", "mlp_out:3:4"};
  EXPECT_TRUE(run("trace", planted).exited_with(0)) << "in both runs: the trace still changed nothing";
  std::vector<std::string> traced_only = planted;
  traced_only.insert(traced_only.end(), {"--planted-in", "traced"});
  EXPECT_TRUE(run("trace", traced_only, &record).exited_with(1));
  EXPECT_NE(record["reason"].get<std::string>().find("tracing changed logits"), std::string::npos) << record;
  EXPECT_TRUE(run("trace", {"--out", file("t"), "--plant", "v:2:4:nan"}, &record).exited_with(1));
  EXPECT_NE(record["reason"].get<std::string>().find("layer 2, v"), std::string::npos) << record;
  for (const std::vector<std::string>& bad : std::vector<std::vector<std::string>>{{"--stages", "no_such"},
                                                                                   {"--layers", "8"},
                                                                                   {"--positions", "5"},
                                                                                   {"--positions", "x"},
                                                                                   {"--side", "odd"},
                                                                                   {"--side", "decode,kv=fp8"},
                                                                                   {"--plant", "mlp_out:3:9"},
                                                                                   {"--out", "/no/such/folder/t"}})
    EXPECT_TRUE(run("trace", bad).exited_with(2)) << bad[0] << " " << bad[1];
}

TEST_F(Forensics, ReadoutIsTheLastTokensAndMistakesAreRed) {
  const std::vector<std::string> words = {"--readout", "--prompts", kSamples + "/prompts.txt", "--steps", "3"};
  Json record;
  const ChildResult result = run("trace", words, &record, nullptr);
  ASSERT_TRUE(result.exited_with(0)) << result.out << result.err;
  EXPECT_EQ(record["steps"].size(), 6u * 4);
  for (const Json& step : record["steps"]) {
    EXPECT_EQ(step["hidden"]["is_last_token"], true);
    EXPECT_NE(step["hidden"]["buffer"].get<std::string>().find("'normed'"), std::string::npos);
    EXPECT_EQ(step["top"].size(), 5u);
    EXPECT_GE(step["gap"], 0.0);
    EXPECT_GT(step["entropy"], 0.0);
  }
  const auto planted = [&](const std::string& what) {
    std::vector<std::string> more = words;
    more.insert(more.end(), {"--plant", what});
    return run("trace", more, &record, nullptr);
  };
  EXPECT_TRUE(planted("final_norm:-:*:neighbour").exited_with(1));
  EXPECT_NE(record["reason"].get<std::string>().find("hidden state of position"), std::string::npos)
      << record["reason"];
  EXPECT_TRUE(planted("logits:-:*:perturb:1000").exited_with(1));
  EXPECT_EQ(record["prompts_collapsed"], 6) << record["reason"];
  EXPECT_EQ(record["collapsed_over_prompts"], true);
}

TEST_F(Forensics, BisectOfRightPathsIsGreen) {
  for (const auto& [a, b] :
       {std::pair{"prefill", "decode"}, std::pair{"chunk:2", "batch:3"},
        std::pair{"prefill", "prefill,quant_matmul=gemm_q4_k_v1"}, std::pair{"prefill", "reference"},
        std::pair{"decode", "prefill,kv=bf16"}, std::pair{"prefill", "decode,decode_attention=v1"}}) {
    Json record;
    const ChildResult result = run("bisect", {"--a", a, "--b", b}, &record);
    EXPECT_TRUE(result.exited_with(0)) << a << " against " << b << "\n" << result.out << result.err;
    EXPECT_EQ(record["points_that_differ"], 0);
  }
  Json record;
  EXPECT_TRUE(run("bisect", {"--b", "prefill"}, &record).exited_with(1));
  EXPECT_EQ(record["verdict"], "VACUOUS");
}

TEST_F(Forensics, BisectFindsWhatWasPlanted) {
  Json record;
  const ChildResult result = run("bisect", {"--sweep", "--layers", "5"}, &record);
  EXPECT_TRUE(result.exited_with(0)) << result.out << result.err;
  EXPECT_EQ(record["planted"], 13);
  EXPECT_EQ(record["right"], 13);
}

// One step of the type in one value: inside the bound of the double, but not the twin's bits.
TEST_F(Forensics, BisectBlamesASingleLastBit) {
  for (const char* planted : {"wo_out:3:4", "mlp_out:3:4", "k_post_rope:3:4"}) {
    Json record;
    const ChildResult result = run("bisect", {"--plant", std::string(planted) + ":perturb:1e-9"}, &record);
    EXPECT_TRUE(result.exited_with(1)) << planted << result.out;
    EXPECT_EQ(record["first_fail"]["wrong"], "b") << planted;
    EXPECT_EQ(record["first_fail"]["elements_that_differ"], 1) << planted;
    EXPECT_LE(record["recomputed"]["b"]["worst_ratio"], 1.0) << planted;
    EXPECT_EQ(record["recomputed"]["b"]["elements_without_the_twins_bits"], 1) << planted;
  }
}

// Each mistake of the wiring, by bits against a sound path and by noise against the reference.
TEST_F(Forensics, BisectPlacesEveryDefect) {
  struct Row {
    const char *defect, *stage, *stage_class;
    bool against_reference;  ///< large enough to show above the noise of the formats at 5 tokens
  };
  for (const Row& row : {Row{"last-kv-ignored", "attn_out", "ATTENTION_MECHANISM", true},
                         Row{"position-off-by-one", "q_post_rope", "ATTN_KERNEL_INPUTS", true},
                         Row{"wrong-gqa-map", "attn_out", "ATTENTION_MECHANISM", true},
                         Row{"scale-omitted", "attn_out", "ATTENTION_MECHANISM", true},
                         Row{"q4k-scale-swapped", "q_pre_rope", "ATTN_KERNEL_INPUTS", true},
                         Row{"residual-skipped", "residual_post_attn", "RESIDUAL_ADD", true},
                         Row{"rope-pairs-swapped", "q_post_rope", "ATTN_KERNEL_INPUTS", true},
                         Row{"stale-kv-row", "k_cache", "ATTN_KERNEL_INPUTS", true},
                         Row{"eps-wrong", "attn_in", "ATTN_KERNEL_INPUTS", true}})
    for (const char* a : {"prefill", "reference"}) {
      if (std::string_view(a) == "reference" && !row.against_reference) continue;
      Json record;
      const ChildResult result = run("bisect", {"--a", a, "--b", "decode", "--defect", row.defect}, &record);
      EXPECT_TRUE(result.exited_with(1)) << row.defect << " against " << a << "\n" << result.out << result.err;
      const Json& fail = record["first_fail"];
      EXPECT_EQ(fail["stage"], row.stage) << row.defect << " against " << a << "\n" << result.out;
      EXPECT_EQ(fail["class"], row.stage_class) << row.defect;
      EXPECT_EQ(fail["wrong"], "b") << row.defect << " against " << a << "\n" << result.out;
    }
}

// A mistake that only a pass with logits of its last rows makes, and one in the copy of KV rows: the gate's own flags.
TEST_F(Forensics, BisectTakesTheGatesSpanAndKvAligned) {
  Json record;
  const std::vector<std::string> readout = {"--a", "decode", "--b", "prefill", "--defect", "readout-row-before"};
  EXPECT_TRUE(run("bisect", readout, &record).exited_with(0)) << "with logits of all rows there is none";
  std::vector<std::string> span = readout;
  span.insert(span.end(), {"--span", "2"});
  EXPECT_TRUE(run("bisect", span, &record).exited_with(1));
  EXPECT_EQ(record["first_fail"]["stage"], "final_norm");
  EXPECT_EQ(record["first_fail"]["position"], 3);
  EXPECT_EQ(record["first_fail"]["wrong"], "b");
  EXPECT_TRUE(run("bisect", {"--span", "6"}).exited_with(2)) << "of 5 tokens";

  const std::vector<std::string> aligned = {"--kv-aligned", "1"};
  EXPECT_TRUE(run("bisect", aligned, &record).exited_with(0)) << record;
  std::vector<std::string> shifted = aligned;
  shifted.insert(shifted.end(), {"--defect", "aligned-row-shifted"});
  for (const char* a : {"prefill", "reference"}) {
    std::vector<std::string> words = shifted;
    words.insert(words.end(), {"--a", a});
    EXPECT_TRUE(run("bisect", words, &record).exited_with(1));
    EXPECT_EQ(record["first_fail"]["stage"], "k_cache") << a;
    EXPECT_EQ(record["first_fail"]["position"], 1) << a;
    EXPECT_EQ(record["first_fail"]["wrong"], "b") << a;
  }
  std::vector<std::string> ignored = aligned;
  ignored.insert(ignored.end(), {"--defect", "kv-aligned-ignored"});
  EXPECT_TRUE(run("bisect", ignored, &record).exited_with(1));
  EXPECT_EQ(record["verdict"], "VACUOUS");
}

TEST_F(Forensics, BisectAgainstASavedTrace) {
  const std::string trace = file("t.jsonl");
  ASSERT_TRUE(run("trace", {"--out", trace, "--raw", file("raw")}).exited_with(0));
  const std::vector<std::string> words = {"--a", "trace:" + trace, "--b", "decode"};
  Json record;
  EXPECT_TRUE(run("bisect", words, &record).exited_with(0));
  EXPECT_EQ(record["compared"], "bits");
  std::vector<std::string> planted = words;
  planted.insert(planted.end(), {"--plant", "attn_out:4:3"});
  EXPECT_TRUE(run("bisect", planted, &record).exited_with(1));
  EXPECT_EQ(record["first_fail"]["layer"], 4);
  EXPECT_EQ(record["first_fail"]["stage"], "attn_out");
  EXPECT_EQ(record["first_fail"]["wrong"], "b");
  EXPECT_EQ(record["recomputed"]["a"]["recomputed"], true);
  // Without raw tensors the live side is judged alone.
  fs::remove_all(folder_ / "raw");
  EXPECT_TRUE(run("bisect", planted, &record).exited_with(1));
  EXPECT_EQ(record["first_fail"]["wrong"], "b");
  EXPECT_EQ(record["recomputed"]["a"]["recomputed"], false);
  EXPECT_TRUE(run("bisect", words, &record, "4").exited_with(2)) << "other tokens";
  // A trace that broke off.
  std::ifstream in(trace);
  std::string text(std::istreambuf_iterator<char>(in), {});
  text.resize(text.rfind('\n', text.size() - 2) + 1);
  std::ofstream(trace) << text;
  EXPECT_TRUE(run("bisect", words, &record).exited_with(5));
  EXPECT_EQ(record["verdict"], "INCOMPLETE");
}

TEST_F(Forensics, BisectRefusesBadInput) {
  for (const std::vector<std::string>& bad :
       std::vector<std::vector<std::string>>{{"--a", "reference", "--b", "reference"},
                                             {"--b", "trace:/no/such"},
                                             {"--b", "decode,odd"},
                                             {"--b", "decode,no_operator=v1"},
                                             {"--b", "reference", "--plant", "mlp_out:3:4"},
                                             {"--plant", "mlp_out:3:77"},
                                             {"--layers", "9"},
                                             {"--b", "decode,exp=loud"}})
    EXPECT_TRUE(run("bisect", bad).exited_with(2)) << bad[0] << " " << bad[1];
  const ChildResult classes = run("bisect", {"--list-classes"});
  EXPECT_TRUE(classes.exited_with(0));
  EXPECT_EQ(std::count(classes.out.begin(), classes.out.end(), '\n'), 20);
}

}  // namespace
}  // namespace greta::runners
