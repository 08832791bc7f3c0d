#include "kernels/hip/error.hpp"

namespace greta {

int Error::exit_code() const {
  switch (kind_) {
    case ErrorKind::kInvalidArgument:
      return 2;
    case ErrorKind::kDeviceFault:
      return 1;
    case ErrorKind::kOutOfMemory:
    case ErrorKind::kNoDevice:
    case ErrorKind::kIo:
      return 4;
  }
  return 4;
}

}  // namespace greta
