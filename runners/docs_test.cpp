// Pages that are made from the program say what the program says.
#include <gtest/gtest.h>

#include <fstream>

#include "runners/child_process.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

TEST(Docs, VerbsPageIsWhatHelpSays) {
  const ChildResult made = run_child({.argv = {GRETA_SOURCE_DIR "/docs/generate", program_path()},
                                      .limit_s = 60,
                                      .folder = "",
                                      .environment = {},
                                      .file_size_limit = {}});
  ASSERT_TRUE(made.exited_with(0)) << made.how_it_ended() << made.err;
  std::ifstream in(GRETA_SOURCE_DIR "/docs/verbs.md");
  const std::string page(std::istreambuf_iterator<char>(in), {});
  EXPECT_TRUE(page == made.out) << "docs/verbs.md is not what --help says; run: docs/generate > docs/verbs.md";
}

}  // namespace
}  // namespace greta::runners
