// The intermediate tensors of a run of the engine, as numbers, row by row of the sequence: what audits compare.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "model/llama.hpp"

namespace greta::runners {

/// Values of a view of f32, f16 or bf16 on the device. Throws kInvalidArgument for other types.
std::vector<float> download_floats(hip::Stream& stream, const hip::AnyView& view);

struct CapturedStage {
  DType dtype = DType::kF32;
  int64_t width = 0;
  std::vector<float> values;       ///< rows appended in the order in which they came
  std::vector<int64_t> positions;  ///< of each row
  int64_t rows() const { return width ? static_cast<int64_t>(values.size()) / width : 0; }
};

/// While one lives, rows of one sequence are kept at the stages named, or at all but the caches.
class StageCapture {
 public:
  using Key = std::pair<std::string, int64_t>;  ///< stage, layer
  StageCapture(model::Llama& engine, std::vector<std::string> only = {}, int64_t slot = 0);
  ~StageCapture();
  StageCapture(const StageCapture&) = delete;
  StageCapture& operator=(const StageCapture&) = delete;
  const std::map<Key, CapturedStage>& stages() const { return stages_; }
  /// Throws kInvalidArgument when it was not produced: a missing stage is an error.
  const CapturedStage& at(const std::string& stage, int64_t layer) const;
  void clear() { stages_.clear(); }

 private:
  model::Llama& engine_;
  std::vector<std::string> only_;
  int64_t slot_;
  std::map<Key, CapturedStage> stages_;
};

}  // namespace greta::runners
