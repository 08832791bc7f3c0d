// Plantings: each changes exactly what it says, where it says, and everything after it.
#include "model/planting.hpp"

#include <gtest/gtest.h>

#include <map>

#include "model/llama.hpp"
#include "model/make.hpp"
#include "model/test_folder.hpp"

namespace greta::model {
namespace {

std::shared_ptr<const Weights> tiny() {
  const TestFolder folder;
  const std::string path = folder / "tiny.gguf";
  make_model(path, shape_preset("tiny"), weight_mix_from_name("q4_k_m"), 5);
  hip::Stream stream;
  return load_weights(GgufFile::open(path), stream);
}

using Key = std::tuple<int64_t, int64_t, int>;  ///< position, layer (n_layers after the last), stage
using Rows = std::map<Key, std::vector<char>>;

/// Raw rows of every stage of slot 0, in the order of what depends on what.
Rows rows_of(const std::shared_ptr<const Weights>& weights, std::optional<Planting> planting, bool decode) {
  EngineOptions options;
  options.context = 16, options.planting = std::move(planting);
  Llama engine(weights, options);
  Rows out;
  engine.set_stage_sink([&](const StageEvent& e) {
    for (size_t i = 0; i < e.rows.size(); ++i) {
      const hip::AnyView row = e.row(i);
      std::vector<char> bytes(row.count() * static_cast<size_t>(dtype_block_bytes(row.dtype())));
      read_view(engine.stream(), row, bytes.data());
      const bool end = e.stage == "final_norm" || e.stage == "logits";
      out[{e.rows[i].position, end ? weights->config.n_layers : e.layer, stage_index(e.stage)}] = std::move(bytes);
    }
  });
  const std::vector<int32_t> ids = {1, 7, 300, 12, 9};
  const std::span<const int32_t> all(ids);
  engine.prefill(0, all.first(decode ? 1 : 5), 0);
  for (size_t i = decode ? 1 : 5; i < ids.size(); ++i) engine.decode(all.subspan(i, 1));
  EXPECT_EQ(engine.planted() > 0, engine.options().planting.has_value());
  return out;
}

/// First row that differs.
std::optional<Key> first_difference(const Rows& a, const Rows& b) {
  EXPECT_EQ(a.size(), b.size());
  for (const auto& [key, bytes] : a)
    if (b.at(key) != bytes) return key;
  return std::nullopt;
}

TEST(Planting, IsTheFirstDifferenceAtEveryStage) {
  const auto weights = tiny();
  const int64_t layers = weights->config.n_layers;
  for (const bool decode : {false, true}) {
    const Rows sound = rows_of(weights, std::nullopt, decode);
    EXPECT_EQ(first_difference(sound, rows_of(weights, std::nullopt, !decode)), std::nullopt);
    for (const StageInfo& stage : stage_table())
      for (const char* kind : {"perturb", "nan", "zero", "stale"}) {
        if (stage.name == "softmax_stats") continue;
        // Every stage once with the small change; the other kinds where they are read differently. Not NaN in prefill:
        // in V of a later key it reaches every query of its tile (zero times NaN).
        if (std::string_view(kind) == "perturb"
                ? decode != (stage_index(stage.name) % 2 == 0)
                : !decode || (stage.name != "k_cache" && !stage.name.ends_with("pre_attn")))
          continue;
        const int64_t layer = stage.per_layer ? layers - 1 : -1;
        // Without a layer before it, a stale row is one of zeros.
        const Planting p = planting_from_text(std::string(stage.name) + ":" +
                                              (stage.per_layer ? std::to_string(layer) : "-") + ":3:" + kind);
        const bool end = stage.name == "final_norm" || stage.name == "logits";
        const Key want = {3, end ? layers : layer, stage_index(stage.name)};
        EXPECT_EQ(first_difference(sound, rows_of(weights, p, decode)), want) << to_text(p) << " decode " << decode;
      }
  }
}

TEST(Planting, AWrongBufferIsReadByTheNormAlone) {
  const auto weights = tiny();
  const Rows sound = rows_of(weights, std::nullopt, false);
  const Rows planted = rows_of(weights, planting_from_text("residual_pre_attn:1:3"), false);
  const int pre = stage_index("residual_pre_attn");
  EXPECT_EQ(planted.at({3, 1, pre}), sound.at({3, 0, pre})) << "what the layer before read";
  EXPECT_EQ(planted.at({2, 1, pre}), sound.at({2, 1, pre}));
  // x + wo_out of the true x, not of what the norm read.
  const auto floats = [](const std::vector<char>& bytes) {
    std::vector<float> out(bytes.size() / sizeof(float));
    std::memcpy(out.data(), bytes.data(), bytes.size());
    return out;
  };
  const auto x = floats(sound.at({3, 1, pre})), wo = floats(planted.at({3, 1, stage_index("wo_out")}));
  const auto sum = floats(planted.at({3, 1, stage_index("residual_post_attn")}));
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(sum[i], x[i] + wo[i]) << i;
}

TEST(Planting, BadOnesAreRefused) {
  for (const char* text : {"", "mlp_out", "mlp_out:1", "no_such:1:1", "mlp_out:x:1", "mlp_out:1:y", "mlp_out:1:1:odd",
                           "mlp_out:1:1:perturb:z", "mlp_out:1:1:perturb:1:1"})
    EXPECT_THROW(planting_from_text(text), Error) << text;
  for (const char* text : {"mlp_out:9:1", "mlp_out:-:1", "logits:0:1", "softmax_stats:0:1", "mlp_out:0:1:perturb:0"})
    EXPECT_THROW(Planter(planting_from_text(text), 2), Error) << text;
  EXPECT_EQ(to_text(planting_from_text("mlp_out:3:4")), "mlp_out:3:4:perturb:0.125");
  EXPECT_EQ(to_text(planting_from_text("logits:-:*:nan")), "logits:-:*:nan:0.125");
}

}  // namespace
}  // namespace greta::model
