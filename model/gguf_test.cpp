// The reader on the sample and on files written here; the writer, its failures included. Hostile input:
// gguf_hostile_test.cpp.
#include "model/gguf.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "kernels/hip/error.hpp"
#include "model/gguf_writer.hpp"
#include "model/test_folder.hpp"

namespace greta::model {
namespace {

namespace fs = std::filesystem;

TEST(Gguf, ReadsWhatTheWriterWrote) {
  const TestFolder folder;
  const std::string path = folder / "a.gguf";
  std::vector<float> floats(40);
  for (size_t i = 0; i < floats.size(); ++i) floats[i] = static_cast<float>(i) - 3.5f;
  const std::string blocks(2 * 144 * 3, '\x5a');
  {
    GgufWriter out(path);
    out.add("general.architecture", "llama");
    out.add("n", 7u);
    out.add("f", 0.25f);
    out.add("yes", true);
    out.add("words", std::vector<std::string>{"", "a", "bc"});
    out.add("ints", std::vector<int32_t>{-1, 5});
    out.add_tensor("v", DType::kF32, {40});
    out.add_tensor("m", DType::kQ4K, {512, 3});
    out.begin_data();
    out.write(floats.data(), 60);  // pieces need not respect anything
    out.write(reinterpret_cast<const char*>(floats.data()) + 60, 100);
    out.write(blocks.data(), blocks.size());
    EXPECT_FALSE(fs::exists(path));
    out.finish();
  }
  EXPECT_EQ(folder.n_files(), 1u);

  const GgufFile file = GgufFile::open(path);
  EXPECT_EQ(file.version(), 3u);
  EXPECT_EQ(file.alignment(), 32u);
  EXPECT_EQ(file.string("general.architecture"), "llama");
  EXPECT_EQ(file.integer("n", 0, 10), 7);
  EXPECT_EQ(file.real("f"), 0.25);
  EXPECT_EQ(file.maybe_boolean("yes"), true);
  EXPECT_EQ(file.maybe_boolean("no"), std::nullopt);
  const GgufValue* words = file.array("words", GgufType::kString, true);
  ASSERT_EQ(words->count, 3u);
  GgufStrings strings(*words);
  EXPECT_EQ(strings.next(), "");
  EXPECT_EQ(strings.next(), "a");
  EXPECT_EQ(strings.next(), "bc");
  EXPECT_EQ(file.array("ints", GgufType::kI32, true)->integer_at(0), -1);
  EXPECT_EQ(file.array("absent", GgufType::kI32, false), nullptr);

  ASSERT_EQ(file.tensors().size(), 2u);
  const GgufTensor* v = file.find_tensor("v");
  ASSERT_NE(v, nullptr);
  EXPECT_EQ(v->n_values(), 40);
  EXPECT_EQ(0, std::memcmp(v->data.data(), floats.data(), 160));
  const GgufTensor* m = file.find_tensor("m");
  EXPECT_EQ(m->type, DType::kQ4K);
  EXPECT_EQ(m->row_length(), 512);
  EXPECT_EQ(m->n_rows(), 3);
  EXPECT_EQ(m->shape(), "[512, 3]");
  EXPECT_EQ(0, std::memcmp(m->data.data(), blocks.data(), blocks.size()));
  EXPECT_EQ(file.find_tensor("w"), nullptr);

  const auto message = [](auto f) -> std::string {
    try {
      f();
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInvalidArgument);
      return e.what();
    }
    return "accepted";
  };
  EXPECT_EQ(message([&] { file.integer("n", 0, 6); }),
            path + ": metadata key 'n': got 7 (u32), wanted an integer from 0 to 6");
  EXPECT_EQ(message([&] { file.string("n"); }), path + ": metadata key 'n': got 7 (u32), wanted a string");
  EXPECT_EQ(message([&] { file.real("gone"); }), path + ": metadata key 'gone' is missing");
  EXPECT_EQ(message([&] { file.maybe_boolean("n"); }), path + ": metadata key 'n': got 7 (u32), wanted a bool");
  EXPECT_EQ(message([&] { file.array("words", GgufType::kI32, true); }),
            path + ": metadata key 'words': got [3 x string] (array), wanted an array of i32");
}

TEST(Gguf, ReadsTheSample) {
  const GgufFile file = GgufFile::open(GRETA_SOURCE_DIR "/model/samples/sample-llama-a.q4_k_m.gguf");
  EXPECT_EQ(file.tensors().size(), 75u);
  EXPECT_EQ(file.integer("llama.block_count", 1, 1000), 8);
  const GgufTensor* output = file.find_tensor("output.weight");
  ASSERT_NE(output, nullptr);
  EXPECT_EQ(output->type, DType::kQ6K);
  EXPECT_EQ(output->shape(), "[256, 4096]");
  EXPECT_EQ(output->data.data() + output->data.size() - file.find_tensor("token_embd.weight")->data.data(),
            4382720 + 4096 * 210);
}

TEST(Gguf, RefusesWhatIsNoFile) {
  const TestFolder folder;
  EXPECT_THROW(GgufFile::open(folder / "absent.gguf"), Error);
  EXPECT_THROW(GgufFile::open(folder / "."), Error);
  EXPECT_THROW(GgufFile::open("/dev/zero"), Error);
  const std::string empty = folder / "empty.gguf";
  std::ofstream(empty).close();
  try {
    GgufFile::open(empty);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInvalidArgument);
    EXPECT_NE(std::string(e.what()).find("magic needs 4 bytes"), std::string::npos) << e.what();
  }
}

TEST(GgufWriter, LeavesNothingBehindWhenAbandoned) {
  const TestFolder folder;
  const std::string path = folder / "a.gguf";
  std::ofstream(path) << "what was there before";
  {
    GgufWriter out(path);
    out.add_tensor("v", DType::kF32, {40});
    out.begin_data();
    EXPECT_THROW(out.finish(), Error);  // 160 bytes are missing
  }
  EXPECT_EQ(folder.n_files(), 1u);
  EXPECT_EQ(fs::file_size(path), 21u);
}

TEST(GgufWriter, ReportsAFullDisk) {
  // A limit on the file size stands for a full disk: both the reservation and plain writes meet it.
  const TestFolder folder;
  struct rlimit before;
  ASSERT_EQ(0, ::getrlimit(RLIMIT_FSIZE, &before));
  const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
  struct rlimit low = before;
  low.rlim_cur = 1 << 20;
  ASSERT_EQ(0, ::setrlimit(RLIMIT_FSIZE, &low));
  std::string message;
  ErrorKind kind = ErrorKind::kInvalidArgument;
  try {
    GgufWriter out(folder / "a.gguf");
    out.add_tensor("v", DType::kF32, {1 << 20});
    out.begin_data();
    out.write(std::vector<std::byte>(4 << 20));
    out.finish();
  } catch (const Error& e) {
    message = e.what();
    kind = e.kind();
  }
  ASSERT_EQ(0, ::setrlimit(RLIMIT_FSIZE, &before));
  ::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(kind, ErrorKind::kIo) << message;
  EXPECT_NE(message.find("a.gguf"), std::string::npos);
  EXPECT_EQ(folder.n_files(), 0u);

  try {
    GgufWriter out(folder / "no/such/folder/a.gguf");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInvalidArgument);
  }
}

TEST(GgufWriter, RefusesMisuse) {
  const TestFolder folder;
  GgufWriter out(folder / "a.gguf");
  out.add("k", 1u);
  EXPECT_THROW(out.add("k", 2u), Error);
  out.add_tensor("v", DType::kF32, {4});
  EXPECT_THROW(out.add_tensor("v", DType::kF32, {4}), Error);
  EXPECT_THROW(out.add_tensor("w", DType::kQ4K, {255}), Error);
  EXPECT_THROW(out.add_tensor("w", DType::kF32, {4, 0}), Error);
  EXPECT_THROW(out.write("x", 1), Error);
  out.begin_data();
  EXPECT_THROW(out.add("l", 1u), Error);
  const std::vector<std::byte> seventeen(17);
  EXPECT_THROW(out.write(seventeen), Error);
}

TEST(GgufWriter, HonoursAnotherAlignment) {
  const TestFolder folder;
  const std::string path = folder / "a.gguf";
  GgufWriter out(path, 4096);
  out.add_tensor("a", DType::kF32, {1});
  out.add_tensor("b", DType::kF32, {1});
  out.begin_data();
  const float values[2] = {1.0f, 2.0f};
  out.write(values, sizeof(values));
  out.finish();
  const GgufFile file = GgufFile::open(path);
  EXPECT_EQ(file.alignment(), 4096u);
  EXPECT_EQ(file.find_tensor("b")->data.data() - file.find_tensor("a")->data.data(), 4096);
  float b;
  std::memcpy(&b, file.find_tensor("b")->data.data(), 4);
  EXPECT_EQ(b, 2.0f);
}

}  // namespace
}  // namespace greta::model
