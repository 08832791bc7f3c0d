// The device buffers of one launch: inputs uploaded, outputs poisoned, contents before and after kept.
#pragma once

#include <deque>

#include "kernels/hip/tensor.hpp"
#include "verify/operator.hpp"

namespace greta::verify {

class Buffers {
 public:
  /// Buffers are named "<operator>.<tensor>" in the registry, so that a fault names them.
  explicit Buffers(std::string operator_name) : prefix_(std::move(operator_name) + ".") {}

  hip::Stream& stream() { return stream_; }
  /// Uploads; the kernel reads it.
  hip::AnyView in(const Tensor& tensor);
  /// A poisoned buffer; the kernel writes it. `written`: which elements (empty: all).
  hip::AnyView out(Tensor shape, std::vector<uint8_t> written = {});
  /// Uploads; the kernel changes it in place.
  hip::AnyView inout(const Tensor& tensor, std::vector<uint8_t> written = {});
  /// Scratch of the kernel, poisoned.
  hip::AnyView scratch(const std::string& name, DType dtype, size_t count);
  /// Waits and downloads the outputs, in the order of out() and inout().
  std::vector<Output> collect();

 private:
  struct Kept {
    hip::DeviceTensor device;
    Tensor shape;
    Surroundings around;
  };
  hip::DeviceTensor& allocate(const std::string& name, DType dtype, size_t count);

  std::string prefix_;
  hip::Stream stream_{"verify"};
  std::deque<hip::DeviceTensor> inputs_;
  std::deque<Kept> outputs_;
};

}  // namespace greta::verify
