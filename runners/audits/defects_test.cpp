// The catalogue of defects: what it must hold, that each room has one that is caught and placed, and that the audit of
// the catalogue itself can fail. All of it runs as `greta audit defects` (the full tier of greta test).
#include "runners/audits/defects.hpp"

#include <gtest/gtest.h>

#include <set>

namespace greta::runners {
namespace {

using results::Verdict;

TEST(DefectCatalogue, HoldsAtLeastThirtyOverEveryRoom) {
  const std::vector<DefectRow> rows = defect_catalogue();
  std::set<std::string> names, rooms;
  for (const DefectRow& row : rows) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name << " stands twice";
    rooms.insert(row.room);
    for (const std::string& text : {row.name, row.what, row.gate, row.place, row.command}) EXPECT_FALSE(text.empty());
  }
  EXPECT_GE(rows.size(), 30u);
  for (const char* room : {"kernel", "wiring", "loader", "copy", "knob", "stage", "memory", "fault", "determinism",
                           "contradiction", "time", "trace", "readout", "process", "comparator", "gate"})
    EXPECT_TRUE(rooms.contains(room)) << room;
}

TEST(DefectCatalogue, OneOfEveryRoomIsCaughtAndPlaced) {
  const model::GgufFile file = model::GgufFile::open(GRETA_SOURCE_DIR "/model/samples/sample-llama-a.q4_k_m.gguf");
  ModelAtHand at_hand(file);
  DefectBench bench{&at_hand, {4088, 1303, 552, 305, 1172, 284, 291, 12}, false};
  for (const char* name :
       {"eps_forgotten", "scale-omitted", "readout-row-before", "aligned-row-shifted", "weight-row-shifted",
        "upload-truncated", "kv-dtype-ignored", "stage-attn_out", "copy-lost-kv-row", "memory-leak",
        "fault-out-of-bounds", "contradiction-stray-logits", "decode-short-prompt", "complexity-square",
        "trace-loses-a-stage", "readout-collapse", "matrix-dead-device", "comparator-first-256"})
    for (const DefectRow& row : defect_catalogue()) {
      if (row.name != name) continue;
      const DefectResult result = try_defect(row, bench);
      EXPECT_TRUE(result.caught) << name;
      EXPECT_TRUE(result.placed) << name << ": " << result.place << ", wanted " << row.place;
    }
}

// The control of the control: what is red on the sound program too has caught nothing.
TEST(DefectCatalogue, AGateThatIsRedInAnyCaseCatchesNothing) {
  const model::GgufFile file = model::GgufFile::open(GRETA_SOURCE_DIR "/model/samples/sample-llama-a.q4_k_m.gguf");
  ModelAtHand at_hand(file);
  DefectBench bench{&at_hand, {4088, 1303, 552, 305, 1172, 284, 291, 12}, false};
  for (const DefectRow& row : defect_catalogue()) {
    if (row.name != "contradiction-no-time" && row.name != "stage-wo_out") continue;
    const DefectResult honest = try_defect(row, bench);
    EXPECT_TRUE(honest.caught) << row.name << ": " << honest.sound;
    ASSERT_FALSE(bench.sound.empty());
    for (auto& [command, outcome] : bench.sound) outcome = {Verdict::kFail, "always red"};
    const DefectResult result = try_defect(row, bench);
    EXPECT_FALSE(result.caught) << row.name;
    EXPECT_NE(result.sound.find("always red"), std::string::npos) << result.sound;
    bench.sound.clear();
  }
}

TEST(DefectCatalogue, EveryGateThatCanMeetADefectIsTriedOnTheSmallModel) {
  const model::GgufFile file = model::GgufFile::open(GRETA_SOURCE_DIR "/model/samples/sample-llama-a.q4_k_m.gguf");
  ModelAtHand at_hand(file);
  DefectBench bench{&at_hand, {4088, 1303, 552, 305, 1172, 284, 291, 12}, true};
  for (const DefectRow& row : defect_catalogue()) {
    if (row.name != "weight-row-shifted") continue;
    const DefectResult result = try_defect(row, bench);
    EXPECT_TRUE(result.caught && result.placed) << result.place;
    EXPECT_EQ(result.gates.at("audit layout"), "red");
    EXPECT_EQ(result.gates.at("audit drift"), "red");
    EXPECT_EQ(result.gates.at("audit dtype"), "green") << "it looks at types alone";
    EXPECT_EQ(result.gates.size(), 10u) << "nine gates and the bisection";
  }
}

TEST(DefectCatalogue, ADefectThatNothingCatchesFailsAndSoDoesAWrongPlace) {
  EXPECT_EQ((DefectSummary{100, 100, 100}.outcome().verdict), Verdict::kPass);
  EXPECT_EQ((DefectSummary{100, 100, 95}.outcome().verdict), Verdict::kPass);
  EXPECT_EQ((DefectSummary{100, 99, 99}.outcome().verdict), Verdict::kFail);
  EXPECT_EQ((DefectSummary{100, 100, 94}.outcome().verdict), Verdict::kFail);
  EXPECT_EQ((DefectSummary{0, 0, 0}.outcome().verdict), Verdict::kIncomplete);
}

}  // namespace
}  // namespace greta::runners
