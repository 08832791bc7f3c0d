// The audits of weights, output matrix and knobs: green on the sample model, red on what is planted, each at its place.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "runners/audits/contradictions.hpp"
#include "runners/audits/knobs.hpp"
#include "runners/audits/layout.hpp"
#include "runners/audits/output.hpp"

namespace greta::runners {
namespace {

using results::Record;
using results::Verdict;

const model::GgufFile& sample() {
  static const model::GgufFile file =
      model::GgufFile::open(GRETA_SOURCE_DIR "/model/samples/sample-llama-a.q4_k_m.gguf");
  return file;
}

const std::vector<int32_t> kIds = {4088, 1303, 552, 305, 1172, 284, 291, 12, 90, 2044};

class Cases {
 public:
  CaseSink sink() {
    return [this](const std::string& name, const std::function<void(Record&)>& measure) {
      Record record;
      record.case_name = name;
      measure(record);
      EXPECT_NO_THROW((void)results::end_line(record, {})) << name << ": its record cannot be written";
      records.push_back(record);
    };
  }
  const Record& at(const std::string& name) const {
    for (const Record& r : records)
      if (r.case_name == name) return r;
    throw_invalid("no case " + name);
  }
  /// Names of cases with another verdict than PASS.
  std::vector<std::string> red() const {
    std::vector<std::string> out;
    for (const Record& r : records)
      if (r.outcome.verdict != Verdict::kPass) out.push_back(r.case_name);
    return out;
  }
  std::string all() const {
    std::string out;
    for (const Record& r : records)
      out += fmt::format("{} {}: {}\n", results::verdict_name(r.outcome.verdict), r.case_name, r.outcome.reason);
    return out;
  }
  std::vector<Record> records;
};

Cases layout(const model::LoadFault& fault = {}, std::vector<int> layers = {}) {
  LayoutRequest request;
  request.file = &sample(), request.fault = fault, request.layers = std::move(layers), request.sampled_rows = 6;
  Cases cases;
  audit_layout(request, cases.sink());
  EXPECT_EQ(static_cast<int64_t>(cases.records.size()), layout_cases(request));
  return cases;
}

TEST(LayoutAudit, EveryMatrixOfTheSampleIsWhereItBelongs) {
  const Cases cases = layout();
  EXPECT_TRUE(cases.red().empty()) << cases.all();
  EXPECT_EQ(cases.records.size(), 58u);
  for (const Record& r : cases.records)
    for (const auto& route : r.measured["routes"]) {
      EXPECT_LE(route["distance"]["right"].get<double>(), kLayoutNear) << r.case_name;
      for (const char* control : {"row - 1", "row + 1", "block - 1", "block + 1", "swapped halves", "column-major"})
        EXPECT_GE(route["distance"][control].get<double>(), kLayoutFar) << r.case_name << " " << control;
    }
}

// Every kind of weight, every kind of damage: exactly that tensor turns red, and what it holds instead is named.
TEST(LayoutAudit, EveryKindOfDamageIsNamedAtEveryKindOfWeight) {
  using model::WeightDamage;
  for (const auto& [damage, says] :
       {std::pair{WeightDamage::kTransposed, "'column-major'"}, std::pair{WeightDamage::kNextRow, "'row + 1'"},
        std::pair{WeightDamage::kNextBlock, "'block + 1'"},
        std::pair{WeightDamage::kSwappedHalves, "'swapped halves'"}})
    for (const char* tensor : {"token_embd.weight", "blk.1.attn_q.weight", "blk.1.attn_k.weight", "blk.1.attn_v.weight",
                               "blk.1.attn_output.weight", "blk.1.ffn_gate.weight", "blk.1.ffn_up.weight",
                               "blk.1.ffn_down.weight", "output.weight"}) {
      // Damage that stores values anew takes a while on the two large tables; the rows alone are moved.
      const bool large = tensor[0] != 'b';
      if (large && damage != WeightDamage::kNextRow) continue;
      const Cases cases = layout({damage, tensor, ""}, {1});
      EXPECT_EQ(cases.red(), std::vector<std::string>{tensor}) << cases.all();
      EXPECT_EQ(cases.at(tensor).outcome.verdict, Verdict::kFail);
      EXPECT_NE(cases.at(tensor).outcome.reason.find(says), std::string::npos) << tensor << "\n" << cases.all();
    }
}

TEST(LayoutAudit, DefectsOfTheLoaderAreFoundAtTheirTensor) {
  const auto first_red = [](model::Defect defect, std::vector<int> layers) {
    const Cases cases = layout(model::load_fault_of(defect), std::move(layers));
    for (const Record& r : cases.records)
      if (r.outcome.verdict != Verdict::kPass) return r.outcome.reason;
    return std::string("nothing");
  };
  EXPECT_NE(first_red(model::Defect::kSubBlockScaleSwapped, {0}).find("blk.0.attn_q.weight"), std::string::npos);
  EXPECT_NE(first_red(model::Defect::kGateUpSwapped, {5}).find("the answer is that of blk.5.ffn_up.weight"),
            std::string::npos);
  EXPECT_NE(first_red(model::Defect::kLayersSwapped, {2}).find("the answer is that of blk.4.attn_output.weight"),
            std::string::npos);
  EXPECT_NE(first_red(model::Defect::kUploadTruncated, {6}).find("blk.6.ffn_up.weight"), std::string::npos);
  EXPECT_NE(first_red(model::Defect::kOutputTied, {0}).find("output.weight"), std::string::npos);
}

TEST(LayoutAudit, WeightsThatCannotTellAreMistrusted) {
  EXPECT_EQ(judge_layout({{"right", 1e-6}, {"row + 1", 1e-6}}).verdict, Verdict::kMistrusted);
  EXPECT_EQ(judge_layout({{"right", 1e-6}, {"row + 1", 1.2}}).verdict, Verdict::kPass);
  EXPECT_EQ(judge_layout({{"right", std::nan("")}, {"row + 1", 1.2}}).verdict, Verdict::kFail);
  EXPECT_EQ(judge_layout({{"right", 1e-6}, {"row + 1", std::nan("")}}).verdict, Verdict::kMistrusted);
  EXPECT_EQ(judge_layout({{"right", 1e-3}, {"row + 1", 1.2}}).verdict, Verdict::kFail);
}

Cases output(model::Defect defect = model::Defect::kNone) {
  OutputRequest request;
  request.file = &sample(), request.ids = std::span(kIds).first(6), request.options.defect = defect;
  Cases cases;
  audit_output(request, cases.sink());
  EXPECT_EQ(static_cast<int64_t>(cases.records.size()), output_cases(request));
  return cases;
}

TEST(OutputAudit, GreenOnTheSampleByEveryRoute) {
  const Cases cases = output();
  EXPECT_TRUE(cases.red().empty()) << cases.all();
  EXPECT_GE(cases.records.size(), 5u) << "hidden row and four rungs of q6_k";
}

TEST(OutputAudit, RedOnAWrongRowAWrongMatrixAndADroppedRoute) {
  const Cases row = output(model::Defect::kReadoutRowBefore);
  EXPECT_EQ(row.at("hidden row").outcome.verdict, Verdict::kFail) << row.all();
  EXPECT_NE(row.at("hidden row").outcome.reason.find("position 2 were made from the hidden row of position 1"),
            std::string::npos)
      << row.all();
  const Cases tied = output(model::Defect::kOutputTied);
  EXPECT_EQ(tied.at("hidden row").outcome.verdict, Verdict::kPass) << tied.all();
  EXPECT_EQ(tied.at("route gemv_q6_k_v1").outcome.verdict, Verdict::kFail) << tied.all();
  const Cases dropped = output(model::Defect::kMatmulRungIgnored);
  EXPECT_EQ(dropped.at("route gemm_q6_k_v2").outcome.verdict, Verdict::kVacuous) << dropped.all();
  const Cases norm = output(model::Defect::kOutputNormForgotten);
  EXPECT_EQ(norm.at("hidden row").outcome.verdict, Verdict::kFail) << norm.all();
}

using KnobAudit = void (*)(const KnobRequest&, const CaseSink&);

Cases knob(KnobAudit audit, model::Defect defect = model::Defect::kNone) {
  KnobRequest request;
  request.file = &sample(), request.ids = std::span(kIds).first(6), request.options.defect = defect;
  Cases cases;
  audit(request, cases.sink());
  return cases;
}

TEST(KnobAudits, GreenOnTheSample) {
  for (const KnobAudit audit : {audit_dtype, audit_batch, audit_kv_aligned, audit_seed, audit_attention}) {
    const Cases cases = knob(audit);
    EXPECT_TRUE(cases.red().empty()) << cases.all();
    EXPECT_GE(cases.records.size(), 3u);
  }
}

TEST(KnobAudits, AKnobThatIsDroppedIsVacuous) {
  const Cases dtype = knob(audit_dtype, model::Defect::kKvDtypeIgnored);
  EXPECT_EQ(dtype.at("kv bf16").outcome.verdict, Verdict::kVacuous) << dtype.all();
  EXPECT_EQ(dtype.at("fp16 against bf16").outcome.verdict, Verdict::kVacuous) << dtype.all();
  const Cases batch = knob(audit_batch, model::Defect::kBatchIgnored);
  for (const char* name : {"batch 2", "batch 4", "batch 8"})
    EXPECT_EQ(batch.at(name).outcome.verdict, Verdict::kVacuous) << batch.all();
  const Cases aligned = knob(audit_kv_aligned, model::Defect::kKvAlignedIgnored);
  EXPECT_EQ(aligned.at("1: rows of a prefill pass").outcome.verdict, Verdict::kVacuous) << aligned.all();
  EXPECT_EQ(aligned.at("control: rows of another text").outcome.verdict, Verdict::kVacuous) << aligned.all();
  const Cases attention = knob(audit_attention, model::Defect::kAttentionRungIgnored);
  EXPECT_EQ(attention.at("prefill_attention v1").outcome.verdict, Verdict::kVacuous) << attention.all();
  EXPECT_EQ(attention.at("decode_attention v2").outcome.verdict, Verdict::kVacuous) << attention.all();
}

TEST(KnobAudits, WhatMustNotDependOnAKnobFails) {
  const Cases batch = knob(audit_batch, model::Defect::kBatchKvLengths);
  EXPECT_EQ(batch.at("batch 8").outcome.verdict, Verdict::kFail) << batch.all();
  const Cases aligned = knob(audit_kv_aligned, model::Defect::kAlignedRowShifted);
  EXPECT_EQ(aligned.at("1: rows of a prefill pass").outcome.verdict, Verdict::kFail) << aligned.all();
}

TEST(KnobAudits, ASeedChangesTheNeighboursAndNothingElse) {
  const Cases ignored = knob(audit_seed, model::Defect::kSeedIgnored);
  EXPECT_EQ(ignored.red(), (std::vector<std::string>{"batch 4: neighbours", "batch 4: place"})) << ignored.all();
  EXPECT_EQ(ignored.at("batch 4: neighbours").outcome.verdict, Verdict::kVacuous) << ignored.all();
  EXPECT_EQ(ignored.at("batch 4: place").outcome.verdict, Verdict::kVacuous) << ignored.all();
  const Cases leaks = knob(audit_seed, model::Defect::kSeedLeaks);
  EXPECT_EQ(leaks.at("without neighbours: no effect").outcome.verdict, Verdict::kFail) << leaks.all();
  const Cases unrepeatable = knob(audit_seed, model::Defect::kSeedUnrepeatable);
  EXPECT_EQ(unrepeatable.red(), std::vector<std::string>{"batch 4: neighbours"}) << unrepeatable.all();
  EXPECT_EQ(unrepeatable.at("batch 4: neighbours").outcome.verdict, Verdict::kFail) << unrepeatable.all();
  const Cases alone = knob(audit_seed, model::Defect::kBatchIgnored);
  EXPECT_EQ(alone.at("batch 4: neighbours").outcome.verdict, Verdict::kVacuous) << alone.all();
  const Cases lengths = knob(audit_seed, model::Defect::kBatchKvLengths);
  EXPECT_EQ(lengths.red(), std::vector<std::string>{"batch 4: the sequence"}) << lengths.all();
}

TEST(KnobAudits, EchoesThatCannotBothBeTrueAreContradictions) {
  const auto verdict = [](bool launches, bool buffers, bool logits, bool must = true) {
    return KnobEffect{launches, buffers, logits, must}.outcome("--knob").verdict;
  };
  EXPECT_EQ(verdict(true, true, true), Verdict::kPass);
  EXPECT_EQ(verdict(false, false, false), Verdict::kVacuous);
  EXPECT_EQ(verdict(true, true, false), Verdict::kContradiction);
  EXPECT_EQ(verdict(false, false, true), Verdict::kContradiction);
  EXPECT_EQ(verdict(true, false, false, false), Verdict::kPass);
  EXPECT_EQ(verdict(true, false, true, false), Verdict::kFail);
}

Cases contradictions(const std::function<void(ContradictionRequest&)>& plant = {}) {
  ContradictionRequest request;
  request.file = &sample(), request.ids = std::span(kIds).first(5);
  if (plant) plant(request);
  Cases cases;
  audit_contradictions(request, cases.sink());
  return cases;
}

TEST(Contradictions, NoneOnTheSample) {
  const Cases cases = contradictions();
  EXPECT_EQ(cases.at("sound: prefill against decode").outcome.verdict, Verdict::kPass) << cases.all();
  EXPECT_EQ(cases.at("control: a mistake in the last layer").outcome.verdict, Verdict::kPass) << cases.all();
  EXPECT_EQ(cases.at("control: a mistake in the last layer").measured["rows_that_differ"], 1);
}

TEST(Contradictions, LogitsThatHearNothingOrTooMuchAreFound) {
  const Cases deaf = contradictions([](ContradictionRequest& r) { r.deaf_logits = true; });
  EXPECT_EQ(deaf.at("control: a mistake in the last layer").outcome.verdict, Verdict::kContradiction) << deaf.all();
  EXPECT_EQ(deaf.at("control: a mistake in the last layer").measured["position"], 2);
  const Cases stray = contradictions([](ContradictionRequest& r) { r.stray_logits = true; });
  EXPECT_EQ(stray.at("sound: prefill against decode").outcome.verdict, Verdict::kContradiction) << stray.all();
}

TEST(Contradictions, FasterThanTheDeviceIsOne) {
  EXPECT_EQ(judge_roofline(1.0, 1e9, 1e9).verdict, Verdict::kPass);
  EXPECT_EQ(judge_roofline(0.5, 1e9, 1e9).verdict, Verdict::kContradiction);
  EXPECT_EQ(judge_roofline(0.0, 1e9, 1e9).verdict, Verdict::kContradiction);
  EXPECT_EQ(judge_roofline(std::nan(""), 1e9, 1e9).verdict, Verdict::kContradiction);
  EXPECT_EQ(judge_roofline(1.0, 1e9, 0).verdict, Verdict::kMistrusted);
}

}  // namespace
}  // namespace greta::runners
