// Reader of GGUF model files, versions 2 and 3, little-endian.
//
// Format (ggml's public description of GGUF):
//   "GGUF"  u32 version  u64 n_tensors  u64 n_keys
//   n_keys x    string key, u32 value type, value           string: u64 length, bytes (no terminator)
//                                                           array: u32 element type, u64 count, elements
//   n_tensors x string name, u32 n_dims, u64 dims[n_dims], u32 tensor type, u64 offset into the data section
//   padding to general.alignment (32 unless the key says otherwise), then the data section
//   dims[0] is the row length (the fastest dimension); a matrix of dims [k, n] has n rows of k values.
// The file is mapped, never read as a whole. Every count, product and offset is checked against the bytes that are
// there before it is used; nothing is allocated by an unchecked count. Beyond the mapping a reader keeps less than
// 16 MiB, whatever the file says.
// Errors: kInvalidArgument "<path>: <field>: got ..., wanted ..." for everything that is not acceptable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/hip/dtype.hpp"
#include "model/file_bytes.hpp"

namespace greta::model {

/// Types of metadata values, by their number in the file.
enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};
/// "u8", ..., "string", "array"; "type 13" for a number that is no type.
std::string gguf_type_name(GgufType type);

inline constexpr uint64_t kMaxKeys = 1 << 16;        ///< real files have fewer than 100
inline constexpr uint64_t kMaxTensors = 1 << 16;     ///< real files have fewer than 10 000
inline constexpr uint64_t kMaxNameBytes = 256;       ///< of a key or tensor; ggml allows 64 for a tensor
inline constexpr int kMaxArrayNesting = 4;           ///< arrays of arrays of ...
inline constexpr uint32_t kDefaultAlignment = 32;    ///< of tensor data, when general.alignment is absent
inline constexpr uint32_t kMaxAlignment = 1u << 20;  ///< general.alignment is a power of two from 8 to this

/// A metadata value: a view into the file. Views live as long as the GgufFile (or a copy of it).
struct GgufValue {
  GgufType type = GgufType::kU8;
  GgufType element_type = GgufType::kU8;  ///< arrays only
  uint64_t count = 0;                     ///< arrays: elements; else 1
  std::span<const std::byte> raw;         ///< as stored, with the length of a string, the header of an array

  /// The text of a string value.
  std::string_view text() const;
  /// Array elements as stored; nothing for other values.
  std::span<const std::byte> elements() const { return raw.subspan(12); }
  /// Element i of an array of integers or booleans (nullopt for other element types, or an u64 beyond int64).
  std::optional<int64_t> integer_at(uint64_t i) const;
  /// One line for people: the value, shortened; arrays as "[4096 x string]".
  std::string summary() const;
};

/// Walks the strings of an array value in order.
class GgufStrings {
 public:
  explicit GgufStrings(const GgufValue& array) : rest_(array.elements()) {}
  /// The next string; call at most array.count times.
  std::string_view next();

 private:
  std::span<const std::byte> rest_;
};

struct GgufKey {
  std::string_view name;
  GgufValue value;
};

struct GgufTensor {
  std::string_view name;
  DType type = DType::kF32;  ///< f32, f16, bf16, q8_0, q4_k or q6_k
  int n_dims = 0;            ///< 1..4
  int64_t dims[4] = {1, 1, 1, 1};
  std::span<const std::byte> data;  ///< aligned to the file's alignment

  int64_t row_length() const { return dims[0]; }
  int64_t n_rows() const { return dims[1] * dims[2] * dims[3]; }
  int64_t n_values() const { return row_length() * n_rows(); }
  /// "[4096, 128256]" with the dimensions the file gives.
  std::string shape() const;
};

class GgufFile {
 public:
  static GgufFile open(const std::string& path) { return parse(FileBytes::map(path)); }
  static GgufFile parse(std::shared_ptr<const FileBytes> bytes);

  const std::string& path() const { return bytes_->path(); }
  uint64_t size_bytes() const { return bytes_->bytes().size(); }
  uint32_t version() const { return version_; }
  uint32_t alignment() const { return alignment_; }
  /// In the order of the file.
  std::span<const GgufKey> keys() const { return keys_; }
  std::span<const GgufTensor> tensors() const { return tensors_; }

  /// Null when there is none.
  const GgufTensor* find_tensor(std::string_view name) const;
  const GgufValue* find(std::string_view key) const;
  /// Typed values. `maybe_` gives nullopt when the key is absent; the others refuse that. All refuse a value of the
  /// wrong type or out of range, naming the key, what is there and what is wanted. Any integer type is accepted for an
  /// integer, f32 and f64 for a real (which must be finite).
  int64_t integer(std::string_view key, int64_t min, int64_t max) const;
  std::optional<int64_t> maybe_integer(std::string_view key, int64_t min, int64_t max) const;
  double real(std::string_view key) const;
  std::optional<double> maybe_real(std::string_view key) const;
  std::optional<bool> maybe_boolean(std::string_view key) const;
  std::string_view string(std::string_view key) const;
  std::optional<std::string_view> maybe_string(std::string_view key) const;
  /// An array of that element type; null when absent and not required.
  const GgufValue* array(std::string_view key, GgufType element_type, bool required) const;

  /// Throws kInvalidArgument "<path>: <what>".
  [[noreturn]] void fail(std::string_view what) const;
  /// Throws kInvalidArgument "<path>: metadata key '<key>': <what>".
  [[noreturn]] void fail_key(std::string_view key, std::string_view what) const;

 private:
  friend class GgufParser;
  GgufFile() = default;
  const GgufValue& require(std::string_view key) const;

  std::shared_ptr<const FileBytes> bytes_;
  uint32_t version_ = 0;
  uint32_t alignment_ = kDefaultAlignment;
  std::vector<GgufKey> keys_;
  std::vector<GgufTensor> tensors_;
  std::vector<uint32_t> keys_by_name_, tensors_by_name_;  ///< indices, sorted by name
};

/// Number of a tensor type in the file: f32 0, f16 1, q8_0 8, q4_k 12, q6_k 14, bf16 30.
uint32_t gguf_tensor_type(DType type);

/// The text in single quotes, shortened to 80 bytes, with bytes that are no printable ASCII as \xNN: for messages.
std::string quoted(std::string_view text);

}  // namespace greta::model
