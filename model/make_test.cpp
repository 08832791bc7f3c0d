// Synthetic models are read back, run in the reference and quantised.
#include "model/make.hpp"

#include <gtest/gtest.h>
#include <Eigen/Core>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "kernels/hip/error.hpp"
#include "model/gguf_writer.hpp"
#include "model/quantize.hpp"
#include "model/reference_model.hpp"
#include "model/test_folder.hpp"
#include "model/tokenizer.hpp"
#include "reference/quant_blocks.hpp"

namespace greta::model {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

constexpr WeightMix kAllMixes[] = {WeightMix::kF32, WeightMix::kF16, WeightMix::kBF16, WeightMix::kQ8_0,
                                   WeightMix::kQ4K, WeightMix::kQ6K, WeightMix::kQ4KM};

TEST(Make, EveryMixIsAModelThatRuns) {
  const TestFolder folder;
  for (const WeightMix mix : kAllMixes) {
    const std::string path = folder / "m.gguf";
    const MadeModel made = make_model(path, shape_preset("tiny"), mix, 5);
    EXPECT_TRUE(made.notes.empty());
    EXPECT_EQ(made.n_bytes, std::filesystem::file_size(path));
    const GgufFile file = GgufFile::open(path);
    const LlamaConfig config = read_config(file);
    EXPECT_EQ(config.name, "synthetic-tiny");
    const Tokenizer tokenizer(file);
    const std::vector<int32_t> ids = tokenizer.encode("there is a tiny test <|eot_id|>");
    EXPECT_EQ(ids.front(), tokenizer.bos_id());
    EXPECT_EQ(ids.back(), tokenizer.end_ids().at(1));
    EXPECT_EQ(tokenizer.decode(ids), "there is a tiny test ");
    const reference::RowMatrix logits =
        reference::llama_logits(reference_shape(config), reference_weights(file, config), ids);
    const double rms = std::sqrt(logits.squaredNorm() / static_cast<double>(logits.size()));
    EXPECT_GT(rms, 0.3) << weight_mix_name(mix);
    EXPECT_LT(rms, 3.0) << weight_mix_name(mix);
  }
}

TEST(Make, SeedDecidesTheFile) {
  const TestFolder folder;
  make_model(folder / "a", shape_preset("tiny"), WeightMix::kQ4KM, 1);
  make_model(folder / "b", shape_preset("tiny"), WeightMix::kQ4KM, 1);
  make_model(folder / "c", shape_preset("tiny"), WeightMix::kQ4KM, 2);
  const std::string a = read_file(folder / "a");
  EXPECT_EQ(a, read_file(folder / "b"));
  EXPECT_NE(a, read_file(folder / "c"));
}

TEST(Make, TiedOutputFactorsAndOddRows) {
  const TestFolder folder;
  LlamaConfig shape = shape_preset("tiny");
  shape.tied_output = true;
  shape.rope_freqs = llama31_rope_freqs(shape.rope_freq_base, shape.rope_dim, 8, 1, 4, 8192);
  shape.rope_scale = 2;
  shape.ffn_dim = 288;  // ffn_down: rows of 288 = 9 * 32
  const MadeModel made = make_model(folder / "m", shape, WeightMix::kQ4KM, 1);
  ASSERT_EQ(made.notes.size(), 2u);
  EXPECT_EQ(made.notes[0], "blk.0.ffn_down.weight: q8_0 instead of q4_k, as rows of 288 are no multiple of 256");
  const GgufFile file = GgufFile::open(folder / "m");
  const LlamaConfig config = read_config(file);
  EXPECT_TRUE(config.tied_output);
  EXPECT_EQ(config.rope_scale, 2);
  EXPECT_EQ(config.rope_freqs, shape.rope_freqs);
  EXPECT_EQ(file.find_tensor("token_embd.weight")->type, DType::kQ6K);
  EXPECT_EQ(file.find_tensor("blk.1.ffn_down.weight")->type, DType::kQ8_0);
  const auto logits =
      reference::llama_logits(reference_shape(config), reference_weights(file, config), std::vector<int32_t>{1, 2, 3});
  EXPECT_TRUE(logits.allFinite());

  shape.ffn_dim = 290;
  make_model(folder / "n", shape, WeightMix::kQ4KM, 1);
  EXPECT_EQ(GgufFile::open(folder / "n").find_tensor("blk.1.ffn_down.weight")->type, DType::kF16);
}

TEST(Make, RefusesWhatIsNoShape) {
  const TestFolder folder;
  const auto refused = [&](auto change) {
    LlamaConfig shape = shape_preset("tiny");
    change(shape);
    EXPECT_THROW(make_model(folder / "m", shape, WeightMix::kF16, 1), Error);
  };
  refused([](LlamaConfig& c) { c.n_layers = 0; });
  refused([](LlamaConfig& c) { c.n_kv_heads = 3; });
  refused([](LlamaConfig& c) { c.head_dim = 63; });
  refused([](LlamaConfig& c) { c.vocab_size = 265; });
  refused([](LlamaConfig& c) { c.rms_eps = 0; });
  EXPECT_EQ(folder.n_files(), 0u);
  EXPECT_THROW(shape_preset("llama"), Error);
  EXPECT_THROW(weight_mix_from_name("q5_k"), Error);
}

TEST(Make, PresetsHaveTheirKnownSizes) {
  EXPECT_EQ(n_parameters(shape_preset("llama3-8b")), 8'030'261'248);
  EXPECT_EQ(n_parameters(shape_preset("llama3-70b")), 70'553'706'496);
  EXPECT_EQ(n_parameters(shape_preset("llama3.2-1b")), 1'235'814'400);
  // Llama 3.1 files: the first factors are 1, the last are the factor itself.
  const std::vector<float> f = llama31_rope_freqs(500000, 128, 8, 1, 4, 8192);
  EXPECT_EQ(f.front(), 1.0f);
  EXPECT_EQ(f.back(), 8.0f);
  EXPECT_TRUE(std::is_sorted(f.begin(), f.end()));
}

TEST(Make, VocabularyIsSound) {
  for (const int64_t n : {266, 512, 4096, 128256}) {
    const SyntheticVocabulary v = make_vocabulary(n);
    EXPECT_EQ(static_cast<int64_t>(v.tokens.size()), n);
    EXPECT_EQ(v.types.size(), v.tokens.size());
    EXPECT_EQ(std::set<std::string>(v.tokens.begin(), v.tokens.end()).size(), v.tokens.size());
    EXPECT_EQ(v.tokens[v.eot_id], "<|eot_id|>");
  }
  const SyntheticVocabulary llama = make_vocabulary(128256);
  EXPECT_EQ(llama.bos_id, 128000u);
  EXPECT_EQ(llama.eot_id, 128009u);
  EXPECT_EQ(llama.tokens.back(), "<|reserved_special_token_247|>");
  EXPECT_THROW(make_vocabulary(1'000'000), Error);
}

TEST(WeightMix, MoreBitsAsInKnownFiles) {
  const auto layers = [](int64_t n) {
    std::vector<int64_t> out;
    for (int64_t l = 0; l < n; ++l)
      if (more_bits(l, n)) out.push_back(l);
    return out;
  };
  EXPECT_EQ(layers(8), (std::vector<int64_t>{0, 3, 6, 7}));
  EXPECT_EQ(layers(4), (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(layers(32), (std::vector<int64_t>{0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31}));
  // The sample was quantised elsewhere: every tensor has the type the mix gives it.
  const GgufFile file = GgufFile::open(GRETA_SOURCE_DIR "/model/samples/sample-llama-a.q4_k_m.gguf");
  const LlamaConfig config = read_config(file);
  for (const TensorSpec& spec : llama_tensors(config))
    EXPECT_EQ(choose_type(WeightMix::kQ4KM, spec, config).type, file.find_tensor(spec.name)->type) << spec.name;
}

TEST(Quantize, KeepsTheModelAndReportsTheError) {
  const TestFolder folder;
  make_model(folder / "f16", shape_preset("tiny"), WeightMix::kF16, 3);
  const QuantizeReport q8 = quantize_model(folder / "f16", folder / "q8", WeightMix::kQ8_0, 1);
  const QuantizeReport q4 = quantize_model(folder / "f16", folder / "q4", WeightMix::kQ4KM, 2);
  quantize_model(folder / "f16", folder / "q4-again", WeightMix::kQ4KM, 1);
  EXPECT_EQ(read_file(folder / "q4"), read_file(folder / "q4-again"));  // whatever the number of threads
  EXPECT_EQ(q4.bytes_after, std::filesystem::file_size(folder / "q4"));
  EXPECT_LT(q4.bytes_after, q8.bytes_after);
  EXPECT_LT(q8.bytes_after, q8.bytes_before);
  for (const QuantizedTensor& t : q8.tensors)
    EXPECT_EQ(t.relative_rmse > 0.002, t.to == DType::kQ8_0) << t.name << " " << t.relative_rmse;
  for (const QuantizedTensor& t : q4.tensors) {
    const double wanted = t.to == DType::kQ4K ? 0.068 : t.to == DType::kQ6K ? 0.0162 : 0;
    EXPECT_NEAR(t.relative_rmse, wanted, 0.06 * wanted) << t.name;
  }
  const GgufFile from = GgufFile::open(folder / "f16"), to = GgufFile::open(folder / "q4");
  const LlamaConfig config = read_config(to);
  EXPECT_EQ(to.integer("general.file_type", 0, 99), 15);
  EXPECT_EQ(Tokenizer(to).encode("one two"), Tokenizer(from).encode("one two"));
  const std::vector<int32_t> ids = Tokenizer(from).encode("what such a model says is noise");
  const auto a = reference::llama_logits(reference_shape(config), reference_weights(from, config), ids);
  const auto b = reference::llama_logits(reference_shape(config), reference_weights(to, config), ids);
  const double relative = (a - b).norm() / a.norm();
  EXPECT_GT(relative, 0.01);
  EXPECT_LT(relative, 0.3);
}

TEST(Quantize, Refuses) {
  const TestFolder folder;
  make_model(folder / "q8", shape_preset("tiny"), WeightMix::kQ8_0, 3);
  EXPECT_THROW(quantize_model(folder / "q8", folder / "out", WeightMix::kQ4KM, 1), Error);
  // A NaN in the fifth row of a matrix.
  make_model(folder / "f32", shape_preset("tiny"), WeightMix::kF32, 3);
  std::string bytes = read_file(folder / "f32");
  {
    const GgufFile file = GgufFile::open(folder / "f32");
    const GgufTensor* tensor = file.find_tensor("blk.1.attn_q.weight");
    const GgufTensor* last = file.find_tensor("output.weight");  // ends with the file
    const auto from_end = static_cast<size_t>(last->data.data() + last->data.size() - tensor->data.data());
    const float nan = NAN;
    std::memcpy(&bytes[bytes.size() - from_end + 4 * (4 * 256 + 7)], &nan, 4);
  }
  std::ofstream(folder / "nan", std::ios::binary) << bytes;
  try {
    quantize_model(folder / "nan", folder / "out", WeightMix::kQ4KM, 2);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInvalidArgument);
    EXPECT_NE(std::string(e.what()).find("tensor 'blk.1.attn_q.weight', row 4: quantise to q4_k: value 7"),
              std::string::npos)
        << e.what();
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
}

}  // namespace
}  // namespace greta::model
