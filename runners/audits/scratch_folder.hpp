// A temporary folder, gone with its owner.
#pragma once

#include <filesystem>
#include <string>

namespace greta::runners {

class ScratchFolder {
 public:
  /// Throws kIo when there is no room for one.
  explicit ScratchFolder(const std::string& name);
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace greta::runners
