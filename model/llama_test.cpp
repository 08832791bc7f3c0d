// The engine against itself: fusions, recorded steps and named rungs change what is launched and not a bit of what
// comes out. (Against the reference: greta gate.)
#include "model/llama.hpp"

#include <gtest/gtest.h>

#include <set>

#include "kernels/hip/graph.hpp"
#include "model/make.hpp"
#include "model/test_folder.hpp"

namespace greta::model {
namespace {

std::shared_ptr<const Weights> tiny(const char* type) {
  const TestFolder folder;
  const std::string path = folder / "tiny.gguf";
  make_model(path, shape_preset("tiny"), weight_mix_from_name(type), 5);
  hip::Stream stream;
  return load_weights(GgufFile::open(path), stream);
}

struct Ran {
  std::vector<float> logits;
  std::set<std::string> kernels;  ///< names up to '<'
  uint64_t groups_of[4] = {};     ///< launches of so many matrices at once (2, 3)
  uint64_t launches = 0;
};

/// A prompt in two chunks, then single tokens; logits of everything.
Ran run(const std::shared_ptr<const Weights>& weights, EngineOptions options, bool watched = false) {
  options.context = 32;
  Llama engine(weights, options);
  std::set<std::string> stages;
  if (watched) engine.set_stage_sink([&](const StageEvent& event) { stages.insert(std::string(event.stage)); });
  const std::vector<int32_t> ids = {1, 7, 300, 12, 12, 450, 9, 2, 77, 141, 5};
  const std::span<const int32_t> all(ids);
  Ran ran;
  const hip::LaunchLog log;
  const auto append = [&](const std::vector<float>& logits) {
    ran.logits.insert(ran.logits.end(), logits.begin(), logits.end());
  };
  append(engine.prefill(0, all.first(3), 0));
  append(engine.prefill(0, all.subspan(3, 4), 0));
  for (size_t i = 7; i < ids.size(); ++i) append(engine.decode(all.subspan(i, 1)));
  for (const auto& row : log.rows()) {
    ran.kernels.insert(row.kernel.substr(0, row.kernel.find('<')));
    ran.launches += row.count;
    for (const int n : {2, 3})
      if (row.kernel.ends_with("> x" + std::to_string(n))) ran.groups_of[n] += row.count;
  }
  if (watched) {
    for (const StageInfo& stage : stage_table())
      EXPECT_EQ(stages.contains(std::string(stage.name)), stage.name != "softmax_stats") << stage.name;
  }
  return ran;
}

TEST(Llama, FusionsKeepEveryBit) {
  for (const char* type : {"q4_k_m", "q8_0", "f16"})
    for (const DType kv : {DType::kF16, DType::kBF16}) {
      const auto weights = tiny(type);
      EngineOptions options;
      options.kv = options.activations = kv;
      const Ran fused = run(weights, options);
      EXPECT_TRUE(fused.kernels.contains("add_rms_norm_v1")) << type;
      EXPECT_TRUE(fused.kernels.contains("rope_kv_store_v1")) << type;
      EXPECT_FALSE(fused.kernels.contains("kv_store_v1")) << type;
      options.fuse = false;
      const Ran sequence = run(weights, options);
      EXPECT_TRUE(sequence.kernels.contains("rms_norm_v2")) << type;
      EXPECT_TRUE(sequence.kernels.contains("kv_store_v1")) << type;
      EXPECT_FALSE(sequence.kernels.contains("add_rms_norm_v1")) << type;
      EXPECT_LT(fused.launches, sequence.launches) << type;
      EXPECT_TRUE(fused.logits == sequence.logits) << type;
      options.fuse = true;
      const Ran watched = run(weights, options, true);
      EXPECT_TRUE(watched.logits == fused.logits) << "watching stages runs the sequence";
    }
}

TEST(Llama, MatmulsOfOneInputAreOneLaunchWithTheSameBits) {
  // Passes: two prompts and four tokens, two layers each.
  struct Row {
    const char* type;
    const char* rung;  ///< that takes groups; null: the default
    bool v_apart;      ///< in some layers V has another type than Q and K
  };
  for (const Row& row :
       {Row{"f16", nullptr, false}, Row{"q8_0", "gemm_q8_0_v2", false}, Row{"q4_k_m", "gemv_q4_k_v3", true}}) {
    const auto weights = tiny(row.type);
    EngineOptions options;
    if (row.rung) options.rungs["quant_matmul"] = row.rung;
    const Ran grouped = run(weights, options);
    options.fuse = false;
    const Ran single = run(weights, options);
    EXPECT_GT(grouped.groups_of[2], 0u) << row.type << ": gate and up";
    // Gate and up join in every layer; q, k and v in every one where they have one type, else q and k.
    EXPECT_GT(grouped.groups_of[3], 0u) << row.type;
    EXPECT_EQ(grouped.groups_of[3] < grouped.groups_of[2], row.v_apart) << row.type;
    EXPECT_EQ(single.groups_of[2] + single.groups_of[3], 0u) << row.type;
    EXPECT_TRUE(grouped.logits == single.logits) << row.type;
  }
}

TEST(Llama, ANamedRungRunsItsSequence) {
  const auto weights = tiny("q4_k_m");
  const Ran defaults = run(weights, {});
  for (const auto& [op, rung, kernel] :
       {std::tuple{"rms_norm", "v1", "rms_norm_v1"}, std::tuple{"rope", "v1", "rope_v1"},
        std::tuple{"swiglu", "v1", "swiglu_v1"}, std::tuple{"kv_store", "v1", "kv_store_v1"}}) {
    EngineOptions options;
    options.rungs[op] = rung;
    const Ran named = run(weights, options);
    EXPECT_TRUE(named.kernels.contains(kernel)) << op;
    EXPECT_TRUE(named.logits == defaults.logits) << op;
  }
  EngineOptions unknown;
  unknown.rungs["add_rms_norm"] = "v9";
  EXPECT_THROW(run(weights, unknown), Error);
  unknown.rungs = {{"no_operator", "v1"}};
  EXPECT_THROW(run(weights, unknown), Error);
}

TEST(Llama, RecordedStepsAreEagerSteps) {
  if (!hip::Graph::supported()) GTEST_SKIP() << "the host platform has no graphs";
  const auto weights = tiny("q4_k_m");
  EngineOptions options;
  const Ran recorded = run(weights, options);
  bool replayed = false;
  for (const auto& launch : hip::recent_launches()) replayed = replayed || launch.kernel.starts_with("graph decode");
  EXPECT_TRUE(replayed);
  options.graphs = false;
  EXPECT_TRUE(recorded.logits == run(weights, options).logits);
}

TEST(Llama, GreedyChoicesAreThoseOfTheLogits) {
  const auto weights = tiny("q4_k_m");
  EngineOptions options;
  options.context = 32, options.slots = 2;
  Llama a(weights, options), b(weights, options);
  const std::vector<int32_t> prompt = {1, 7, 300, 12}, other = {3, 4};
  a.prefill(0, prompt, 3);
  int32_t next = a.argmax_of_last_logits().front();
  EXPECT_EQ(b.prefill_argmax(0, prompt), next);
  a.prefill(1, other, 2), b.prefill(1, other, 2);
  for (int i = 0; i < 4; ++i) {
    const int32_t fed[] = {next, 5};
    a.decode(fed);
    const auto chosen = a.argmax_of_last_logits();
    EXPECT_EQ(b.decode_argmax(fed), chosen) << i;
    next = chosen[0];
  }
}

TEST(Llama, ATruncatedSlotGoesOnFromThere) {
  const auto weights = tiny("q4_k_m");
  EngineOptions options;
  options.context = 32;
  Llama engine(weights, options);
  const std::vector<int32_t> ids = {1, 7, 300, 12, 9};
  engine.prefill(0, ids, 5);
  const int32_t fed[] = {44};
  const auto first = engine.decode(fed);
  engine.cache().truncate(0, 5);
  EXPECT_EQ(engine.cache().length(0), 5);
  EXPECT_TRUE(engine.decode(fed) == first);
  EXPECT_THROW(engine.cache().truncate(0, 7), Error);
  EXPECT_THROW(engine.cache().truncate(0, -1), Error);
}

}  // namespace
}  // namespace greta::model
