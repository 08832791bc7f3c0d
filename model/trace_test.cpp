// Traces: every path leaves the same points, what is missing is found out, files come back as they were written.
#include "model/trace.hpp"

#include <gtest/gtest.h>
#include <Eigen/Core>

#include <cmath>
#include <fstream>

#include "model/engine_rounding.hpp"
#include "model/make.hpp"
#include "model/test_folder.hpp"
#include "model/trace_file.hpp"

namespace greta::model {
namespace {

const std::vector<int32_t> kIds = {1, 7, 300, 12, 9};

struct Tiny {
  TestFolder folder;
  std::string path = folder / "tiny.gguf";
  std::unique_ptr<GgufFile> file;
  std::shared_ptr<const Weights> weights;
  Tiny() {
    make_model(path, shape_preset("tiny"), weight_mix_from_name("q4_k_m"), 5);
    file = std::make_unique<GgufFile>(GgufFile::open(path));
    hip::Stream stream;
    weights = load_weights(*file, stream);
  }
};

/// Traces kIds in slot 1 of 2: one pass, or the first token and then single ones.
Trace traced(const Tiny& tiny, TraceWant want, bool decode, std::vector<float>* logits = nullptr, bool watch = true,
             int64_t feed = 5) {
  EngineOptions options;
  options.context = 16, options.slots = 2;
  Llama engine(tiny.weights, options);
  Trace trace(std::move(want), tiny.weights->config, 5);
  if (watch) trace.watch(engine, decode ? 0 : 1);
  const std::span<const int32_t> all(kIds);
  std::vector<float> out = engine.prefill(decode ? 0 : 1, all.first(static_cast<size_t>(decode ? 1 : feed)), 0);
  for (int64_t i = decode ? 1 : feed; i < feed; ++i) {
    const auto more = engine.decode(all.subspan(static_cast<size_t>(i), 1));
    out.insert(out.end(), more.begin(), more.end());
  }
  if (logits) *logits = out;
  return trace;
}

TEST(Trace, StatisticsReadTypesAsWhatTheyAre) {
  const double inf = HUGE_VAL, nan = std::nan("");
  const double values[] = {3, -4, 0, nan, inf, -inf};
  const PointStatistics s = statistics_of(values);
  EXPECT_EQ(s.count, 6);
  EXPECT_EQ(s.nonzero, 5);
  EXPECT_EQ(s.nan, 1);
  EXPECT_EQ(s.inf, 2);
  EXPECT_EQ(s.min, -4);
  EXPECT_EQ(s.max, 3);
  EXPECT_DOUBLE_EQ(s.mean, -1.0 / 3);
  EXPECT_DOUBLE_EQ(s.rms, std::sqrt(25.0 / 3));
  EXPECT_TRUE(std::isnan(statistics_of(std::span(values).subspan(3, 1)).max));
  const char one_f16[] = {0x00, 0x3c}, one_bf16[] = {char(0x80), 0x3f};
  EXPECT_EQ(numbers_of(DType::kF16, one_f16), std::vector<double>{1});
  EXPECT_EQ(numbers_of(DType::kBF16, one_bf16), std::vector<double>{1});
  EXPECT_NE(numbers_of(DType::kBF16, one_f16), std::vector<double>{1});
  EXPECT_THROW(numbers_of(DType::kI32, one_f16), Error);
}

TEST(Trace, PathsLeaveTheSamePointsAndLogitsKeepTheirBits) {
  const Tiny tiny;
  std::vector<float> plain, watched;
  traced(tiny, {}, false, &plain, false);
  const Trace a = traced(tiny, {}, false, &watched), b = traced(tiny, {}, true);
  EXPECT_TRUE(plain == watched) << "tracing changed bits";
  EXPECT_EQ(a.expected(), 5 * (2 * 17 + 3));
  EXPECT_TRUE(a.missing().empty());
  EXPECT_TRUE(b.missing().empty());
  EXPECT_EQ(a.repeated(), 0);
  for (const auto& [key, point] : a.points()) {
    EXPECT_EQ(point.sha256, b.points().at(key).sha256) << key.text();
    EXPECT_EQ(point.recomputed, stage_table()[static_cast<size_t>(key.stage)].name == "softmax_stats");
    EXPECT_EQ(point.statistics.nan + point.statistics.inf, 0) << key.text();
    EXPECT_GT(point.statistics.nonzero, 0) << key.text();
  }
  EXPECT_EQ(a.points().at({2, 0, stage_index("q_pre_rope")}).dtype, DType::kF16);
  EXPECT_EQ(a.points().at({2, -1, stage_index("logits")}).dtype, DType::kF32);
}

TEST(Trace, TheReferenceHasTheSamePoints) {
  const Tiny tiny;
  TraceWant want;
  want.raw = true;
  const Trace engine = traced(tiny, want, false);
  Trace reference(want, tiny.weights->config, 5);
  reference_logits(*tiny.file, tiny.weights->config, kIds, 0, std::nullopt, reference.observer());
  EXPECT_TRUE(reference.missing().empty());
  for (const auto& [key, point] : engine.points()) {
    const auto x = numbers_of(point.dtype, point.raw);
    const auto y = numbers_of(DType::kF64, reference.points().at(key).raw);
    ASSERT_EQ(x.size(), y.size()) << key.text();
    double apart = 0, size = 0;
    for (size_t i = 0; i < x.size(); ++i) apart += (x[i] - y[i]) * (x[i] - y[i]), size += y[i] * y[i];
    EXPECT_LT(std::sqrt(apart / size), 0.05) << key.text();
  }
}

TEST(Trace, WhatWasAskedForAndNotProducedIsMissing) {
  const Tiny tiny;
  const Trace all = traced(tiny, {}, false, nullptr, true, 3);
  EXPECT_EQ(static_cast<int64_t>(all.missing().size()), 2 * (2 * 17 + 3));
  EXPECT_EQ(all.missing().front(), (PointKey{3, -1, 0}));
  TraceWant some;
  some.stages = {"mlp_out", "logits"}, some.layers = {1}, some.positions = {0, 2};
  EXPECT_EQ(traced(tiny, some, true).points().size(), 4u);
  TraceWant no_stage, no_layer, no_position;
  no_stage.stages = {"no_such"}, no_layer.layers = {2}, no_position.positions = {5};
  for (const TraceWant& bad : {no_stage, no_layer, no_position})
    EXPECT_THROW(Trace(bad, tiny.weights->config, 5), Error);
}

TEST(Trace, FilesComeBackAndDamageShows) {
  const Tiny tiny;
  const std::string path = tiny.folder / "t.jsonl", raw = tiny.folder / "raw";
  std::map<PointKey, std::vector<char>> rows;
  TraceWant want;
  want.raw_for_callback = true, want.positions = {4};
  TraceWriter writer(path, raw, {{"tokens", kIds}});
  want.on_point = [&](const PointKey& key, const TracePoint& p) { writer.point(key, p), rows[key] = p.raw; };
  const Trace trace = traced(tiny, want, false);
  EXPECT_TRUE(read_trace(path).end.is_null()) << "broke off so far";
  writer.end({{"points", trace.points().size()}});
  const SavedTrace saved = read_trace(path);
  EXPECT_EQ(saved.end.at("points"), trace.points().size());
  ASSERT_EQ(saved.points.size(), trace.points().size());
  for (const auto& [key, bytes] : rows) {
    EXPECT_EQ(saved.points.at(key).sha256, trace.points().at(key).sha256);
    EXPECT_TRUE(saved.raw(key) == bytes) << key.text();
  }
  const PointKey logits{4, -1, stage_index("logits")};
  EXPECT_THROW(saved.raw({3, -1, stage_index("logits")}), Error);
  std::ofstream(raw + "/" + saved.raw_files.at(logits), std::ios::binary) << "torn";
  EXPECT_THROW(saved.raw(logits), Error);
  std::ofstream(path, std::ios::app) << "{\"position\":1}\n";
  EXPECT_THROW(read_trace(path), Error);
  EXPECT_THROW(TraceWriter("/no/such/folder/t", "", {}), Error);
}

}  // namespace
}  // namespace greta::model
