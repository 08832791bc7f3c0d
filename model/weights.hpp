// A model's weights on the device, as its GGUF file stores them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/hip/tensor.hpp"
#include "model/config.hpp"
#include "model/defects.hpp"
#include "model/gguf.hpp"
#include "model/weight_damage.hpp"

namespace greta::model {

/// W [rows, cols] row-major, in storage elements of `dtype` on the device.
struct DeviceMatrix {
  hip::DeviceTensor data;
  int64_t rows = 0;  ///< outputs
  int64_t cols = 0;  ///< inputs
  DType dtype() const { return data.dtype(); }
};

struct LayerWeights {
  hip::DeviceTensor attn_norm;  ///< f32 [dim]
  DeviceMatrix wq, wk, wv, wo;
  hip::DeviceTensor ffn_norm;
  DeviceMatrix gate, up, down;
};

struct Weights {
  LlamaConfig config;
  DeviceMatrix token_embd;  ///< [vocab, dim]
  std::vector<LayerWeights> layers;
  hip::DeviceTensor output_norm;
  DeviceMatrix output;  ///< empty when the output is tied to token_embd
  const DeviceMatrix& output_matrix() const { return output.rows ? output : token_embd; }
  size_t device_bytes = 0;
};

/// Uploads every tensor; a defect of the loader (load_fault_of) damages one of them on the way. Throws kOutOfMemory
/// with what the model needs.
std::shared_ptr<const Weights> load_weights(const GgufFile& file, hip::Stream& stream, Defect defect = Defect::kNone);
std::shared_ptr<const Weights> load_weights(const GgufFile& file, hip::Stream& stream, const LoadFault& fault);

}  // namespace greta::model
