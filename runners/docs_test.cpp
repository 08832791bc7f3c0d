// Pages that are made from the program say what the program says.
#include <gtest/gtest.h>

#include <fstream>

#include "runners/child_process.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

/// What a command prints in the source tree; it must end with 0.
std::string printed_by(std::vector<std::string> argv) {
  const ChildResult made = run_child(
      {.argv = std::move(argv), .limit_s = 60, .folder = GRETA_SOURCE_DIR, .environment = {}, .file_size_limit = {}});
  EXPECT_TRUE(made.exited_with(0)) << made.how_it_ended() << made.err;
  return made.out;
}
std::string page(const std::string& name) {
  std::ifstream in(GRETA_SOURCE_DIR "/docs/" + name);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

TEST(Docs, VerbsPageIsWhatHelpSays) {
  EXPECT_TRUE(page("verbs.md") == printed_by({"docs/generate", program_path()}))
      << "docs/verbs.md is not what --help says; run: docs/generate > docs/verbs.md";
}

TEST(Docs, SpeedPageIsWhatTheRecordsSay) {
  const std::string made = printed_by(
      {program_path(), "bench", "--page", "results/records/h200.jsonl", "--peers", "results/records/peers_h200.json"});
  EXPECT_NE(made.find("| quant_matmul | llama3_8b_14336x4096_q4_k/1 |"), std::string::npos) << made.substr(0, 2000);
  EXPECT_TRUE(page("speed_h200.md") == made) << "run the command that docs/speed_h200.md names in its second line";
}

}  // namespace
}  // namespace greta::runners
