#include "model/file_bytes.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernels/hip/error.hpp"

namespace greta::model {

std::shared_ptr<const FileBytes> FileBytes::map(const std::string& path) {
  const auto refuse = [&](const std::string& what) { throw_invalid(fmt::format("{}: {}", path, what)); };
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) refuse(fmt::format("cannot open: {}", std::strerror(errno)));
  std::shared_ptr<FileBytes> file(new FileBytes);
  file->path_ = path;
  struct stat status;
  std::string problem;
  if (::fstat(fd, &status) != 0) {
    problem = fmt::format("cannot stat: {}", std::strerror(errno));
  } else if (!S_ISREG(status.st_mode)) {
    problem = "is not a regular file; wanted a GGUF model";
  } else if (status.st_size > 0) {  // an empty file has no bytes to map; its reader will say what is missing
    const auto size = static_cast<size_t>(status.st_size);
    void* base = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (base == MAP_FAILED) {
      problem = fmt::format("cannot map {} bytes: {}", size, std::strerror(errno));
    } else {
      file->mapping_ = base;
      file->bytes_ = {static_cast<const std::byte*>(base), size};
    }
  }
  ::close(fd);
  if (!problem.empty()) refuse(problem);
  return file;
}

std::shared_ptr<const FileBytes> FileBytes::own(std::string name, std::vector<std::byte> bytes) {
  std::shared_ptr<FileBytes> file(new FileBytes);
  file->path_ = std::move(name);
  file->owned_ = std::move(bytes);
  file->bytes_ = file->owned_;
  return file;
}

FileBytes::~FileBytes() {
  if (mapping_ != nullptr) ::munmap(mapping_, bytes_.size());
}

}  // namespace greta::model
