#include "model/gguf_writer.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "kernels/hip/error.hpp"
#include "reference/quant_blocks.hpp"

namespace greta::model {
namespace {

constexpr size_t kBufferBytes = 1 << 20;

uint64_t align_up(uint64_t n, uint64_t alignment) { return (n + alignment - 1) / alignment * alignment; }

}  // namespace

GgufWriter::GgufWriter(std::string path, uint32_t alignment) : path_(std::move(path)), alignment_(alignment) {
  check(std::has_single_bit(alignment) && alignment >= 8 && alignment <= kMaxAlignment,
        "alignment must be a power of two from 8");
  partial_path_ = fmt::format("{}.{}.tmp", path_, ::getpid());
  fd_ = ::open(partial_path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd_ < 0) {
    // A path that cannot be is the caller's mistake, a disk without room is not.
    const bool no_room = errno == ENOSPC || errno == EDQUOT || errno == EIO || errno == EMFILE || errno == ENFILE;
    if (no_room) fail("create");
    check(false, fmt::format("cannot create {}: {}", partial_path_, std::strerror(errno)));
  }
  buffer_.reserve(kBufferBytes);
  if (alignment != kDefaultAlignment) add("general.alignment", alignment);
}

GgufWriter::~GgufWriter() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(partial_path_.c_str());
}

void GgufWriter::check(bool ok, std::string_view what) const {
  if (!ok) throw_invalid(fmt::format("writing {}: {}", path_, what));
}

void GgufWriter::fail(std::string_view doing) const {
  const int reason = errno;
  throw Error(ErrorKind::kIo,
              fmt::format("cannot {} {}: {}; {} is unchanged", doing, partial_path_, std::strerror(reason), path_));
}

template <class T>
void GgufWriter::put(T value) {
  header_.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

void GgufWriter::put_text(std::string_view text) {
  put<uint64_t>(text.size());
  header_ += text;
}

void GgufWriter::begin_key(std::string_view key, GgufType type) {
  check(!in_data_, fmt::format("metadata key {} comes after begin_data", quoted(key)));
  check(keys_.emplace(key).second, fmt::format("metadata key {} is given twice", quoted(key)));
  put_text(key);
  put(static_cast<uint32_t>(type));
}

void GgufWriter::add(std::string_view key, std::string_view value) {
  begin_key(key, GgufType::kString);
  put_text(value);
}
void GgufWriter::add(std::string_view key, uint32_t value) {
  begin_key(key, GgufType::kU32);
  put(value);
}
void GgufWriter::add(std::string_view key, float value) {
  begin_key(key, GgufType::kF32);
  put(value);
}
void GgufWriter::add(std::string_view key, bool value) {
  begin_key(key, GgufType::kBool);
  put<uint8_t>(value ? 1 : 0);
}
void GgufWriter::add(std::string_view key, const std::vector<std::string>& values) {
  begin_key(key, GgufType::kArray);
  put(static_cast<uint32_t>(GgufType::kString));
  put<uint64_t>(values.size());
  for (const std::string& value : values) put_text(value);
}
void GgufWriter::add(std::string_view key, const std::vector<int32_t>& values) {
  begin_key(key, GgufType::kArray);
  put(static_cast<uint32_t>(GgufType::kI32));
  put<uint64_t>(values.size());
  for (const int32_t value : values) put(value);
}
void GgufWriter::add(std::string_view key, const GgufValue& value) {
  begin_key(key, value.type);
  header_.append(reinterpret_cast<const char*>(value.raw.data()), value.raw.size());
}

void GgufWriter::add_tensor(std::string_view name, DType type, std::span<const int64_t> dims) {
  check(!in_data_, fmt::format("tensor {} is declared after begin_data", quoted(name)));
  check(names_.emplace(name).second, fmt::format("tensor {} is declared twice", quoted(name)));
  check(!dims.empty() && dims.size() <= 4, fmt::format("tensor {} needs 1 to 4 dims", quoted(name)));
  uint64_t bytes = reference::row_bytes(type, dims[0]);
  for (const int64_t dim : dims.subspan(1)) {
    check(dim > 0 && !__builtin_mul_overflow(bytes, static_cast<uint64_t>(dim), &bytes),
          fmt::format("tensor {} has a dim of {}", quoted(name), dim));
  }
  std::swap(header_, infos_);  // put() writes to header_
  put_text(name);
  put(static_cast<uint32_t>(dims.size()));
  for (const int64_t dim : dims) put(static_cast<uint64_t>(dim));
  put(gguf_tensor_type(type));
  put(data_bytes_);
  std::swap(header_, infos_);
  tensors_.push_back({std::string(name), data_bytes_, bytes});
  data_bytes_ += align_up(bytes, alignment_);
}

void GgufWriter::begin_data() {
  check(!in_data_, "begin_data is called twice");
  in_data_ = true;
  std::string start("GGUF");
  const uint32_t version = 3;
  const uint64_t counts[2] = {tensors_.size(), keys_.size()};
  start.append(reinterpret_cast<const char*>(&version), 4);
  start.append(reinterpret_cast<const char*>(counts), 16);
  const uint64_t size = start.size() + header_.size() + infos_.size();
  const std::string padding(align_up(size, alignment_) - size, '\0');
  // Reserving the whole file now finds a full disk before minutes of work; not every file system can.
  n_bytes_ = size + padding.size() + data_bytes_;
  if (::fallocate(fd_, 0, 0, static_cast<off_t>(n_bytes_)) != 0 && errno != EOPNOTSUPP && errno != ENOSYS)
    fail(fmt::format("reserve {} bytes for", n_bytes_));
  for (const std::string_view part :
       {std::string_view(start), std::string_view(header_), std::string_view(infos_), std::string_view(padding)})
    emit(part.data(), part.size());
  header_.clear();
  infos_.clear();
}

void GgufWriter::write(std::span<const std::byte> bytes) {
  check(in_data_, "write is called before begin_data");
  while (!bytes.empty()) {
    check(current_ < tensors_.size(), fmt::format("{} bytes more than the declared tensors hold", bytes.size()));
    const Tensor& tensor = tensors_[current_];
    const size_t n = std::min<uint64_t>(bytes.size(), tensor.bytes - written_);
    emit(bytes.data(), n);
    bytes = bytes.subspan(n);
    written_ += n;
    if (written_ < tensor.bytes) return;
    const std::string padding(align_up(tensor.bytes, alignment_) - tensor.bytes, '\0');
    emit(padding.data(), padding.size());
    ++current_;
    written_ = 0;
  }
}

void GgufWriter::finish() {
  check(in_data_, "finish is called before begin_data");
  if (current_ < tensors_.size())
    check(false, fmt::format("tensor {} got {} of {} bytes", quoted(tensors_[current_].name), written_,
                             tensors_[current_].bytes));
  flush();
  const int fd = fd_;
  fd_ = -1;  // from here on the destructor has nothing to undo
  if (::close(fd) != 0 || ::rename(partial_path_.c_str(), path_.c_str()) != 0) {
    const int reason = errno;
    ::unlink(partial_path_.c_str());
    errno = reason;
    fail("close and rename");
  }
}

void GgufWriter::emit(const void* data, size_t n_bytes) {
  const auto* p = static_cast<const char*>(data);
  if (buffer_.size() + n_bytes <= kBufferBytes) {
    buffer_.insert(buffer_.end(), p, p + n_bytes);
    return;
  }
  flush();
  if (n_bytes <= kBufferBytes) {
    buffer_.insert(buffer_.end(), p, p + n_bytes);
  } else {
    write_all(static_cast<const std::byte*>(data), n_bytes);
  }
}

void GgufWriter::flush() {
  write_all(reinterpret_cast<const std::byte*>(buffer_.data()), buffer_.size());
  buffer_.clear();
}

void GgufWriter::write_all(const std::byte* data, size_t n_bytes) {
  while (n_bytes > 0) {
    const ssize_t n = ::write(fd_, data, n_bytes);
    if (n < 0) {
      if (errno == EINTR) continue;
      fail("write");
    }
    data += n;
    n_bytes -= static_cast<size_t>(n);
  }
}

}  // namespace greta::model
