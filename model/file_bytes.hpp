// The bytes of a file, mapped read-only, or held in memory (tests, and models made up on the spot).
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace greta::model {

class FileBytes {
 public:
  /// Maps a regular file; nothing of it is resident until it is read.
  /// kInvalidArgument naming the path and the system's reason if it cannot be opened or is no regular file.
  static std::shared_ptr<const FileBytes> map(const std::string& path);
  /// Takes the bytes over; `name` stands for the path in messages.
  static std::shared_ptr<const FileBytes> own(std::string name, std::vector<std::byte> bytes);

  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;
  ~FileBytes();

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  FileBytes() = default;

  std::string path_;
  std::span<const std::byte> bytes_;
  std::vector<std::byte> owned_;
  void* mapping_ = nullptr;
};

}  // namespace greta::model
