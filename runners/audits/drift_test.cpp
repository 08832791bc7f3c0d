// Drift from the model in double: within what the number formats make on the sample, beyond it with what is planted.
#include "runners/audits/drift.hpp"

#include <gtest/gtest.h>

#include "model/llama.hpp"

namespace greta::runners {
namespace {

using results::Record;
using results::Verdict;

Record drift(const std::function<void(model::EngineOptions&)>& plant = {}) {
  static const model::GgufFile file =
      model::GgufFile::open(GRETA_SOURCE_DIR "/model/samples/sample-llama-a.q4_k_m.gguf");
  std::vector<int32_t> ids = {4088};
  for (int32_t i = 1; i < 24; ++i) ids.push_back(i * 1237 % 3800);
  DriftRequest request{&file, ids, {}, {24}};
  if (plant) plant(request.options);
  Record out;
  audit_drift(request, [&](const std::string&, const std::function<void(Record&)>& measure) { measure(out); });
  return out;
}

TEST(DriftAudit, TheSampleDriftsAsItsFormatsDo) {
  const Record r = drift();
  EXPECT_EQ(r.outcome.verdict, Verdict::kPass) << r.outcome.reason;
  EXPECT_EQ(r.measured["stages"].size(), 13u * 8 + 3);
  EXPECT_GT(r.measured["logits_drift"].get<double>(), 0);
  EXPECT_GT(r.measured["growth_over_layers"].get<double>(), 1);
}

TEST(DriftAudit, TheFirstStageThatDriftsIsNamed) {
  const auto first = [](const std::function<void(model::EngineOptions&)>& plant) {
    const Record r = drift(plant);
    EXPECT_EQ(r.outcome.verdict, Verdict::kFail);
    return r.measured.contains("stage")
               ? std::pair(r.measured["stage"].get<std::string>(), r.measured["layer"].get<int>())
               : std::pair(r.outcome.reason, -2);
  };
  EXPECT_EQ(first([](auto& o) { o.defect = model::Defect::kSubBlockScaleSwapped; }),
            std::pair(std::string("q_pre_rope"), 0));
  EXPECT_EQ(first([](auto& o) { o.defect = model::Defect::kWeightBlockShifted; }),
            std::pair(std::string("mlp_out"), 3));
  EXPECT_EQ(first([](auto& o) { o.planting = model::planting_from_text("attn_out:2:5:zero"); }),
            std::pair(std::string("attn_out"), 2));
  EXPECT_EQ(first([](auto& o) { o.planting = model::planting_from_text("wo_out:4:7:nan"); }),
            std::pair(std::string("wo_out"), 4));
}

}  // namespace
}  // namespace greta::runners
