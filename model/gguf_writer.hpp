// Writer of GGUF files (version 3), streaming: the header first, then tensor data in the declared order, at the speed
// of the disk. The file grows under a temporary name beside the final one and is renamed by finish(); until then, and
// when anything fails or the writer is destroyed, nothing stands under the final name that was not there before.
//
//   GgufWriter out("model.gguf");
//   out.add("general.architecture", "llama");             // metadata
//   out.add_tensor("token_embd.weight", DType::kQ4K, {256, 4096});
//   out.begin_data();                                      // header written, space on the disk reserved
//   out.write(bytes) ...                                   // in any pieces; padding is put in between tensors
//   out.finish();
// Errors: kIo naming the file and the system's reason when it cannot be written (disk full); kInvalidArgument when it
// cannot be created where it is wanted (no such folder), for a key or tensor given twice and for calls out of order or
// with the wrong number of bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/hip/dtype.hpp"
#include "model/gguf.hpp"

namespace greta::model {

class GgufWriter {
 public:
  explicit GgufWriter(std::string path, uint32_t alignment = kDefaultAlignment);
  ~GgufWriter();
  GgufWriter(const GgufWriter&) = delete;
  GgufWriter& operator=(const GgufWriter&) = delete;

  void add(std::string_view key, std::string_view value);
  void add(std::string_view key, const char* value) { add(key, std::string_view(value)); }
  void add(std::string_view key, uint32_t value);
  void add(std::string_view key, float value);
  void add(std::string_view key, bool value);
  void add(std::string_view key, const std::vector<std::string>& values);
  void add(std::string_view key, const std::vector<int32_t>& values);
  /// A value of another file, as it is.
  void add(std::string_view key, const GgufValue& value);

  void add_tensor(std::string_view name, DType type, std::span<const int64_t> dims);
  void add_tensor(std::string_view name, DType type, std::initializer_list<int64_t> dims) {
    add_tensor(name, type, std::span<const int64_t>(dims.begin(), dims.size()));
  }

  void begin_data();
  void write(std::span<const std::byte> bytes);
  void write(const void* data, size_t n_bytes) { write({static_cast<const std::byte*>(data), n_bytes}); }
  /// All tensors must have been written in full.
  void finish();
  /// Size of the file; final after begin_data.
  uint64_t n_bytes() const { return n_bytes_; }

 private:
  struct Tensor {
    std::string name;
    uint64_t offset, bytes;
  };
  template <class T>
  void put(T value);
  void put_text(std::string_view text);
  void begin_key(std::string_view key, GgufType type);
  void check(bool ok, std::string_view what) const;  ///< kInvalidArgument unless ok
  [[noreturn]] void fail(std::string_view doing) const;
  void emit(const void* data, size_t n_bytes);
  void flush();
  void write_all(const std::byte* data, size_t n_bytes);

  std::string path_, partial_path_;
  uint32_t alignment_;
  int fd_ = -1;
  std::string header_, infos_;  ///< keys; tensor descriptions
  std::set<std::string, std::less<>> keys_, names_;
  std::vector<Tensor> tensors_;
  uint64_t data_bytes_ = 0;  ///< of all declared tensors with padding
  uint64_t n_bytes_ = 0;     ///< of the file
  bool in_data_ = false;
  size_t current_ = 0;        ///< tensor being written
  uint64_t written_ = 0;      ///< of its bytes
  std::vector<char> buffer_;  ///< small writes are gathered here
};

}  // namespace greta::model
