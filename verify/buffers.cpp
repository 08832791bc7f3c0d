#include "verify/buffers.hpp"

namespace greta::verify {

hip::DeviceTensor& Buffers::allocate(const std::string& name, DType dtype, size_t count) {
  return inputs_.emplace_back(prefix_ + name, dtype, count);
}

hip::AnyView Buffers::in(const Tensor& tensor) {
  hip::DeviceTensor& device = allocate(tensor.name, tensor.dtype, static_cast<size_t>(tensor.count()));
  device.upload_bytes(stream_, tensor.bytes.data(), tensor.bytes.size());
  return device.view();
}

hip::AnyView Buffers::out(Tensor shape, std::vector<uint8_t> written) {
  Kept& kept = outputs_.emplace_back();
  kept.device = hip::DeviceTensor(prefix_ + shape.name, shape.dtype, static_cast<size_t>(shape.count()));
  kept.around.before = shape;
  kept.around.written = std::move(written);
  kept.device.download_bytes(stream_, kept.around.before.bytes.data(), shape.bytes.size());
  kept.shape = std::move(shape);
  return kept.device.view();
}

hip::AnyView Buffers::inout(const Tensor& tensor, std::vector<uint8_t> written) {
  Kept& kept = outputs_.emplace_back();
  kept.device = hip::DeviceTensor(prefix_ + tensor.name, tensor.dtype, static_cast<size_t>(tensor.count()));
  kept.device.upload_bytes(stream_, tensor.bytes.data(), tensor.bytes.size());
  kept.around = {tensor, false, std::move(written)};
  kept.shape = tensor;
  return kept.device.view();
}

hip::AnyView Buffers::scratch(const std::string& name, DType dtype, size_t count) {
  return allocate(name, dtype, count).view();
}

std::vector<Output> Buffers::collect() {
  stream_.synchronize();
  std::vector<Output> out;
  for (Kept& kept : outputs_) {
    kept.device.download_bytes(stream_, kept.shape.bytes.data(), kept.shape.bytes.size());
    out.push_back({std::move(kept.shape), std::move(kept.around)});
  }
  return out;
}

}  // namespace greta::verify
