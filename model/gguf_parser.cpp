// From bytes to a checked GgufFile. Nothing here trusts the file: a length is compared with the bytes that remain
// before it is added to anything, products are checked for overflow, and the two counts of the header are bounded.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

#include "kernels/hip/error.hpp"
#include "model/gguf.hpp"
#include "reference/quant_blocks.hpp"

namespace greta::model {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF values are used where they lie in the file");

struct TensorTypeRow {
  uint32_t number;
  const char* name;
  std::optional<DType> type;  ///< nullopt: known by name, not supported
};
// Numbers and names: ggml's public list of tensor types.
const TensorTypeRow kTensorTypes[] = {
    {0, "F32", DType::kF32},      {1, "F16", DType::kF16},       {2, "Q4_0", std::nullopt},
    {3, "Q4_1", std::nullopt},    {6, "Q5_0", std::nullopt},     {7, "Q5_1", std::nullopt},
    {8, "Q8_0", DType::kQ8_0},    {9, "Q8_1", std::nullopt},     {10, "Q2_K", std::nullopt},
    {11, "Q3_K", std::nullopt},   {12, "Q4_K", DType::kQ4K},     {13, "Q5_K", std::nullopt},
    {14, "Q6_K", DType::kQ6K},    {15, "Q8_K", std::nullopt},    {16, "IQ2_XXS", std::nullopt},
    {17, "IQ2_XS", std::nullopt}, {18, "IQ3_XXS", std::nullopt}, {19, "IQ1_S", std::nullopt},
    {20, "IQ4_NL", std::nullopt}, {21, "IQ3_S", std::nullopt},   {22, "IQ2_S", std::nullopt},
    {23, "IQ4_XS", std::nullopt}, {24, "I8", std::nullopt},      {25, "I16", std::nullopt},
    {26, "I32", std::nullopt},    {27, "I64", std::nullopt},     {28, "F64", std::nullopt},
    {29, "IQ1_M", std::nullopt},  {30, "BF16", DType::kBF16},    {34, "TQ1_0", std::nullopt},
    {35, "TQ2_0", std::nullopt},  {39, "MXFP4", std::nullopt},
};

/// Bytes of a fixed-size metadata value; 0 for strings, arrays and numbers that are no type.
uint64_t value_bytes(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    default:
      return 0;
  }
}

/// Indices of `items` sorted by name; refuses two of one name.
template <class Item>
std::vector<uint32_t> sort_by_name(const GgufFile& file, const std::vector<Item>& items, const char* what) {
  std::vector<uint32_t> order(items.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return items[a].name < items[b].name; });
  for (size_t i = 1; i < order.size(); ++i)
    if (items[order[i - 1]].name == items[order[i]].name)
      file.fail(fmt::format("{} {} appears twice; wanted each once", what, quoted(items[order[i]].name)));
  return order;
}

}  // namespace

class GgufParser {
 public:
  explicit GgufParser(std::shared_ptr<const FileBytes> bytes) {
    file_.bytes_ = std::move(bytes);
    all_ = file_.bytes_->bytes();
  }

  GgufFile parse() {
    const uint64_t n_tensors = header();
    for (uint64_t i = 0; i < n_keys_; ++i) file_.keys_.push_back(key(i));
    file_.keys_by_name_ = sort_by_name(file_, file_.keys_, "metadata key");
    if (const auto alignment = file_.maybe_integer("general.alignment", 8, kMaxAlignment)) {
      if (!std::has_single_bit(static_cast<uint64_t>(*alignment)))
        file_.fail_key("general.alignment", fmt::format("got {}, wanted a power of two", *alignment));
      file_.alignment_ = static_cast<uint32_t>(*alignment);
    }
    for (uint64_t i = 0; i < n_tensors; ++i) file_.tensors_.push_back(tensor(i));
    file_.tensors_by_name_ = sort_by_name(file_, file_.tensors_, "tensor");
    place_tensors();
    return std::move(file_);
  }

 private:
  uint64_t remaining() const { return all_.size() - position_; }

  std::span<const std::byte> take(uint64_t n, std::string_view what) {
    if (n > remaining())
      file_.fail(fmt::format("{} needs {} bytes at offset {}, the file has {} left; it is truncated or damaged", what,
                             n, position_, remaining()));
    const auto bytes = all_.subspan(position_, n);
    position_ += n;
    return bytes;
  }
  template <class T>
  T number(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
    return value;
  }
  std::string_view text(std::string_view what) {
    const auto length = number<uint64_t>(fmt::format("length of {}", what));
    const auto bytes = take(length, what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  std::string_view name(const std::string& what) {
    const std::string_view s = text(what);
    if (s.empty() || s.size() > kMaxNameBytes)
      file_.fail(fmt::format("{}: got {} bytes, wanted 1 to {}", what, s.size(), kMaxNameBytes));
    return s;
  }

  /// Returns the number of tensors.
  uint64_t header() {
    const auto magic = take(4, "magic");
    if (std::memcmp(magic.data(), "GGUF", 4) != 0)
      file_.fail(fmt::format("magic: got {}, wanted 'GGUF'; this is no GGUF file",
                             quoted({reinterpret_cast<const char*>(magic.data()), 4})));
    file_.version_ = number<uint32_t>("version");
    if (file_.version_ != 2 && file_.version_ != 3) {
      const bool swapped = file_.version_ == 0x02000000u || file_.version_ == 0x03000000u;
      file_.fail(fmt::format("version: got {}, wanted 2 or 3{}", file_.version_,
                             swapped ? "; the file is big-endian, convert it to little-endian" : ""));
    }
    const auto n_tensors = number<uint64_t>("tensor count");
    n_keys_ = number<uint64_t>("key count");
    if (n_tensors > kMaxTensors)
      file_.fail(fmt::format("tensor count: got {}, wanted at most {}", n_tensors, kMaxTensors));
    if (n_keys_ > kMaxKeys) file_.fail(fmt::format("key count: got {}, wanted at most {}", n_keys_, kMaxKeys));
    return n_tensors;
  }

  GgufKey key(uint64_t index) {
    GgufKey key;
    key.name = name(fmt::format("metadata key {} of {}", index, n_keys_));
    const std::string what = fmt::format("metadata key {}", quoted(key.name));
    key.value.type = static_cast<GgufType>(number<uint32_t>(what + ": value type"));
    key.value.count = 1;
    const uint64_t start = position_;
    switch (key.value.type) {
      case GgufType::kString:
        text(what);
        break;
      case GgufType::kArray:
        array(what, 1, &key.value);
        break;
      default:
        scalars(what, key.value.type, 1);
    }
    key.value.raw = all_.subspan(start, position_ - start);
    return key;
  }

  void scalars(const std::string& what, GgufType type, uint64_t count) {
    const uint64_t size = value_bytes(type);
    if (size == 0) file_.fail(fmt::format("{}: value {} is unknown; wanted 0 to 12", what, gguf_type_name(type)));
    // Divide rather than multiply: count * size may wrap.
    if (count > remaining() / size)
      file_.fail(
          fmt::format("{}: {} values of {} need more than the {} bytes left at offset {}; it is truncated or damaged",
                      what, count, gguf_type_name(type), remaining(), position_));
    const auto bytes = take(count * size, what);
    if (type != GgufType::kBool) return;
    for (const std::byte b : bytes)
      if (static_cast<uint8_t>(b) > 1)
        file_.fail(fmt::format("{}: boolean is {}, wanted 0 or 1", what, static_cast<int>(b)));
  }

  void array(const std::string& what, int depth, GgufValue* value) {
    if (depth > kMaxArrayNesting) file_.fail(fmt::format("{}: arrays nested deeper than {}", what, kMaxArrayNesting));
    const auto type = static_cast<GgufType>(number<uint32_t>(what));
    const auto count = number<uint64_t>(what);
    if (value != nullptr) {
      value->element_type = type;
      value->count = count;
    }
    // A string takes at least 8 bytes and an array 12, so these loops end with the file at the latest.
    if (type == GgufType::kString) {
      if (count > remaining() / 8)
        file_.fail(fmt::format("{}: {} strings do not fit the {} bytes left", what, count, remaining()));
      for (uint64_t i = 0; i < count; ++i) element_text(what, i);
    } else if (type == GgufType::kArray) {
      if (count > remaining() / 12)
        file_.fail(fmt::format("{}: {} arrays do not fit the {} bytes left", what, count, remaining()));
      for (uint64_t i = 0; i < count; ++i) array(what, depth + 1, nullptr);
    } else {
      scalars(what, type, count);
    }
  }

  /// Like text(), without building a message for each of 10^5 tokens.
  void element_text(const std::string& what, uint64_t index) {
    uint64_t length = 0;
    if (remaining() >= 8) std::memcpy(&length, all_.data() + position_, 8);
    if (remaining() < 8 || length > remaining() - 8)
      file_.fail(fmt::format(
          "{}: string {} of {} bytes at offset {} does not fit the {} bytes left; it is truncated or damaged", what,
          index, length, position_, remaining()));
    position_ += 8 + length;
  }

  GgufTensor tensor(uint64_t index) {
    GgufTensor t;
    t.name = name(fmt::format("name of tensor {}", index));
    const std::string what = fmt::format("tensor {}", quoted(t.name));
    const auto n_dims = number<uint32_t>(what + ": n_dims");
    if (n_dims < 1 || n_dims > 4) file_.fail(fmt::format("{}: n_dims: got {}, wanted 1 to 4", what, n_dims));
    t.n_dims = static_cast<int>(n_dims);
    int64_t n_values = 1;
    for (int i = 0; i < t.n_dims; ++i) {
      const auto dim = number<uint64_t>(fmt::format("{}: dims[{}]", what, i));
      if (dim == 0 || dim > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
        file_.fail(fmt::format("{}: dims[{}]: got {}, wanted 1 to 2^63 - 1", what, i, dim));
      t.dims[i] = static_cast<int64_t>(dim);
      if (__builtin_mul_overflow(n_values, t.dims[i], &n_values))
        file_.fail(fmt::format("{}: dims {}: more than 2^63 - 1 values", what, t.shape()));
    }
    t.type = tensor_type(what);
    const int block = dtype_block_values(t.type);
    if (t.row_length() % block != 0)
      file_.fail(fmt::format("{}: {} row of {} values is not a multiple of the {}-value block", what,
                             dtype_name(t.type), t.row_length(), block));
    uint64_t bytes;
    if (__builtin_mul_overflow(static_cast<uint64_t>(n_values / block),
                               static_cast<uint64_t>(dtype_block_bytes(t.type)), &bytes))
      file_.fail(fmt::format("{}: dims {}: more than 2^64 bytes", what, t.shape()));
    const auto offset = number<uint64_t>(what + ": offset");
    if (offset % file_.alignment_ != 0)
      file_.fail(fmt::format("{}: offset {} is not a multiple of the alignment {}", what, offset, file_.alignment_));
    extents_.push_back({offset, bytes});
    return t;
  }

  DType tensor_type(const std::string& what) {
    const auto number = this->number<uint32_t>(what + ": type");
    const char* name = "unknown";
    for (const TensorTypeRow& row : kTensorTypes) {
      if (row.number != number) continue;
      if (row.type) return *row.type;
      name = row.name;
    }
    file_.fail(fmt::format("{}: type {} ({}) is not supported; wanted F32, F16, BF16, Q8_0, Q4_K or Q6_K", what, number,
                           name));
  }

  /// Offsets become spans: inside the file, without overlap.
  void place_tensors() {
    if (file_.tensors_.empty()) return;
    const uint64_t mask = file_.alignment_ - 1;
    const uint64_t start = (position_ + mask) & ~mask;  // position_ is at most the file size: no overflow
    const uint64_t available = start <= all_.size() ? all_.size() - start : 0;
    for (size_t i = 0; i < extents_.size(); ++i) {
      const auto [offset, bytes] = extents_[i];
      if (offset > available || bytes > available - offset)
        file_.fail(fmt::format(
            "tensor {}: {} bytes at offset {} of the data section, which has {}; the file is truncated or damaged",
            quoted(file_.tensors_[i].name), bytes, offset, available));
      file_.tensors_[i].data = all_.subspan(start + offset, bytes);
    }
    std::vector<uint32_t> order(extents_.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(),
              [&](uint32_t a, uint32_t b) { return extents_[a].offset < extents_[b].offset; });
    for (size_t i = 1; i < order.size(); ++i) {
      const Extent& before = extents_[order[i - 1]];
      const Extent& after = extents_[order[i]];
      if (before.offset + before.bytes > after.offset)
        file_.fail(fmt::format("tensor {} (offset {}, {} bytes) overlaps tensor {} (offset {})",
                               quoted(file_.tensors_[order[i - 1]].name), before.offset, before.bytes,
                               quoted(file_.tensors_[order[i]].name), after.offset));
    }
  }

  struct Extent {
    uint64_t offset, bytes;
  };

  GgufFile file_;
  std::span<const std::byte> all_;
  uint64_t position_ = 0;
  uint64_t n_keys_ = 0;
  std::vector<Extent> extents_;
};

GgufFile GgufFile::parse(std::shared_ptr<const FileBytes> bytes) { return GgufParser(std::move(bytes)).parse(); }

uint32_t gguf_tensor_type(DType type) {
  for (const TensorTypeRow& row : kTensorTypes)
    if (row.type == type) return row.number;
  throw_invalid(fmt::format("type {} cannot be stored in a GGUF file", dtype_name(type)));
}

}  // namespace greta::model
