// The program from outside: flags, messages, exit codes.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "kernels/hip/error.hpp"
#include "results/store.hpp"
#include "runners/child_process.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

ChildResult greta(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), program_path());
  return run_child({.argv = arguments, .limit_s = 60, .folder = {}, .environment = {}, .file_size_limit = {}});
}

TEST(Layers, ListIsRead) {
  EXPECT_EQ(parse_layers("3"), (std::vector<int>{3}));
  EXPECT_EQ(parse_layers("0,3,5-7"), (std::vector<int>{0, 3, 5, 6, 7}));
  EXPECT_EQ(parse_layers("7,5-7,5"), (std::vector<int>{5, 6, 7}));
  for (const char* bad : {"", ",", "1,", "-1", "1-", "a", "1.5", "5-3", "1--2", " 1", "99999999999"})
    EXPECT_THROW(parse_layers(bad), Error) << bad;
}

TEST(Program, HelpAndVersionAreGreen) {
  const ChildResult help = greta({"--help"});
  EXPECT_TRUE(help.exited_with(0)) << help.how_it_ended();
  for (const char* flag : {"--json", "--workers", "--wave", "--rung", "--exp", "--matrix-model",
                           "--expect-matrix-model", "--seed", "--layers"})
    EXPECT_NE(help.out.find(flag), std::string::npos) << flag;
  const ChildResult version = greta({"--version"});
  EXPECT_TRUE(version.exited_with(0));
  EXPECT_EQ(version.out.find("greta "), 0u) << version.out;
}

TEST(Program, UsageErrorsExit2WithAMessage) {
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"no-such-verb"},
      {"--no-such-flag"},
      {"--wave", "48", "test"},
      {"--wave"},
      {"--exp", "fast", "test"},
      {"--matrix-model", "cdna9", "test"},
      {"--expect-matrix-model", "cdna9", "test"},
      {"--workers", "-1", "test"},
      {"--workers", "many", "test"},
      {"--seed", "-1", "test"},
      {"--seed", "1.5", "test"},
      {"--seed", "99999999999999999999", "test"},
      {"--layers", "5-3", "test"},
      {"--rung", "rope", "test"},
      {"--rung", "rope=v1", "--rung", "rope=v2", "test"},
  };
  for (const std::vector<std::string>& arguments : wrong) {
    const ChildResult r = greta(arguments);
    EXPECT_TRUE(r.exited_with(2)) << shell_line(arguments) << ": " << r.how_it_ended() << r.out;
    EXPECT_EQ(r.err.find("greta: "), 0u) << shell_line(arguments) << ": " << r.err;
  }
}

const std::string kSamples = std::string(GRETA_SOURCE_DIR) + "/model/samples";
const std::string kModel = kSamples + "/sample-llama-a.q4_k_m.gguf";

TEST(Program, BadInputExits2AndNamesIt) {
  struct Row {
    std::vector<std::string> arguments;
    const char* text;
  };
  std::string long_prompt;
  for (int i = 0; i < 3000; ++i) long_prompt += "word ";
  const Row rows[] = {
      {{"verify", "--repeat", "nonsense"}, "nonsense"},
      {{"verify", "--filter", "("}, "regular expression"},
      {{"verify", "--filter", "no_such_operator"}, "no_such_operator"},
      {{"verify", "--tier", "E7"}, "E7"},
      {{"verify", "--filter", "^rms_norm", "--json", "/no/such/folder/x.jsonl"}, "/no/such/folder/x.jsonl"},
      {{"gate"}, "--model"},
      {{"gate", "--model", "/no/such.gguf", "--prompt", "x"}, "/no/such.gguf"},
      {{"gate", "--model", "/tmp", "--prompt", "x"}, "/tmp"},
      {{"gate", "--model", GRETA_SOURCE_DIR "/README.md", "--prompt", "x"}, "magic"},
      {{"gate", "--model", kModel, "--ids", "/no/such.json"}, "/no/such.json"},
      {{"gate", "--model", kModel, "--prompt", "x", "--a", "sideways"}, "sideways"},
      {{"gate", "--model", kModel, "--prompt", "x", "--defect", "no-such-defect"}, "no-such-defect"},
      {{"gate", "--model", kModel, "--prompt", "x", "--rung", "rope=v99"}, "v99"},
      {{"gate", "--model", kModel, "--prompt", "x", "--rung", "nothing=v1"}, "nothing"},
      {{"gate", "--model", kModel, "--prompt", long_prompt}, "context"},
      {{"gate", "--model", kModel, "--prompt", ""}, "--prompt '': the text is empty"},
      {{"gate", "--model", kModel, "--text-file", ""}, "cannot be read"},
      {{"gate", "--model", kModel, "--prompt", "x", "--layers", "0"}, "--layers"},
      {{"list", "--layers", "0,1"}, "--layers"},
      {{"bench", "--filter", "^rms_norm/", "--layers", "3"}, "--layers"},
      {{"list", "--json", "/no/such/folder/x.json"}, "/no/such/folder/x.json"},
      {{"model", "logits", "--model", kModel, "--prompt", long_prompt, "--out", "/dev/null"}, "context"},
      {{"model", "logits", "--model", kModel, "--prompt", "x", "--out", "/no/such/folder/x"}, "/no/such/folder/x"},
      {{"model", "generate", "--model", "/no/such.gguf", "--prompt", "x"}, "/no/such.gguf"},
  };
  for (const Row& row : rows) {
    const ChildResult r = greta(row.arguments);
    std::string line = shell_line(row.arguments);
    if (line.size() > 200) line.resize(200);
    EXPECT_TRUE(r.exited_with(2)) << line << ": " << r.how_it_ended() << r.out << r.err;
    EXPECT_NE(r.err.find(row.text), std::string::npos) << line << ": " << r.err;
  }
}

TEST(Program, ListWritesOneJsonDocument) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("greta_list_test_" + std::to_string(::getpid()))).string();
  std::filesystem::remove(path);
  const ChildResult r = greta({"list", "--json", path});
  EXPECT_TRUE(r.exited_with(0)) << r.how_it_ended() << r.err;
  std::ifstream in(path);
  const results::Json document = results::Json::parse(in);
  std::filesystem::remove(path);
  EXPECT_EQ(document.at("event"), "list");
  EXPECT_FALSE(document.at("platform").get<std::string>().empty());
  ASSERT_GE(document.at("operators").size(), 10u);
  for (const auto& op : document.at("operators")) {
    EXPECT_NE(r.out.find(op.at("name").get<std::string>()), std::string::npos);
    EXPECT_FALSE(op.at("rungs").empty()) << op;
    for (const auto& rung : op.at("rungs")) EXPECT_FALSE(rung.at("arithmetic").get<std::string>().empty()) << op;
  }
}

TEST(Program, NoSpaceForResultsExits4) {
  const std::vector<std::vector<std::string>> runs = {
      {"verify", "--filter", "^rms_norm/"}, {"gate", "--model", kModel, "--prompt", "Emma Woodhouse, handsome"}};
  for (std::vector<std::string> arguments : runs) {
    arguments.insert(arguments.end(), {"--json", "/dev/full"});
    const ChildResult r = greta(arguments);
    EXPECT_TRUE(r.exited_with(4)) << shell_line(arguments) << ": " << r.how_it_ended() << r.err;
    EXPECT_NE(r.err.find("No space left"), std::string::npos) << r.err;
  }
}

TEST(Program, WhenSpaceRunsOutWhatWasMeasuredIsKept) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("greta_program_test_" + std::to_string(::getpid()))).string();
  std::filesystem::remove(path);
  const ChildResult r = run_child({.argv = {program_path(), "verify", "--filter", "^rms_norm/", "--json", path},
                                   .limit_s = 60,
                                   .folder = {},
                                   .environment = {},
                                   .file_size_limit = 20000});
  EXPECT_TRUE(r.exited_with(4)) << r.how_it_ended() << r.err;
  const results::StoredFile file = results::read_records(path);
  std::filesystem::remove(path);
  EXPECT_TRUE(file.bad_lines.empty());
  ASSERT_EQ(file.runs.size(), 1u);
  const results::Tally kept = results::tally(file.runs[0].outcomes());
  EXPECT_GT(kept.passed, 3);
  EXPECT_GT(kept.incomplete, 0);
}

TEST(Program, OutputThatCannotBeWrittenExits4) {
  const ChildResult r = run_child({.argv = {"sh", "-c", shell_quoted(program_path()) + " --help >/dev/full"},
                                   .folder = {},
                                   .environment = {},
                                   .file_size_limit = {}});
  EXPECT_TRUE(r.exited_with(4)) << r.how_it_ended();
}

}  // namespace
}  // namespace greta::runners
