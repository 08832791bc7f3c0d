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
  for (const char* room : {"kernel", "wiring", "loader", "copy", "knob", "comparator", "gate"})
    EXPECT_TRUE(rooms.contains(room)) << room;
}

TEST(DefectCatalogue, OneOfEveryRoomIsCaughtAndPlaced) {
  const model::GgufFile file = model::GgufFile::open(GRETA_SOURCE_DIR "/model/samples/sample-llama-a.q4_k_m.gguf");
  ModelAtHand at_hand(file);
  DefectBench bench{&at_hand, {4088, 1303, 552, 305, 1172, 284, 291, 12}, false};
  for (const char* name : {"eps_forgotten", "scale-omitted", "weight-row-shifted", "upload-truncated",
                           "kv-dtype-ignored", "comparator-first-256", "gate-always-passes"})
    for (const DefectRow& row : defect_catalogue()) {
      if (row.name != name) continue;
      const DefectResult result = try_defect(row, bench);
      EXPECT_TRUE(result.caught) << name;
      EXPECT_TRUE(result.placed) << name << ": " << result.place << ", wanted " << row.place;
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
